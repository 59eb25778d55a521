//! Predicts the facial expressions in photos.
//!
//! [`inputs`] lists the photos, a [`Photo`] provides the pixels, and a [`Predictor`] detects the
//! faces, crops and classifies them. The network is in [`crate::classifier`], face detection in
//! [`crate::detect`].

pub mod inputs;
mod options;
mod photo;
mod predictor;

pub use inputs::{Input, Listed};
pub use options::PredictOptions;
pub use photo::{Photo, PhotoError};
pub use predictor::{FaceCrops, Inspected, Predictor};
