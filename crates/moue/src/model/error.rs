//! Why a model cannot be read or written.

use super::build::ArchitectureError;
use std::path::PathBuf;

/// Why a model file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// A name of a model that other builds of the program have in them.
    #[error("this build has no model `{0}` in it: name a model file")]
    NotBundled(String),
    /// The model cannot be brought into a file's form.
    #[error("the model cannot be written: {0}")]
    Encode(String),
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}; what was there before is untouched", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no safetensors file.
    #[error("{} is not a model file: {reason}", .path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Its architecture is no network.
    #[error("the architecture in {} is not usable", .path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ArchitectureError,
    },
}
