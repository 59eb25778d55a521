//! Options of a search.

use super::results::{Metric, SamplerName};
use crate::experiment::RunOptions;
use std::time::{Duration, Instant};

/// When a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After this number of trials. The table of trials is then the same on every machine with the same instruction set.
    Trials(usize),
    /// After this time, which includes the trainings of the best configuration.
    Budget(Duration),
}

/// Options of a search.
#[derive(Clone, Debug)]
pub struct TuneOptions {
    /// When it ends.
    pub limit: Limit,
    /// The metric that selects the best trial.
    pub metric: Metric,
    /// How configurations are proposed.
    pub sampler: SamplerName,
    /// Whether weak trials are stopped early (Hyperband).
    pub early_stopping: bool,
    /// Epochs of a whole training; `None` for those of the space, or fewer where the budget requires it.
    pub epochs: Option<usize>,
    /// Number of trials that are trained at the same time.
    pub workers: usize,
    /// Number of seeds with which the best configuration is trained again.
    pub seeds: usize,
    /// Whether the best configuration is evaluated on the test split.
    pub test: bool,
    /// The data, and options that all trials have; without `arch`, `resume` and `epochs`.
    pub run: RunOptions,
    /// When the time of the budget begins.
    pub started: Instant,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            limit: Limit::Budget(Duration::from_secs(600)),
            metric: Metric::default(),
            sampler: SamplerName::default(),
            early_stopping: true,
            epochs: None,
            workers: 1,
            seeds: 3,
            test: false,
            run: RunOptions::default(),
            started: Instant::now(),
        }
    }
}
