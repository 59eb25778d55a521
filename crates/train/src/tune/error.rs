//! Errors of a search.

use super::space::SpaceError;
use crate::data::DataError;
use crate::evaluate::EvaluationError;
use crate::experiment::{CompareError, RunConfigError};
use crate::train::TrainError;
use std::path::PathBuf;

/// Errors of a search. A configuration that cannot be trained is a failed trial instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// The space has no valid configuration.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// An option is not valid.
    #[error(transparent)]
    Options(#[from] RunConfigError),
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A trial cannot be trained here.
    #[error("trial {trial}")]
    Train {
        /// Its number.
        trial: usize,
        /// The cause.
        source: TrainError,
    },
    /// The best configuration cannot be trained again.
    #[error(transparent)]
    Best(#[from] CompareError),
    /// The best models cannot be evaluated on the test split.
    #[error("cannot evaluate the best configuration on the test split")]
    Test(#[from] EvaluationError),
    /// There is no test split.
    #[error("--test: this data has no test split; its splits are {0}")]
    NoTest(String),
    /// The folder has the results of another search.
    #[error("{} contains another search; choose another folder with --out", .0.display())]
    OtherSearch(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file of the search is damaged.
    #[error("{} is not valid: {reason}; remove the folder that contains it, and repeat the command", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
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
    #[error("the results cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The configuration cannot be represented in TOML.
    #[error("the configuration cannot be written as TOML")]
    Toml(#[from] toml::ser::Error),
    /// The threads of the workers cannot be started.
    #[error("cannot start the threads of the workers")]
    Threads(#[source] std::io::Error),
}
