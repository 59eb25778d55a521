//! Options of predictions.

use crate::detect::DetectOptions;
use crate::tta::Tta;

/// Options of a [`Predictor`](super::Predictor).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictOptions {
    /// Detects faces; otherwise the whole picture is one face.
    pub detect: bool,
    /// Options of face detection.
    pub detect_options: DetectOptions,
    /// Averages the probabilities of several views of each face.
    pub tta: Tta,
    /// Adds a saliency map to each face ([`Face::explanation`](crate::Face::explanation)).
    pub explain: bool,
    /// Maximum of columns times rows of a photo; `None` for the decoder's limit.
    pub max_pixels: Option<u64>,
    /// Predicts the available part of a truncated file, with a warning; otherwise it is an error.
    pub allow_truncated: bool,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self {
            detect: true,
            detect_options: DetectOptions::default(),
            tta: Tta::None,
            explain: false,
            max_pixels: None,
            allow_truncated: false,
        }
    }
}
