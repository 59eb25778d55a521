//! A training to be done, and what it leaves behind.

use super::record::{Ending, EpochRecord};
use super::run_folder::RunFolder;
use crate::config::Config;
use crate::data::{DataSource, Dataset};
use crate::evaluate::Predictions;
use moue::model::Model;
use moue_engine::Communicator;
use std::sync::Arc;

/// What a training leaves behind.
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The best epoch's model; `None` when no epoch was finished.
    pub model: Option<Model>,
    /// Its predictions for the validation split, calibrated.
    pub validation: Option<Predictions>,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// Its epoch, from 1; 0 when there is none.
    pub best_epoch: usize,
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
    /// The processes that train together, each of which calls [`train`](super::train) with the
    /// same job; `None` for one alone.
    pub communicator: Option<Arc<dyn Communicator>>,
}
