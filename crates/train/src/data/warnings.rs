//! Warnings about data sets: parts that are not used, classes that splits do not have, and splits
//! that are too small to train on or to measure an accuracy on.

use super::dataset::{Dataset, Split};

/// Number of training images of a class, and of validation images, below which a warning is given.
const LEAST_OF_CLASS: usize = 20;
const LEAST_OF_VALIDATION: usize = 50;

/// What to know before training on a data set.
#[must_use]
pub fn warnings(dataset: &Dataset) -> Vec<String> {
    let mut warnings = split_warnings(dataset);
    let counts = dataset.per_class(&dataset.indices(Split::Train));
    let few = dataset.classes.iter().zip(counts).filter(|(_, count)| (1..LEAST_OF_CLASS).contains(count));
    let few: Vec<String> = few.map(|(class, count)| format!("{class} {count}")).collect();
    if !few.is_empty() {
        warnings.push(format!(
            "classes with fewer than {LEAST_OF_CLASS} training images are predicted poorly: {}",
            few.join(", ")
        ));
    }
    let images = dataset.indices(Split::Validation).len();
    if images < LEAST_OF_VALIDATION {
        // Half of the widest 95 % interval of a share.
        let points = (0.98 / (images.max(1) as f64).sqrt() * 100.0).min(50.0);
        warnings.push(format!(
            "the validation split has {images} images: with fewer than {LEAST_OF_VALIDATION}, its accuracy is uncertain by up \
             to ±{points:.0} points"
        ));
    }
    warnings
}

/// Parts of the source that are not used, and classes that only some of the splits have.
#[must_use]
pub fn split_warnings(dataset: &Dataset) -> Vec<String> {
    let counts = Split::ALL.map(|split| dataset.per_class(&dataset.indices(split)));
    let missing = Split::ALL.into_iter().filter_map(|split| {
        let own = &counts[split as usize];
        let classes: Vec<String> = (0..own.len())
            .filter(|&class| own[class] == 0 && own.iter().any(|&images| images > 0))
            .map(|class| {
                let others = Split::ALL.into_iter().filter(|&other| counts[other as usize][class] > 0);
                let others = others.map(|other| format!("{} in {}", counts[other as usize][class], other.name()));
                format!("{} ({})", dataset.classes[class], others.collect::<Vec<_>>().join(", "))
            })
            .collect();
        let effect = match split {
            Split::Train => "cannot be predicted",
            Split::Validation => "are not part of the validation accuracy, which selects the epoch",
            Split::Test => "are not part of the test accuracy",
        };
        (!classes.is_empty())
            .then(|| format!("classes without {} images {effect}: {}", adjective(split), classes.join(", ")))
    });
    dataset.unused.iter().cloned().chain(missing).collect()
}

fn adjective(split: Split) -> &'static str {
    if split == Split::Train { "training" } else { split.name() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, LabeledImage, synthetic};

    #[test]
    fn small_classes_and_small_validation_splits_are_warned_about() {
        let spec = || ImageSpec { size: Some([24, 24]), channels: 1 };
        assert_eq!(warnings(&synthetic::dataset(1400, spec(), 0)), Vec::<String>::new());
        let few = warnings(&synthetic::dataset(42, spec(), 0));
        assert_eq!(few.len(), 2);
        assert!(few[0].contains("angry ") && few[1].contains("points"), "{few:?}");
    }

    #[test]
    fn classes_that_only_some_splits_have_are_named_with_these_splits() {
        let image = |label, split| LabeledImage { id: String::new(), label, split, pixels: vec![0] };
        let classes = ["calm", "proud", "sad"].map(str::to_owned);
        let of = |images: &[(u32, Split)]| {
            let images = images.iter().map(|&(label, split)| image(label, split));
            split_warnings(&Dataset::from_images(&classes, [1, 1, 1], images).unwrap())
        };
        use Split::{Test, Train, Validation};
        let all = [(0, Train), (0, Validation), (1, Validation), (1, Test), (1, Test), (2, Train), (2, Test)];
        assert_eq!(
            of(&all),
            [
                "classes without training images cannot be predicted: proud (1 in validation, 2 in test)",
                "classes without validation images are not part of the validation accuracy, which selects the epoch: \
                 sad (1 in train, 1 in test)",
                "classes without test images are not part of the test accuracy: calm (1 in train, 1 in validation)",
            ]
        );
        assert_eq!(
            of(&[(0, Train), (1, Train), (2, Train), (0, Validation), (1, Validation), (2, Validation)]).len(),
            0
        );
        assert_eq!(of(&[(0, Test), (1, Test), (2, Test)]).len(), 0, "data without other splits");
    }
}
