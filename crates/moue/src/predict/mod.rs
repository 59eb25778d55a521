//! From photos to the expressions in them.
//!
//! [`inputs`] says which photos are meant, a [`Photo`] gives its pixels, and a
//! [`Predictor`] finds the faces, cuts them out and has them classified. The network is
//! in [`crate::classifier`], the search for faces in [`crate::detect`].

pub mod inputs;
mod photo;
mod predictor;

pub use inputs::{Input, InputError};
pub use photo::{Photo, PhotoError};
pub use predictor::{FaceCrops, Inspected, PredictOptions, Predictor};
