//! Where the faces are in a photo.
//!
//! The bundled detector is `seetaface`; `yunet` runs another one that a person
//! supplies. Their expressions are not known here.

mod detection;
mod detector;
mod seetaface;
#[cfg(feature = "yunet")]
mod yunet;

pub use detection::{DetectOptions, Detection};
pub use detector::Detector;
#[cfg(feature = "yunet")]
pub use yunet::{YuNet, YuNetError};
