//! Errors of reading and writing models.

use super::build::ArchitectureError;
use crate::message::did_you_mean;
use std::path::PathBuf;

/// Why a model file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// A bundled model that this build does not include.
    #[error(
        "this build does not include the bundled model `{0}`; use the path of a model file, or a build with the feature \
         `model-{0}`"
    )]
    NotBundled(String),
    /// The name is neither that of a bundled model nor a path that exists.
    #[error(
        "there is no model file or bundled model `{model}`; the bundled models are {bundled}{}",
        did_you_mean(.similar.as_deref())
    )]
    Unknown {
        /// The given name or path.
        model: String,
        /// Names of the bundled models.
        bundled: String,
        /// The nearest name or path.
        similar: Option<String>,
    },
    /// The model cannot be represented in the file format.
    #[error("the model cannot be written: {0}")]
    Encode(String),
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}; an existing file is unchanged", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not a safetensors file.
    #[error("{} is not a model file: {reason}", .path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// A network cannot be built from its architecture.
    #[error("the architecture in {} is not valid", .path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What is wrong with the architecture.
        source: ArchitectureError,
    },
}
