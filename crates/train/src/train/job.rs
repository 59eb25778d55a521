//! The inputs and the outcome of a training.

use super::record::{Ending, EpochRecord};
use super::run_folder::RunFolder;
use crate::config::Config;
use crate::data::{DataSource, Dataset};
use crate::evaluate::Predictions;
use moue::Device;
use moue::model::Model;
use moue_engine::Communicator;
use std::sync::Arc;

/// The outcome of a training.
pub struct Outcome {
    /// How the training ended.
    pub ending: Ending,
    /// The best epoch's model; `None` when no epoch is finished.
    pub model: Option<Model>,
    /// Its predictions for the validation split, with the temperature of its calibration.
    pub validation: Option<Predictions>,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// The selected epoch, from 1; 0 when there is none.
    pub best_epoch: usize,
}

/// The inputs of a training.
pub struct Job<'a> {
    /// Architecture and options.
    pub config: &'a Config,
    /// Images with splits, in the form of the network's input.
    pub dataset: &'a Dataset,
    /// `drawn` for synthetic faces, or `given` with the path.
    pub source: DataSource,
    /// The run folder; only the first of several ranks writes.
    pub folder: &'a RunFolder,
    /// A model that initializes the weights.
    pub init: Option<&'a Model>,
    /// Resumes from the folder's checkpoint.
    pub resume: bool,
    /// The ranks of a distributed training, each of which calls [`train`](super::train) with the
    /// same job; `None` for a single process.
    pub communicator: Option<Arc<dyn Communicator>>,
    /// The device that trains and validates. A run may be resumed on another one.
    pub device: Device,
}

impl<'a> Job<'a> {
    /// A training from random weights in a single process on the CPU.
    #[must_use]
    pub fn new(config: &'a Config, dataset: &'a Dataset, source: DataSource, folder: &'a RunFolder) -> Self {
        Self {
            config,
            dataset,
            source,
            folder,
            init: None,
            resume: false,
            communicator: None,
            device: Device::default(),
        }
    }
}
