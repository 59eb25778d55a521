//! Face detection.
//!
//! [`Detector`] finds the faces of a photo: `views` are the parts and scales at which the photo is
//! searched, `network` runs a view, and `merge` makes one detection of the responses to one face.
//! Facial expressions are predicted in [`crate::predict`].

mod detection;
mod detector;
mod merge;
mod network;
#[cfg(test)]
mod parity;
mod views;

pub use detection::{DetectOptions, Detection};
pub use detector::Detector;
pub use network::DetectorError;
