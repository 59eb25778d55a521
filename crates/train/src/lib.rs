//! Train, compare and evaluate classifiers for facial expressions.
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("moue-train-guide-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # std::env::set_current_dir(&folder)?;
//! # moue_train::data::synthetic::write("fer2013.csv", 70, 0)?;
//! let run = moue_train::Trainer::preset("small")?.data("fer2013.csv").set("train.epochs", "20")?.run()?;
//! println!("{:.3}", run.metrics.accuracy);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! An expression is an appearance. It does not determine what a person feels.
//!
//! # Modules
//!
//! [`config`] holds the options, [`data`] reads and splits images, [`augment`] augments them,
//! [`train`] fits a network, [`evaluate`] computes metrics, [`report`] renders the results, and
//! [`experiment`] runs all of it, once or for many configurations ([`comparison`]). [`mod@tune`] searches
//! for a configuration, and [`mod@bench`] measures speed. Models and predictions are in the crate `moue`.
//!
//! # Data
//!
//! [`data::DataSource`] opens FER2013's CSV file, Kaggle's zip archive, folders named after their
//! classes, or (feature `parquet`) Parquet files, compressed or not, or generates synthetic faces.
//! [`data::Dataset::from_images`] takes images from memory. A data set has the splits `train`,
//! `validation` and `test`; where a source has no validation split, a share of the training images
//! is used for validation. [`data::Votes`] are people's votes on the images: targets of a training, or
//! the reference of an evaluation.
//!
//! # Training
//!
//! [`Trainer`] is the high-level interface. [`experiment::RunConfig::resolve`] resolves options as
//! the command line does; [`train::train`] runs a [`train::Job`], which may be resumed from its
//! checkpoint or distributed over several processes. With the same configuration, data, binary and
//! instruction set, the model file is bit-identical for any number of threads.
//!
//! # Evaluation
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("moue-evaluate-guide-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # std::env::set_current_dir(&folder)?;
//! # moue_train::data::synthetic::write("faces", 70, 0)?;
//! use moue_train::evaluate::{EvaluateOptions, evaluate};
//!
//! let options = EvaluateOptions { model: "tiny".into(), data: Some("faces".into()), ..Default::default() };
//! let evaluation = evaluate(&options, &mut |_| {})?;
//! let metrics = &evaluation.result.metrics;
//! println!("accuracy {:.3}, 95 % interval {:?}, n = {}", metrics.accuracy, metrics.accuracy_ci95, metrics.n);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! [`evaluate::compute_metrics`] computes the same metrics from labels and probabilities of your own.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod audit;
pub mod augment;
pub mod bench;
pub mod comparison;
pub mod config;
mod csv_rows;
pub mod data;
pub mod evaluate;
pub mod experiment;
mod gpu;
pub mod report;
pub mod train;
pub mod tune;

pub use experiment::Trainer;

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
