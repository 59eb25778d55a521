//! Errors of audits.

use crate::data::DataError;
use crate::evaluate::DataMismatch;
use crate::train::TrainError;
use moue::model::ModelFileError;
use std::path::PathBuf;

/// Errors of audits.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// The model does not fit the data.
    #[error(transparent)]
    Fit(#[from] DataMismatch),
    /// A fold cannot be trained.
    #[error("fold {fold}")]
    Train {
        /// Its number, from 1.
        fold: usize,
        /// The cause.
        source: TrainError,
    },
    /// There are too few images for the folds.
    #[error("{images} images cannot be divided into {folds} folds of at least two; use fewer folds")]
    TooFew {
        /// Images to audit.
        images: usize,
        /// Folds.
        folds: usize,
    },
    /// A cross-validation needs two folds.
    #[error("{0} folds are too few: use 2 to 100")]
    Folds(usize),
    /// The folder has another audit.
    #[error("{} contains another audit or other files; choose another folder with --out", .0.display())]
    Other(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The stored predictions of a fold are damaged.
    #[error("the predictions {} are damaged; remove the file to train the fold again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The results cannot be represented in JSON.
    #[error("the audit cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}
