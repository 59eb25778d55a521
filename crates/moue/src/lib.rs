//! Predict facial expressions: models, faces in photos and video, saliency maps.
//!
//! A [`model`] is read from a file; a [`classifier`] runs it on pictures of faces;
//! [`detect`] finds the faces of a photo and [`predict`] does all of it, for photos, while
//! [`video`] follows faces from frame to frame. [`explain`] shows which parts of a face a
//! prediction depends on, and [`render`] draws. How models are made is the matter of the
//! crate `moue-train`.
//!
//! An expression is an appearance. It does not determine what a person feels.
#![deny(missing_docs)]

pub mod classifier;
pub mod detect;
pub mod explain;
pub mod fs;
pub mod image;
pub mod model;
pub mod predict;
pub mod prediction;
pub mod render;
pub mod video;

pub use classifier::Classifier;
pub use moue_engine::Isa;

/// An error and its causes on one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text += &format!(": {next}");
        cause = next.source();
    }
    text
}

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
