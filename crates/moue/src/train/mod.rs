//! Training: the loop over epochs and steps, what it keeps and what it writes.
//!
//! [`train`] fills a run folder (`run_folder`) and ends with a model; the steps
//! are taken in `training`. The learning rate comes from `schedule`, the images
//! from `batches`, what they are to be taken for from `targets`, and everything
//! needed to go on after an interruption from `checkpoint`. Several processes may
//! train together: what they share out is in `ranks`, how they talk in `mpi`. [`compare`] trains
//! several, `vary` makes several out of one.

mod batches;
mod checkpoint;
mod compare;
#[cfg(feature = "mpi")]
mod mpi;
mod options;
mod ranks;
mod run_folder;
mod schedule;
mod targets;
mod tensorboard;
mod training;
mod vary;

pub use batches::plain;
pub use checkpoint::{CheckpointError, peek};
pub use compare::{
    CompareError, Comparison, EpochFigures, Experiment, OpenData, Row, Run, collect, compare, plan, run_folders,
};
pub use moue_engine::{Gradient, Group};
#[cfg(feature = "mpi")]
pub use mpi::{Mpi, MpiError};
pub use options::{ClassWeights, OptimizerName, ScheduleName, SizeStage, TrainOptions};
pub use run_folder::RunFolder;
pub use vary::{Variation, VaryError, with_option};

use crate::config::Config;
use crate::data::{self, Cache, DataError, DataOptions, Dataset, ImageForm, drawn};
use crate::evaluate::EvaluateError;
use crate::model::{ArchitectureError, Model, ModelFileError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use training::Training;

/// One epoch's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// At the epoch's last step.
    pub learning_rate: f32,
    /// Mean over the epoch's steps, with dropout and augmentation.
    pub train_loss: f64,
    /// Likewise.
    pub train_accuracy: f64,
    /// After the epoch, plain cross-entropy.
    pub validation_loss: f64,
    /// After the epoch.
    pub validation_accuracy: f64,
    /// Of training and validation.
    pub seconds: f64,
    /// Training images per second, validation left out.
    pub images_per_second: f64,
    /// Seconds since 1970, for TensorBoard.
    pub wall_time: f64,
}

/// What a training says while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// After each step.
    Step {
        /// From 1.
        epoch: usize,
        /// Of all.
        epochs: usize,
        /// Images seen in this epoch.
        images: usize,
        /// Images in an epoch.
        of: usize,
        /// Mean loss in this epoch so far.
        loss: f64,
    },
    /// After each epoch.
    Epoch {
        /// Its figures.
        record: &'a EpochRecord,
        /// Of all.
        epochs: usize,
        /// Whether it is the best so far.
        best: bool,
    },
    /// Something worth a line.
    Note(String),
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// All epochs done.
    Finished,
    /// No better validation accuracy for `early_stopping` epochs.
    #[serde(rename = "stopped early")]
    StoppedEarly,
    /// Asked to stop; the folder holds what is needed to resume.
    Interrupted,
}

/// What a training leaves behind.
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The best epoch's model; `None` when no epoch was finished.
    pub model: Option<Model>,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// Its epoch, from 1; 0 when there is none.
    pub best_epoch: usize,
}

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The architecture does not fit the data.
    #[error("the architecture does not fit the data")]
    Architecture(#[from] ArchitectureError),
    /// A split is empty.
    #[error("there are no {0} images in this data")]
    Empty(&'static str),
    /// The data cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
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
    /// A model has no file's form.
    #[error("a model cannot be written as a file: {0}")]
    Unwritable(String),
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

/// A training to be done.
pub struct Job<'a> {
    /// Architecture and options.
    pub config: &'a Config,
    /// Images with splits, in the form of the network's input.
    pub dataset: &'a Dataset,
    /// `drawn`, or `given` with the path it was given as.
    pub source: DataSource,
    /// Where everything goes; of several ranks the first alone writes.
    pub folder: &'a RunFolder,
    /// A model to start from.
    pub init: Option<&'a Model>,
    /// Goes on from the folder's checkpoint.
    pub resume: bool,
    /// The processes that train together, each of which calls [`train`] with the
    /// same job; `None` for one alone.
    pub group: Option<Arc<dyn Group>>,
}

/// Where a run's data came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataSource {
    /// Drawn by the program.
    Drawn,
    /// Given by path.
    Given(PathBuf),
}

impl std::fmt::Display for DataSource {
    /// For headings.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Drawn => f.write_str("drawn faces"),
            Self::Given(path) => match path.file_name() {
                Some(name) => f.write_str(&name.to_string_lossy()),
                None => path.display().fmt(f),
            },
        }
    }
}

impl DataSource {
    /// Opens the data, in the form that a network takes. `progress` hears how many
    /// images are decoded.
    ///
    /// # Errors
    /// When the path holds no data set, or too much of it is broken.
    pub fn open(
        &self,
        form: ImageForm,
        options: &DataOptions,
        seed: u64,
        progress: &dyn Fn(usize),
    ) -> Result<Dataset, DataError> {
        match self {
            Self::Drawn => Ok(drawn::dataset(drawn::STANDARD_COUNT, form, seed)),
            Self::Given(path) => data::open(path, form, options, seed, &Cache::standard(), progress),
        }
    }

    /// For programs: `drawn`, or the path.
    #[must_use]
    pub fn path_text(&self) -> String {
        match self {
            Self::Drawn => self.word().to_owned(),
            Self::Given(path) => path.display().to_string(),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Given(_) => "given",
        }
    }
}

/// Trains until all epochs are done or `stop` is set, writing a checkpoint after
/// every epoch. Of several ranks every one gets the same outcome.
///
/// # Errors
/// When the data does not fit, the loss is no longer a number, or a file cannot
/// be written.
pub fn train(job: &Job<'_>, stop: &AtomicBool, observe: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, TrainError> {
    let mut training = Training::new(job, observe)?;
    if training.ranks.leads() {
        job.folder.write_config(job.config)?;
    }
    let ending = loop {
        if training.checkpoint.history.len() >= job.config.train.epochs {
            break Ending::Finished;
        }
        if training.ran_out_of_patience() {
            break Ending::StoppedEarly;
        }
        if !training.epoch(stop, observe)? {
            training.save()?;
            break Ending::Interrupted;
        }
        training.validate(observe)?;
        training.save()?;
    };
    let leads = training.ranks.leads();
    let outcome = training.finish(ending)?;
    if let (Some(model), true) = (&outcome.model, leads) {
        model.save(&job.folder.model())?;
    }
    Ok(outcome)
}
