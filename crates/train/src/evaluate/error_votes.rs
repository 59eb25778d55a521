//! Errors and people's votes: whether people agree on the images that a model predicts incorrectly, and with whom.
//!
//! All votes count here, without FER+'s removal of single ones: it would hide disagreement.

use super::metrics::wilson;
use super::predictions::Predictions;
use super::slices::fisher;
use crate::data::ImageVotes;
use moue_engine::loss::argmax;
use serde::Serialize;

/// What people say about a group of images.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VotedGroup {
    /// Number of images with votes.
    pub n: usize,
    /// Share of them on which people disagree: nothing that they could vote for has more than half of the votes.
    pub disagreement: f64,
    /// 95 % confidence interval of the disagreement (Wilson).
    pub disagreement_ci95: [f64; 2],
    /// Share of them whose predicted class has more votes than anything else.
    pub predicted_first: f64,
    /// 95 % confidence interval of `predicted_first` (Wilson).
    pub predicted_first_ci95: [f64; 2],
    /// Share of them whose label has more votes than anything else.
    pub label_first: f64,
    /// 95 % confidence interval of `label_first` (Wilson).
    pub label_first_ci95: [f64; 2],
}

/// The votes on misclassified images, compared with those on the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorVotes {
    /// Images whose prediction is not the label.
    pub errors: VotedGroup,
    /// Images whose prediction is the label.
    pub correct: VotedGroup,
    /// Two-sided p-value of Fisher's exact test: people disagree equally often on both.
    pub p_value: f64,
}

/// Numbers of images.
#[derive(Clone, Copy, Default)]
struct Counts {
    n: usize,
    disagreement: usize,
    predicted: usize,
    label: usize,
}

impl Counts {
    fn group(self) -> VotedGroup {
        let share = |part: usize| part as f64 / self.n.max(1) as f64;
        VotedGroup {
            n: self.n,
            disagreement: share(self.disagreement),
            disagreement_ci95: wilson(self.disagreement, self.n),
            predicted_first: share(self.predicted),
            predicted_first_ci95: wilson(self.predicted, self.n),
            label_first: share(self.label),
            label_first_ci95: wilson(self.label, self.n),
        }
    }
}

/// Compares the votes on misclassified images with those on the others.
#[must_use]
pub fn error_votes(predictions: &Predictions, votes: &ImageVotes) -> ErrorVotes {
    let mut groups = [Counts::default(); 2];
    for ((row, label), &image) in predictions.rows().zip(&predictions.images) {
        let Some(counts) = votes.counts(image).filter(|counts| counts.iter().any(|&count| count > 0.0)) else {
            continue;
        };
        let predicted = argmax(row);
        let most = counts.iter().copied().fold(0.0, f32::max);
        let first = counts.iter().position(|&count| count == most);
        let alone = counts.iter().filter(|&&count| count == most).count() == 1;
        let class = first.filter(|&column| alone && column < votes.classes().len());
        let class = class.and_then(|column| votes.class_of_column(column));
        let group = &mut groups[usize::from(label == predicted)];
        group.n += 1;
        group.disagreement += usize::from(2.0 * most <= counts.iter().sum());
        group.predicted += usize::from(class == Some(predicted));
        group.label += usize::from(class == Some(label));
    }
    let [errors, correct] = groups;
    let p_value = fisher([errors.disagreement, errors.n], [correct.disagreement, correct.n]);
    ErrorVotes { errors: errors.group(), correct: correct.group(), p_value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, LabeledImage, Split, Votes};

    #[test]
    fn votes_on_errors_equal_a_manual_computation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes.csv");
        // Errors: all for the prediction; half and half; most for unknown; no votes. Correct: a majority; none.
        let text = "row,happy,sad,contempt,unknown,nf\n0,1,9,0,0,0\n1,5,5,0,0,0\n2,2,2,0,6,0\n3,0,0,0,0,0\n4,8,2,0,0,0\n5,4,3,2,1,0\n";
        std::fs::write(&path, text).unwrap();
        let image = |i: usize| LabeledImage { id: i.to_string(), label: 0, split: Split::Test, pixels: vec![0] };
        let data = Dataset::from_images(&["happy", "sad"].map(str::to_owned), [1, 1, 1], (0..7).map(image)).unwrap();
        let votes = Votes::open(&path).unwrap().matched(&data).unwrap();
        let (wrong, right) = ([0.3, 0.7], [0.8, 0.2]);
        let probabilities = [wrong, wrong, wrong, wrong, right, right, right].concat();
        let predictions = Predictions { images: (0..7).collect(), labels: vec![0; 7], probabilities };
        let found = error_votes(&predictions, &votes);
        let third = 1.0 / 3.0;
        assert_eq!((found.errors.n, found.errors.disagreement), (3, third));
        assert_eq!((found.errors.predicted_first, found.errors.label_first), (third, 0.0));
        assert_eq!((found.correct.n, found.correct.disagreement), (2, 0.5));
        assert_eq!((found.correct.predicted_first, found.correct.label_first), (1.0, 1.0));
        assert_eq!(found.p_value, 1.0);
    }
}
