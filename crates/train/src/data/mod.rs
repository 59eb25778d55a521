//! Data sets: loads a [`Dataset`] from a file or folder as it was downloaded.
//!
//! [`open`] reads a source (`sources`), stores the decoded pixels in a `cache`, determines the
//! splits (`splits`) and removes unsuitable training images (`clean`). [`TrainingImages`] are kept
//! with a run. [`statistics`] describes a dataset; [`faces`] cuts the faces out of photos;
//! [`synthetic`] generates synthetic faces; [`inputs()`] converts images to tensors.
//! Augmentation is in [`crate::augment`].

mod cache;
mod clean;
mod dataset;
mod duplicates;
mod error;
mod face_records;
pub mod faces;
mod fixes;
mod fixing;
mod image_key;
mod inputs;
mod luma;
mod open;
mod png;
mod raw;
mod soft_targets;
mod source;
mod sources;
mod splits;
pub mod statistics;
pub mod synthetic;
pub mod table;
#[cfg(feature = "parquet")]
mod table_parquet;
mod training_images;
mod votes;
mod warnings;

pub use cache::Cache;
pub use dataset::{Broken, Dataset, FER2013_CLASSES, ImageSpec, LabeledImage, NumberedSplit, Split};
pub use duplicates::near_duplicates;
pub use error::DataError;
pub use fixes::{AppliedFixes, Fix, FixAction};
pub use image_key::images_named;
pub use inputs::inputs;
pub use luma::Luma;
pub use open::open;
pub use source::DataSource;
#[cfg(feature = "parquet")]
pub use table_parquet::{ParquetTableError, to_parquet};
pub use training_images::{TRAINING_IMAGES_FILE, TrainingImages};
pub use votes::{
    CONTEMPT, ClassAgreement, Contradiction, ImageVotes, LabelAgreement, SplitAgreement, Unusable, Votes,
    agreement_of_one, label_agreement, processed,
};
pub use warnings::{split_warnings, warnings};
