//! Compares the labels of a data set with the majority of the votes.

use super::matching::ImageVotes;
use super::protocol::{Unusable, agreement_of_one};
use crate::data::dataset::{Dataset, Split};
use serde::Serialize;

/// Number of contradictions that are listed.
const LISTED: usize = 10;

/// The labels of a data set compared with people's votes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LabelAgreement {
    /// Each split that has votes.
    pub splits: Vec<SplitAgreement>,
    /// The most frequent contradictions of label and majority, over all splits.
    pub contradictions: Vec<Contradiction>,
}

/// Labels and votes of a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SplitAgreement {
    /// The split.
    pub split: Split,
    /// Number of images whose votes have a majority for a class of the votes: FER+'s protocol.
    pub n: usize,
    /// Number of them whose majority is a class of the data set.
    pub n_of_classes: usize,
    /// Number of images without a majority.
    pub no_majority: usize,
    /// Number of images whose majority is `unknown`.
    pub unknown: usize,
    /// Number of images whose majority is "not a face".
    pub not_a_face: usize,
    /// Number of images without votes.
    pub no_votes: usize,
    /// Share of the `n_of_classes` images whose label is the majority.
    pub agreement: f64,
    /// The mean share of the votes that the majority has: how often one person agrees with it.
    pub agreement_of_one: f64,
    /// One for each class of the data set.
    pub per_class: Vec<ClassAgreement>,
}

/// Images with a label.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassAgreement {
    /// The label.
    pub label: String,
    /// Number of images with this label whose majority is a class of the data set.
    pub images: usize,
    /// Share of them whose majority is the label; 0 without images.
    pub agreement: f64,
}

/// Images whose majority contradicts their label.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Contradiction {
    /// The label.
    pub label: String,
    /// The majority of the votes.
    pub majority: String,
    /// Number of images.
    pub images: usize,
    /// Share of the images with this label that have a majority.
    pub share: f64,
}

/// Compares the labels of each split with the votes.
#[must_use]
pub fn label_agreement(dataset: &Dataset, votes: &ImageVotes) -> LabelAgreement {
    let columns = votes.classes().len();
    let mut totals = vec![vec![0; columns]; dataset.classes().len()];
    let mut splits = Vec::new();
    for split in Split::ALL {
        let images = dataset.indices(split);
        if images.iter().all(|&image| votes.counts(image).is_none()) {
            continue;
        }
        let (found, counts) = of_split(dataset, votes, split, &images);
        totals.iter_mut().zip(counts).for_each(|(all, own)| all.iter_mut().zip(own).for_each(|(all, own)| *all += own));
        splits.push(found);
    }
    LabelAgreement { splits, contradictions: contradictions(dataset, votes, &totals) }
}

/// The agreement of a split, and how often each label has each majority.
fn of_split(
    dataset: &Dataset,
    votes: &ImageVotes,
    split: Split,
    images: &[usize],
) -> (SplitAgreement, Vec<Vec<usize>>) {
    let classes = dataset.classes().len();
    let mut counts = vec![vec![0; votes.classes().len()]; classes];
    let [mut no_majority, mut unknown, mut not_a_face, mut no_votes] = [0; 4];
    let mut agreement = 0.0;
    for &image in images {
        match votes.majority(image) {
            None => no_votes += 1,
            Some(Err(Unusable::Unknown)) => unknown += 1,
            Some(Err(Unusable::NotAFace)) => not_a_face += 1,
            Some(Err(_)) => no_majority += 1,
            Some(Ok(column)) => {
                counts[dataset.labels()[image] as usize][column] += 1;
                agreement += agreement_of_one(votes.counts(image).unwrap_or_default(), column);
            }
        }
    }
    let n = counts.iter().flatten().sum();
    let own = |label: usize| {
        let of_classes = counts[label].iter().enumerate().filter_map(|(c, n)| Some((votes.class_of_column(c)?, *n)));
        of_classes.fold([0, 0], |[all, same], (class, n)| [all + n, same + if class == label { n } else { 0 }])
    };
    let both: Vec<[usize; 2]> = (0..classes).map(own).collect();
    let [n_of_classes, same] = both.iter().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
    let per_class = dataset.classes().iter().zip(&both).map(|(label, &[images, same])| ClassAgreement {
        label: label.clone(),
        images,
        agreement: share(same, images),
    });
    let found = SplitAgreement {
        split,
        n,
        n_of_classes,
        no_majority,
        unknown,
        not_a_face,
        no_votes,
        agreement: share(same, n_of_classes),
        agreement_of_one: agreement / n.max(1) as f64,
        per_class: per_class.collect(),
    };
    (found, counts)
}

fn contradictions(dataset: &Dataset, votes: &ImageVotes, totals: &[Vec<usize>]) -> Vec<Contradiction> {
    let mut all = Vec::new();
    for (label, row) in totals.iter().enumerate() {
        let sum = row.iter().sum();
        for (column, &images) in row.iter().enumerate() {
            if votes.class_of_column(column) != Some(label) && images > 0 {
                let (label, majority) = (dataset.classes()[label].clone(), votes.classes()[column].clone());
                all.push(Contradiction { label, majority, images, share: share(images, sum) });
            }
        }
    }
    all.sort_by_key(|pair| std::cmp::Reverse(pair.images));
    all.truncate(LISTED);
    all
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::Votes;
    use super::*;
    use crate::data::LabeledImage;

    #[test]
    fn agreement_equals_a_manual_computation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes.csv");
        let text =
            "row,happy,sad,contempt,unknown,nf\n0,8,2,0,0,0\n1,0,10,0,0,0\n2,5,5,0,0,0\n3,0,0,9,0,1\n4,0,0,0,10,0\n";
        std::fs::write(&path, text).unwrap();
        let image = |i: usize| LabeledImage { id: i.to_string(), label: 0, split: Split::Train, pixels: vec![0] };
        let data = Dataset::from_images(&["happy", "sad"].map(str::to_owned), [1, 1, 1], (0..6).map(image)).unwrap();
        let votes = Votes::open(&path).unwrap().matched(&data).unwrap();
        let found = label_agreement(&data, &votes);
        let split = &found.splits[0];
        assert_eq!((split.n, split.n_of_classes, split.no_majority, split.unknown), (3, 2, 1, 1));
        assert_eq!((split.not_a_face, split.no_votes, split.agreement), (0, 1, 0.5));
        assert!((split.agreement_of_one - (0.8 + 1.0 + 0.9) / 3.0).abs() < 1e-6);
        assert_eq!(split.per_class[0], ClassAgreement { label: "happy".into(), images: 2, agreement: 0.5 });
        let pairs: Vec<_> = found.contradictions.iter().map(|pair| (&*pair.majority, pair.images)).collect();
        assert_eq!(pairs, [("sad", 1), ("contempt", 1)]);
    }
}
