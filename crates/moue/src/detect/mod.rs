//! Face detection.
//!
//! The bundled detector is `seetaface`; `yunet` runs a detector from an ONNX file that the user
//! supplies. Facial expressions are predicted in [`crate::predict`].

mod detection;
mod detector;
mod seetaface;
#[cfg(feature = "yunet")]
mod yunet;

pub use detection::{DetectOptions, Detection};
pub use detector::Detector;
#[cfg(feature = "yunet")]
pub use yunet::{YuNet, YuNetError};
