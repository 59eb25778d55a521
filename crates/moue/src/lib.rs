//! Train, compare and explain classifiers for facial expressions.
//!
//! Data flows one way: [`data`] reads and splits images, [`augment`] alters
//! them, [`model`] turns an architecture file into a network, [`train`] fits it,
//! [`evaluate`] judges it, [`predict`] uses it on photos and [`video`] on films,
//! [`report`] draws what came out, [`mod@bench`] tells how fast all that is. [`config`] is the architecture file that ties them together.
//!
//! An expression is an appearance. It does not determine what a person feels.
#![deny(missing_docs)]

pub mod augment;
pub mod bench;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod model;
pub mod predict;
pub mod report;
pub mod train;
pub mod video;

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
