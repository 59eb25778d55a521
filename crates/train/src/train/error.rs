//! Errors of a training.

use super::checkpoint::CheckpointError;
use crate::evaluate::DataMismatch;
use moue::model::{ArchitectureError, ModelFileError};
use std::path::PathBuf;

/// Errors of a training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The architecture does not fit the data.
    #[error("cannot build the architecture for this data")]
    Architecture(#[from] ArchitectureError),
    /// A split is empty.
    #[error("this data has no {0} images")]
    Empty(&'static str),
    /// Too few validation images for `calibration = "vector"`.
    #[error(
        "`calibration = \"vector\"` fits a factor and a bias for each class, which requires 1000 validation images, but \
         this data has {images}; use `calibration = \"temperature\"`"
    )]
    TooFewToCalibrate {
        /// Number of validation images.
        images: usize,
    },
    /// A class has no training images, so that its prior is 0.
    #[error("`{key}` divides by the share of each class in the training targets, but the class `{class}` has none")]
    NoPrior {
        /// The option.
        key: &'static str,
        /// The class.
        class: String,
    },
    /// The calibration of a model cannot be set.
    #[error(transparent)]
    Calibration(#[from] moue::model::CalibrationError),
    /// The data cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] DataMismatch),
    /// The loss became NaN or infinite.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step} (learning rate {learning_rate}); lower the learning rate, \
         set clip_norm = 1.0, or add batch normalization. The last checkpoint is unchanged"
    )]
    Diverged {
        /// NaN or infinity.
        loss: f64,
        /// Number of the epoch, from 1.
        epoch: usize,
        /// Number of the step, from 1.
        step: usize,
        /// Learning rate of that step.
        learning_rate: f32,
    },
    /// The GPU failed.
    #[error(
        "the training on the GPU failed (batches of {batch_size} images); the last checkpoint is unchanged, and \
         `--resume` continues from it on any device"
    )]
    Gpu {
        /// Images of a batch.
        batch_size: usize,
        /// What failed.
        source: moue::DeviceError,
    },
    /// Several processes train on a GPU.
    #[error("a training in several processes computes on the CPU; leave out --device, or train in one process")]
    GpuWithRanks,
    /// A network cannot be prepared on the device.
    #[error("cannot prepare {what}")]
    Prepare {
        /// The network.
        what: &'static str,
        /// Why.
        source: moue::PrepareError,
    },
    /// Another process trains in the run folder.
    #[error("another process is training in {}; wait until it ends, or choose another folder", .folder.display())]
    InUse {
        /// The run folder.
        folder: PathBuf,
    },
    /// A file of the run folder cannot be written.
    #[error("cannot write {}; an existing file is unchanged", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The configuration cannot be represented in TOML.
    #[error("the configuration cannot be written as TOML")]
    Toml(#[from] toml::ser::Error),
    /// The model cannot be written.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// The checkpoint is not valid.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A teacher does not fit the data.
    #[error("a teacher does not fit the data: {0}; --no-teachers trains without teachers")]
    Teacher(String),
    /// A teacher cannot be read.
    #[error("cannot read a teacher; --no-teachers trains without teachers")]
    UnreadTeacher(#[source] ModelFileError),
    /// The network's weights depend on the size of the images.
    #[error(
        "`progressive` requires a network whose weights do not depend on the image size, but at {size:?} this network has \
         other weights or cannot be built; use global pooling instead of `flatten`"
    )]
    Progressive {
        /// `[height, width]`.
        size: [usize; 2],
    },
    /// The ranks of one training were started differently.
    #[error(
        "the {what} of rank {rank} differs from rank 0; start all ranks with the same program, arguments and files"
    )]
    RanksDiffer {
        /// Number of the rank, from 0.
        rank: usize,
        /// The difference.
        what: &'static str,
    },
    /// The model of `--init` has another architecture.
    #[error(
        "the given model ({model}) has weights for only {kept} of {of} layers; --init requires the architecture that the \
         model was trained with, in which some layers may be new, such as the last one for other classes. New would be \
         {new}"
    )]
    OtherArchitecture {
        /// Name of the model's architecture.
        model: String,
        /// Number of layers with weights in the model.
        kept: usize,
        /// Number of layers with weights.
        of: usize,
        /// Names of the other layers.
        new: String,
    },
    /// A frozen layer has no weights in the model of `--init`.
    #[error("the layer {0} is new and cannot be frozen; lower train.freeze")]
    FrozenNew(String),
    /// Layers with random weights are frozen.
    #[error(
        "train.freeze = {0} keeps the weights of a model, but none is given; add --init MODEL or remove train.freeze"
    )]
    FrozenRandom(usize),
    /// All layers with weights are frozen.
    #[error("train.freeze = {0} freezes all layers that have weights; lower it")]
    AllFrozen(usize),
}
