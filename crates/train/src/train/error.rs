//! Why a training failed.

use super::checkpoint::CheckpointError;
use crate::evaluate::DataMismatch;
use moue::model::{ArchitectureError, ModelFileError};
use std::path::PathBuf;

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The architecture does not fit the data.
    #[error("the architecture does not fit the data")]
    Architecture(#[from] ArchitectureError),
    /// A split is empty.
    #[error("there are no {0} images in this data")]
    Empty(&'static str),
    /// The data cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] DataMismatch),
    /// The loss left the numbers.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step} (learning rate {learning_rate}); lower the learning rate, \
         set clip_norm = 1.0, or add batch normalization. The last checkpoint was not touched"
    )]
    Diverged {
        /// NaN or infinity.
        loss: f64,
        /// From 1.
        epoch: usize,
        /// From 1.
        step: usize,
        /// At that step.
        learning_rate: f32,
    },
    /// A file of the run folder cannot be written.
    #[error("cannot write {}; what was there before is untouched", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The configuration cannot be written down.
    #[error("the configuration cannot be written as TOML")]
    Toml(#[from] toml::ser::Error),
    /// The model cannot be written.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A teacher cannot teach this.
    #[error("a teacher does not fit: {0}")]
    Teacher(String),
    /// The network's weights depend on the size of the images.
    #[error(
        "`progressive` needs a network that takes images of any size, and at {size:?} this one has other weights or \
         none at all; end it with global pooling instead of `flatten`"
    )]
    Progressive {
        /// `[height, width]`.
        size: [usize; 2],
    },
    /// The processes of one training were not started alike.
    #[error("rank {rank} has another {what} than rank 0; start all ranks with the same program, arguments and files")]
    RanksDiffer {
        /// From 0.
        rank: usize,
        /// What differs.
        what: &'static str,
    },
    /// `--init` found nothing to start from.
    #[error(
        "none of the model's weights fits this architecture; --init needs the architecture the model was trained with"
    )]
    NothingToStartFrom,
}
