//! Data sets: one [`Dataset`] from whatever a person has downloaded.
//!
//! [`open`] reads a source (`sources`), keeps the decoded pixels in a `cache`, decides the
//! splits (`splits`) and leaves out what should not be trained on (`clean`).
//! [`statistics`] describes the result; [`synthetic`] makes synthetic faces; [`inputs()`] turns
//! images into tensors. Augmentation is elsewhere: pixels here are as they came.

mod cache;
mod clean;
mod dataset;
mod duplicates;
mod error;
mod inputs;
mod open;
mod raw;
mod source;
mod sources;
mod splits;
pub mod statistics;
pub mod synthetic;
pub mod table;
#[cfg(feature = "parquet")]
mod table_parquet;

pub use cache::Cache;
pub use dataset::{Broken, Dataset, FER2013_CLASSES, ImageSpec, LabeledImage, Split};
pub use duplicates::near_duplicates;
pub use error::DataError;
pub use inputs::{fill, inputs};
pub use open::open;
pub use source::DataSource;
#[cfg(feature = "parquet")]
pub use table_parquet::{ParquetTableError, to_parquet};
