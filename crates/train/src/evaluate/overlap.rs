//! Training images among the images of an evaluation.

use crate::data::{Dataset, NumberedSplit, Split, TrainingImages};

/// How many of the images of an evaluation a model was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingOverlap {
    /// Number of training images, including slightly changed copies.
    pub images: usize,
    /// Number of images of the evaluation.
    pub of: usize,
    /// The split of the evaluation.
    pub split: Split,
    /// For Kaggle's numbered files, how they are split.
    pub numbered: Option<NumberedSplit>,
}

impl TrainingOverlap {
    /// Counts the training images in a split of a data set.
    #[must_use]
    pub fn new(known: &TrainingImages, dataset: &Dataset, split: Split) -> Self {
        let images = dataset.indices(split);
        let numbered = dataset.numbered_split();
        Self { images: known.count(dataset, &images), of: images.len(), split, numbered }
    }

    /// A warning about the accuracy of these models, and what to do; `None` without training images.
    #[must_use]
    pub fn warning(&self, models: &str) -> Option<String> {
        let remedy = match (self.split, self.numbered) {
            (Split::Train, _) => "evaluate on another split with --split",
            (_, Some(NumberedSplit::AsGiven)) => {
                "evaluate on FER2013's official split: --official-split instead of --as-given"
            }
            _ => "evaluate on other images, or train without such images: --set data.exclude_leaks=true",
        };
        (self.images > 0).then(|| {
            format!(
                "{} of the {} images ({:.1} %) are training images of {models} or copies of them, so the accuracy is too high for new \
                 images; {remedy}",
                self.images,
                self.of,
                self.images as f64 / self.of as f64 * 100.0
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_what_to_do() {
        let overlap = |images, split, numbered| TrainingOverlap { images, of: 168, split, numbered }.warning("tiny");
        assert_eq!(overlap(0, Split::Test, None), None);
        let warning = overlap(149, Split::Validation, Some(NumberedSplit::AsGiven)).unwrap();
        assert!(warning.starts_with("149 of the 168 images (88.7 %) are training images of tiny"), "{warning}");
        assert!(warning.contains("--official-split"), "{warning}");
        assert!(overlap(1, Split::Train, None).unwrap().contains("--split"));
        assert!(overlap(1, Split::Test, None).unwrap().contains("exclude_leaks"));
    }
}
