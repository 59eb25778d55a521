//! What a model needs to predict with 8-bit integers.

use moue_engine::Network;
use moue_engine::inference::{Ranges, int8_layers};
use serde::{Deserialize, Serialize};

/// The ranges of a model's activations, and the accuracy with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Int8 {
    /// The lowest and the highest value that bytes represent, of the input of each layer, by name.
    pub ranges: Ranges,
    /// Number of training images that the ranges were computed from.
    pub images: usize,
    /// The accuracy with 8-bit integers, compared with f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Int8Accuracy>,
}

/// Accuracies on the same images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Int8Accuracy {
    /// Name of the split.
    pub split: String,
    /// Number of images.
    pub n: usize,
    /// Accuracy in f32, from 0 to 1.
    pub f32: f64,
    /// Accuracy with 8-bit integers, from 0 to 1.
    pub int8: f64,
}

impl Int8Accuracy {
    /// The loss of accuracy.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.f32 - self.int8
    }
}

/// Ranges that do not fit a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RangeError {
    /// There is no such layer.
    #[error("the int8 ranges name `{0}`, which is not a convolution or dense layer between the first and the last one")]
    Layer(String),
    /// The ends of a range are not finite, or in the wrong order.
    #[error("the int8 range of `{layer}` is {low} to {high}; expected two finite numbers, the lower one first")]
    Range {
        /// Name of the layer.
        layer: String,
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
    },
}

impl Int8 {
    /// Checks that the ranges fit a network.
    pub(super) fn check(&self, network: &Network) -> Result<(), RangeError> {
        let layers = int8_layers(network);
        for (layer, &[low, high]) in &self.ranges {
            if !layers.contains(layer) {
                return Err(RangeError::Layer(layer.clone()));
            }
            if !(low.is_finite() && high.is_finite() && low <= high) {
                return Err(RangeError::Range { layer: layer.clone(), low, high });
            }
        }
        Ok(())
    }
}
