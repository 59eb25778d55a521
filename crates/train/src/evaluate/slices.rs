//! Slices of a split: accuracy on the darkest fifth of the images, the most blurred fifth, and so on, each compared with the
//! rest of the split.
//!
//! Each slice is compared by Fisher's exact test (1935). Many slices are compared, so that some p-values are small by
//! chance: Holm's correction (1979, "A simple sequentially rejective multiple test procedure") holds the probability
//! of any false finding among all slices below the level.

use super::metrics::wilson;
use super::predictions::Predictions;
use crate::data::{Dataset, Luma};
use moue_engine::loss::argmax;
use rayon::prelude::*;
use serde::Serialize;

/// Number of slices of a property.
const PARTS: usize = 5;

/// A property of images by which a split is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// Mean luma, 0–255.
    Brightness,
    /// Difference of the 99th and the 1st percentile of the luma.
    Contrast,
    /// Standard deviation of the Laplacian, relative to that of the luma: low for blurred images.
    Sharpness,
    /// Height and width in the source: √(height × width), in pixels.
    Resolution,
}

impl Property {
    /// All properties.
    pub const ALL: [Self; 4] = [Self::Brightness, Self::Contrast, Self::Sharpness, Self::Resolution];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Brightness => "brightness",
            Self::Contrast => "contrast",
            Self::Sharpness => "sharpness",
            Self::Resolution => "resolution",
        }
    }
}

/// A part of a split, compared with the other images of the split.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slice {
    /// The property by which the split is divided into fifths. Images of the same value are in the same fifth, so that a
    /// property with few values has fewer fifths.
    pub property: Property,
    /// Lowest value in the slice.
    pub from: f64,
    /// Highest value in the slice.
    pub to: f64,
    /// Number of images.
    pub n: usize,
    /// Share of correct predictions.
    pub accuracy: f64,
    /// 95 % confidence interval of the accuracy (Wilson).
    pub accuracy_ci95: [f64; 2],
    /// Accuracy on the other images of the split.
    pub rest_accuracy: f64,
    /// Two-sided p-value of Fisher's exact test: slice and rest have the same accuracy.
    pub p_value: f64,
    /// The p-value with Holm's correction for the number of all slices.
    pub p_holm: f64,
}

/// The slices of the images of these predictions; none of a property that all images have in common.
#[must_use]
pub fn slices(predictions: &Predictions, dataset: &Dataset) -> Vec<Slice> {
    let correct: Vec<bool> = predictions.rows().map(|(row, label)| argmax(row) == label).collect();
    let measured: Vec<[Option<f32>; 4]> = predictions
        .images
        .par_iter()
        .map(|&image| {
            let luma = Luma::of(dataset, image);
            let [height, width] = dataset.sizes()[image].map(|extent| extent as f32);
            [Some(luma.brightness()), Some(f32::from(luma.contrast())), luma.sharpness(), Some((height * width).sqrt())]
        })
        .collect();
    let mut found = Vec::new();
    for (column, property) in Property::ALL.into_iter().enumerate() {
        let known = measured.iter().zip(&correct);
        let known: Vec<(f32, bool)> = known.filter_map(|(row, &hit)| Some((row[column]?, hit))).collect();
        found.extend(of_property(property, known));
    }
    let corrected = holm(&found.iter().map(|slice| slice.p_value).collect::<Vec<_>>());
    found.iter_mut().zip(corrected).for_each(|(slice, p)| slice.p_holm = p);
    found
}

/// The slices of one property, from its values and whether the predictions are correct.
fn of_property(property: Property, mut known: Vec<(f32, bool)>) -> Vec<Slice> {
    known.sort_by(|one, other| one.0.total_cmp(&other.0));
    let bounds: Vec<f32> =
        (1..PARTS).filter_map(|part| known.get(part * known.len() / PARTS)).map(|own| own.0).collect();
    let (n, hits) = (known.len(), known.iter().filter(|(_, hit)| *hit).count());
    let parts = known.chunk_by(|one, other| {
        let part = |value: f32| bounds.partition_point(|&bound| bound <= value);
        part(one.0) == part(other.0)
    });
    let slice = |part: &[(f32, bool)]| {
        let own = part.iter().filter(|(_, hit)| *hit).count();
        let (size, rest) = (part.len(), n - part.len());
        Slice {
            property,
            from: f64::from(part[0].0),
            to: f64::from(part[size - 1].0),
            n: size,
            accuracy: own as f64 / size as f64,
            accuracy_ci95: wilson(own, size),
            rest_accuracy: (hits - own) as f64 / rest as f64,
            p_value: fisher([own, size], [hits - own, rest]),
            p_holm: 1.0,
        }
    };
    parts.filter(|part| part.len() < n).map(slice).collect()
}

/// Two-sided p-value of Fisher's exact test of two shares, given as hits and numbers: the probability, given the sums, of
/// all tables that are at most as probable.
#[must_use]
pub fn fisher([a, n]: [usize; 2], [b, m]: [usize; 2]) -> f64 {
    let hits = a + b;
    let ln_factorial = |k: usize| libm::lgamma(k as f64 + 1.0);
    let ln_choose = |n: usize, k: usize| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let term = |k: usize| ln_choose(n, k) + ln_choose(m, hits - k) - ln_choose(n + m, hits);
    // Tables that are equally probable differ by rounding.
    let own = term(a) + 1e-7;
    let all = hits.saturating_sub(m)..=n.min(hits);
    all.map(term).filter(|&ln| ln <= own).map(libm::exp).sum::<f64>().min(1.0)
}

/// p-values with Holm's correction, in their order.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&one, &other| p_values[one].total_cmp(&p_values[other]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut least = 0.0f64;
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max(((p_values.len() - rank) as f64 * p_values[at]).min(1.0));
        corrected[at] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LabeledImage, Split};

    #[test]
    fn fishers_test_equals_published_and_manual_values() {
        // Fisher's tea: three of four cups, 2 (16 + 1) / 70.
        assert!((fisher([3, 4], [1, 4]) - 34.0 / 70.0).abs() < 1e-12);
        // Convictions of the twins of criminals, 10 of 13 and 2 of 17, from Fisher; SciPy has the same p-value in
        // `fisher_exact`.
        assert!((fisher([10, 13], [2, 17]) - 0.000_536_7).abs() < 5e-8, "{}", fisher([10, 13], [2, 17]));
        assert_eq!((fisher([0, 0], [3, 5]), fisher([5, 5], [5, 5])), (1.0, 1.0));
        assert_eq!(fisher([3, 9], [1, 20]), fisher([1, 20], [3, 9]));
    }

    #[test]
    fn holms_correction_equals_a_manual_computation() {
        let near = |found: Vec<f64>, expected: [f64; 4]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        near(holm(&[0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]);
        near(holm(&[0.6, 0.5, 0.001, 0.9]), [1.0, 1.0, 0.004, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    /// Predictions for images with these values of all pixels, correct where `hit` is.
    fn found(values: &[u8], hit: impl Fn(usize) -> bool) -> Vec<Slice> {
        let image = |(at, &value): (usize, &u8)| LabeledImage {
            id: at.to_string(),
            label: 0,
            split: Split::Test,
            pixels: vec![value],
        };
        let classes = ["one", "two"].map(str::to_owned);
        let images = values.iter().enumerate().map(image);
        let dataset = Dataset::from_images(&classes, [1, 1, 1], images).unwrap();
        let row = |at: usize| if hit(at) { [0.9, 0.1] } else { [0.1, 0.9] };
        let predictions = Predictions {
            images: (0..values.len()).collect(),
            labels: vec![0; values.len()],
            probabilities: (0..values.len()).flat_map(row).collect(),
        };
        slices(&predictions, &dataset)
    }

    #[test]
    fn a_fifth_with_more_errors_is_found() {
        let values: Vec<u8> = (0..100).rev().collect();
        // The darkest fifth, values 0 to 19, has 5 of 20 correct.
        let found = found(&values, |at| values[at] >= 20 || values[at].is_multiple_of(4));
        // All images have the same resolution and contrast, and no sharpness.
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(|slice| slice.property == Property::Brightness && slice.n == 20));
        assert_eq!((found[0].from, found[0].to, found[0].accuracy, found[0].rest_accuracy), (0.0, 19.0, 0.25, 1.0));
        assert_eq!((found[4].from, found[4].to), (80.0, 99.0));
        assert!(found[0].p_holm < 1e-9 && (found[0].p_holm / found[0].p_value - 5.0).abs() < 1e-9);
        assert!(found[1].p_value <= found[1].p_holm && found[1].rest_accuracy < 1.0);
    }

    #[test]
    fn images_of_the_same_value_are_in_the_same_slice() {
        let values: Vec<u8> = (0..50).map(|at| if at < 30 { 10 } else { 200 + at % 2 }).collect();
        let found = found(&values, |at| at % 3 == 0);
        assert_eq!(found.iter().map(|slice| slice.n).sum::<usize>(), 50);
        assert_eq!(found.iter().map(|slice| (slice.from, slice.n)).collect::<Vec<_>>()[0], (10.0, 30));
        assert!(self::found(&[7; 9], |_| true).is_empty(), "one value has no slices");
        assert!(self::found(&[], |_| true).is_empty());
    }
}
