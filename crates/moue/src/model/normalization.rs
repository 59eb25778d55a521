//! Normalization of pixels. `moue-train` measures the values.

use serde::{Deserialize, Serialize};

/// Normalization of pixels: `(pixel / 255 − mean) / std`, with one value for each channel or one
/// for all channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// On the scale 0–1.
    mean: Vec<f32>,
    /// On the scale 0–1; positive.
    std: Vec<f32>,
}

impl Normalization {
    /// The error message for values that [`Self::new`] rejects.
    pub(super) const UNUSABLE: &'static str =
        "its normalization does not have finite means and positive standard deviations";

    /// A mean and a standard deviation for each channel, or one for all, on the scale 0–1; `None`
    /// where one is missing or not finite, or a deviation is not positive.
    #[must_use]
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Option<Self> {
        let usable = !mean.is_empty() && !std.is_empty() && mean.iter().all(|value| value.is_finite());
        (usable && std.iter().all(|value| value.is_finite() && *value > 0.0)).then_some(Self { mean, std })
    }

    /// Means of the channels, on the scale 0–1.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Standard deviations of the channels, on the scale 0–1.
    #[must_use]
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Division of pixels by 255.
    #[must_use]
    pub fn unit() -> Self {
        Self { mean: vec![0.0], std: vec![1.0] }
    }

    /// For channel `c`, the factor and offset that map a pixel (0–255) to an input.
    #[must_use]
    pub fn factor_and_offset(&self, c: usize) -> (f32, f32) {
        let of = |values: &[f32], missing: f32| values.get(c).or(values.first()).copied().unwrap_or(missing);
        let (mean, std) = (of(&self.mean, 0.0), of(&self.std, 1.0));
        (1.0 / (255.0 * std), -mean / std)
    }

    /// Normalizes values of 0–255, `[…, channels]`, in place.
    pub fn apply(&self, values: &mut [f32], channels: usize) {
        for c in 0..channels {
            let (factor, offset) = self.factor_and_offset(c);
            values.iter_mut().skip(c).step_by(channels).for_each(|v| *v = *v * factor + offset);
        }
    }
}
