//! Targets of training: the distribution over the classes for each image.

use super::CONTEMPT;
use super::matching::ImageVotes;
use super::protocol::Unusable;
use super::read::Votes;
use crate::config::{DataOptions, TargetKind, VoteMode};
use crate::data::dataset::{Dataset, Split};
use crate::data::error::DataError;
use crate::data::soft_targets::{SoftTargets, sampled};
use moue_engine::loss::argmax;

impl Dataset {
    /// The target of an image: a probability for each class. `of_image` is the key of the image's random
    /// draws in an epoch.
    pub(crate) fn target(&self, image: usize, of_image: u64) -> impl Iterator<Item = f32> + '_ {
        let classes = self.classes.len();
        let row = self.soft.as_ref().map(|soft| (&soft.rows[image * classes..][..classes], soft.sampled));
        let label = match row {
            None => Some(self.labels[image] as usize),
            Some((row, true)) => Some(sampled(row, of_image)),
            Some((_, false)) => None,
        };
        (0..classes).map(move |class| match (label, row) {
            (None, Some((row, _))) => row[class],
            _ => f32::from(u8::from(label == Some(class))),
        })
    }

    /// The sum of the targets of these images for each class: their number, where targets are labels.
    pub(crate) fn class_mass(&self, images: &[usize]) -> Vec<f64> {
        let classes = self.classes.len();
        let Some(soft) = &self.soft else { return self.per_class(images).into_iter().map(|n| n as f64).collect() };
        let mut mass = vec![0.0; classes];
        for &image in images {
            let row = &soft.rows[image * classes..][..classes];
            mass.iter_mut().zip(row).for_each(|(sum, &share)| *sum += f64::from(share));
        }
        mass
    }

    /// Adds a class without images, if it is not one of the classes yet.
    pub(crate) fn add_class(&mut self, name: &str) {
        let Err(place) = self.classes.binary_search_by(|class| class.as_str().cmp(name)) else { return };
        self.classes.insert(place, name.to_owned());
        self.labels.iter_mut().filter(|label| **label as usize >= place).for_each(|label| *label += 1);
    }
}

/// Sets the targets that `options` asks for, removes images without one, and adds notes.
///
/// # Errors
/// When the votes cannot be read or do not fit the data.
pub fn apply(dataset: &mut Dataset, options: &DataOptions) -> Result<(), DataError> {
    let kind = options.target_kind();
    options.check_votes().map_err(DataError::VoteOptions)?;
    let Some(path) = options.votes.as_ref().filter(|_| kind != TargetKind::Labels) else { return Ok(()) };
    if options.contempt {
        dataset.add_class(CONTEMPT);
    }
    let votes = Votes::open(path)?.matched(dataset)?;
    let mut found = Found { keep: vec![true; dataset.len()], rows: Vec::new(), left_out: LeftOut::default() };
    match kind {
        TargetKind::Votes => found.replace_labels(dataset, &votes, options.vote_mode),
        _ => found.mix(dataset, &votes, options),
    }
    dataset.notes.push(found.note(dataset, options));
    // A majority is a label like any other.
    if !(kind == TargetKind::Votes && options.vote_mode == VoteMode::Majority) {
        let sampled = options.vote_mode == VoteMode::Probability;
        dataset.soft = Some(SoftTargets { rows: found.rows, sampled });
    }
    dataset.voted = kind == TargetKind::Votes;
    dataset.retain(&found.keep);
    Ok(())
}

/// Targets that have been determined.
struct Found {
    keep: Vec<bool>,
    rows: Vec<f32>,
    left_out: LeftOut,
}

/// Numbers of training images without a target.
#[derive(Default)]
struct LeftOut {
    no_agreement: usize,
    unknown: usize,
    not_a_face: usize,
    other_class: usize,
    no_votes: usize,
}

impl LeftOut {
    fn add(&mut self, reason: Option<Unusable>) {
        *match reason {
            None => &mut self.no_votes,
            Some(Unusable::NoAgreement) => &mut self.no_agreement,
            Some(Unusable::Unknown) => &mut self.unknown,
            Some(Unusable::NotAFace) => &mut self.not_a_face,
            Some(Unusable::OtherClass) => &mut self.other_class,
        } += 1;
    }

    fn text(&self) -> String {
        let counts = [
            (self.no_agreement, "without agreement"),
            (self.unknown, "unknown"),
            (self.not_a_face, "not a face"),
            (self.other_class, "of a class that the data does not have"),
            (self.no_votes, "without votes"),
        ];
        let parts: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
    }
}

impl Found {
    /// Targets and labels are the votes; labels outside the training split are the majority.
    fn replace_labels(&mut self, dataset: &mut Dataset, votes: &ImageVotes, mode: VoteMode) {
        let classes = dataset.classes.len();
        for image in 0..dataset.len() {
            let training = dataset.splits[image] == Split::Train;
            let mode = if training { mode } else { VoteMode::Majority };
            match votes.distribution(image, classes, mode) {
                Some(Ok(row)) => {
                    dataset.labels[image] = argmax(&row) as u32;
                    self.rows.extend(row);
                }
                other => {
                    self.keep[image] = false;
                    self.rows.extend(std::iter::repeat_n(0.0, classes));
                    if training {
                        self.left_out.add(other.and_then(Result::err));
                    }
                }
            }
        }
    }

    /// Targets are the mean of votes and labels; labels remain.
    fn mix(&mut self, dataset: &Dataset, votes: &ImageVotes, options: &DataOptions) {
        let classes = dataset.classes.len();
        let weight = options.vote_weight;
        for image in 0..dataset.len() {
            let training = dataset.splits[image] == Split::Train;
            let found = votes.distribution(image, classes, options.vote_mode).filter(|_| training);
            let label = |class: usize| f32::from(u8::from(dataset.labels[image] as usize == class));
            match found {
                Some(Ok(row)) => {
                    let mixed =
                        row.iter().enumerate().map(|(class, share)| weight * share + (1.0 - weight) * label(class));
                    self.rows.extend(mixed);
                }
                other => {
                    let reason = other.and_then(Result::err);
                    self.keep[image] = reason != Some(Unusable::NotAFace);
                    self.rows.extend((0..classes).map(label));
                    if training {
                        self.left_out.add(reason);
                    }
                }
            }
        }
    }

    fn note(&self, dataset: &Dataset, options: &DataOptions) -> String {
        let training = dataset.indices(Split::Train);
        let kept = |images: &[usize]| images.iter().filter(|&&image| self.keep[image]).count();
        let mode = options.vote_mode.name();
        if options.target_kind() == TargetKind::Mixed {
            return format!(
                "targets are votes ({mode}, weight {}) and labels: {} of {} training images are used; images whose votes \
                 give no target have their label, except those that are not a face: {}",
                options.vote_weight,
                kept(&training),
                training.len(),
                self.left_out.text()
            );
        }
        let others: Vec<String> = [Split::Validation, Split::Test]
            .into_iter()
            .map(|split| (split, dataset.indices(split)))
            .filter(|(_, images)| !images.is_empty())
            .map(|(split, images)| format!("{} of {} {} images", kept(&images), images.len(), split.name()))
            .collect();
        format!(
            "targets are votes ({mode}): {} of {} training images are used, left out are {}; the labels of {} are the \
             majority of their votes, the others have none",
            kept(&training),
            training.len(),
            self.left_out.text(),
            others.join(" and ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LabeledImage;

    const TEXT: &str = "row,happy,neutral,sad,contempt,unknown,NF\n\
        0,6,4,0,0,0,0\n1,5,5,0,0,0,0\n2,3,0,0,7,0,0\n3,2,0,0,0,8,0\n4,0,0,0,0,0,10\n6,2,0,8,0,0,0\n7,2,8,0,0,0,0\n8,5,5,0,0,0,0\n";

    /// Seven training images, two validation images and a test image, all labeled happy.
    fn dataset() -> Dataset {
        let split = |i| {
            if i < 7 {
                Split::Train
            } else if i < 9 {
                Split::Validation
            } else {
                Split::Test
            }
        };
        let images =
            (0..10).map(|i| LabeledImage { id: i.to_string(), label: 0, split: split(i), pixels: vec![i as u8] });
        Dataset::from_images(&["happy", "neutral", "sad"].map(str::to_owned), [1, 1, 1], images).unwrap()
    }

    fn applied(change: impl FnOnce(&mut DataOptions)) -> Dataset {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes.csv");
        std::fs::write(&path, TEXT).unwrap();
        let mut options = DataOptions { votes: Some(path), ..DataOptions::default() };
        change(&mut options);
        let mut dataset = dataset();
        apply(&mut dataset, &options).unwrap();
        dataset
    }

    fn targets(dataset: &Dataset) -> Vec<(String, Vec<f32>)> {
        (0..dataset.len()).map(|image| (dataset.ids[image].clone(), dataset.target(image, 1).collect())).collect()
    }

    #[test]
    fn votes_replace_labels_and_remove_images_without_a_target() {
        let found = applied(|_| {});
        let row = |id: &str, shares: [f32; 3]| (id.to_owned(), shares.to_vec());
        assert_eq!(
            targets(&found),
            [
                row("0", [0.6, 0.4, 0.0]),
                row("1", [0.5, 0.5, 0.0]),
                row("6", [0.0, 0.0, 1.0]),
                row("7", [0.0, 1.0, 0.0])
            ]
        );
        assert_eq!(found.labels, [0, 0, 2, 1]);
        insta::assert_snapshot!(found.notes[0], @"targets are votes (crossentropy): 3 of 7 training images are used, left out are 1 unknown, 1 not a face, 1 of a class that the data does not have, 1 without votes; the labels of 1 of 2 validation images and 0 of 1 test images are the majority of their votes, the others have none");
        assert_eq!(found.describe(Split::Train), "train (labels: majority of votes)");
        assert_ne!(found.hash(), dataset().hash());
    }

    #[test]
    fn a_majority_is_a_label() {
        let found = applied(|options| options.vote_mode = VoteMode::Majority);
        assert_eq!((&found.soft, found.ids.join(" ")), (&None, "0 6 7".to_owned()));
        assert_eq!(found.labels, [0, 2, 1]);
    }

    #[test]
    fn mixed_targets_keep_labels() {
        let found = applied(|options| {
            options.targets = Some(TargetKind::Mixed);
            options.vote_weight = 0.25;
        });
        assert_eq!((found.ids.join(" "), found.labels.iter().sum::<u32>()), ("0 1 2 3 5 6 7 8 9".to_owned(), 0));
        let rows = targets(&found);
        assert_eq!((&rows[0].1, &rows[3].1), (&vec![0.9, 0.1, 0.0], &vec![1.0, 0.0, 0.0]));
        let mass = found.class_mass(&[0, 5]);
        assert!(
            mass.iter().zip([1.65, 0.1, 0.25]).all(|(found, expected)| (found - expected).abs() < 1e-6),
            "{mass:?}"
        );
    }

    #[test]
    fn sampled_targets_follow_the_distribution() {
        let found = applied(|options| options.vote_mode = VoteMode::Probability);
        let happy = (0..2000).filter(|&key| found.target(0, key).next() == Some(1.0)).count();
        assert!((1140..1260).contains(&happy), "{happy}");
        assert_eq!(found.target(0, 5).sum::<f32>(), 1.0);
        assert_eq!(found.target(0, 5).collect::<Vec<_>>(), found.target(0, 5).collect::<Vec<_>>());
    }

    #[test]
    fn contempt_is_added_in_alphabetical_order() {
        let found = applied(|options| options.contempt = true);
        assert_eq!(found.classes, ["contempt", "happy", "neutral", "sad"]);
        assert_eq!(targets(&found)[2], ("2".to_owned(), vec![0.7, 0.3, 0.0, 0.0]));
        assert_eq!(found.labels, [1, 1, 0, 3, 2]);
    }
}
