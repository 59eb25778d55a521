//! Experiments: resolves a run from options, trains and reports it, and compares several runs. Uses
//! [`crate::train`] and [`crate::report`].

mod audit;
mod compare;
mod conclude;
mod fit;
mod folders;
mod grid;
mod plan;
mod run_config;
mod trainer;
mod watch;

pub use audit::{AuditEvent, AuditOptions, AuditRunError, Audited, audit};
pub use compare::{CompareError, OpenData, collect, compare, run_folders};
pub use conclude::{BestEpoch, RunSummary, conclude};
pub use fit::epochs_within;
pub use folders::{ComparisonFolder, comparison_folder};
pub(crate) use folders::{numbered_folder, read as read_json};
pub use grid::{Variation, grid};
pub use plan::{Experiment, FinishedRunError, distinct_names, finished_run, plan};
pub use run_config::{RunConfig, RunConfigError, RunOptions};
pub use trainer::{TrainedRun, Trainer, TrainerError};
pub use watch::{WatchError, WatchedRuns};
