//! Train, compare and evaluate classifiers for facial expressions.
//!
//! Data flows one way: [`config`] says what is wanted, [`data`] reads and splits images,
//! [`augment`] alters them, [`train`] fits a network, [`evaluate`] measures it, [`report`]
//! draws what came out, and [`experiment`] does all of it, once or for many configurations
//! ([`comparison`]). [`mod@bench`] measures how fast a network is. Models and predictions
//! are in the crate `moue`.
//!
//! An expression is an appearance. It does not determine what a person feels.
#![deny(missing_docs)]

pub mod augment;
pub mod bench;
pub mod comparison;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod experiment;
pub mod report;
pub mod train;

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
