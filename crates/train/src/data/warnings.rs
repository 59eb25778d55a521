//! Warnings about data sets that are too small to train on, or to measure an accuracy on.

use super::dataset::{Dataset, Split};

/// Number of training images of a class, and of validation images, below which a warning is given.
const LEAST_OF_CLASS: usize = 20;
const LEAST_OF_VALIDATION: usize = 50;

/// What is too small in a data set.
#[must_use]
pub fn warnings(dataset: &Dataset) -> Vec<String> {
    let mut warnings = Vec::new();
    let counts = dataset.per_class(&dataset.indices(Split::Train));
    let few = dataset.classes.iter().zip(counts).filter(|(_, count)| *count < LEAST_OF_CLASS);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, synthetic};

    #[test]
    fn small_classes_and_small_validation_splits_are_warned_about() {
        let spec = || ImageSpec { size: Some([24, 24]), channels: 1 };
        assert_eq!(warnings(&synthetic::dataset(1400, spec(), 0)), Vec::<String>::new());
        let few = warnings(&synthetic::dataset(42, spec(), 0));
        assert_eq!(few.len(), 2);
        assert!(few[0].contains("angry ") && few[1].contains("points"), "{few:?}");
    }
}
