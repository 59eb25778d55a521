//! Experiments: resolves a run from options, trains and reports it, and compares several runs. Uses
//! [`crate::train`] and [`crate::report`].

mod compare;
mod conclude;
mod grid;
mod run_config;
mod trainer;

pub use compare::{CompareError, Experiment, OpenData, collect, compare, plan, run_folders};
pub use conclude::{BestEpoch, RunSummary, conclude};
pub use grid::{Variation, grid};
pub use run_config::{RunConfig, RunConfigError, RunOptions};
pub use trainer::{TrainedRun, Trainer, TrainerError};
