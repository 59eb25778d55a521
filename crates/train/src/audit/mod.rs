//! Audits: which labels of a data set are probably wrong, and which images have other faults.
//!
//! `folds` divides the images, `predictions` trains a network for each fold, `confident` compares labels with
//! out-of-fold probabilities, `outliers` compares features, `pictures` measures pixels, `groups` examines near-duplicates,
//! and `result` has the tables. [`crate::experiment::audit`] runs all of it.

pub mod confident;
mod error;
pub mod folds;
mod groups;
mod kinds;
mod outliers;
pub mod pictures;
mod predictions;
mod result;

pub use confident::{Confident, NoisePair};
pub use error::AuditError;
pub use folds::folds;
pub use groups::{GroupMember, Groups, agreement, members};
pub use kinds::Kind;
pub use outliers::outliers;
pub use predictions::{CrossValidation, OutOfFold, Progress, predict};
pub use result::{
    Audit, AuditDocument, AuditedImage, ClassNoise, Findings, ISSUE_COLUMNS, IssueRow, KindCount, SCORE_COLUMNS,
    key_name,
};
