//! Training: the loop over epochs and steps, and the files it writes.
//!
//! [`train`] fills a run folder (`run_folder`) and returns a model; the steps are in `training`.
//! The learning rate comes from `schedule`, the images from `batches`, the targets from `targets`,
//! and everything needed to resume from `checkpoint`. Training may be distributed over several
//! processes: `ranks` divides the work, `mpi` communicates. Series of trainings are in
//! [`crate::experiment`].

mod batches;
mod checkpoint;
mod error;
mod initial;
mod job;
#[cfg(feature = "mpi")]
mod mpi;
mod pace;
mod range_test;
mod ranks;
mod record;
mod run_folder;
mod schedule;
mod targets;
mod tensorboard;
mod training;
mod validation;

pub use checkpoint::{CheckpointError, SavedRun};
pub use error::TrainError;
pub use job::{Job, Outcome};
pub use moue_engine::{Communicator, Gradient};
#[cfg(feature = "mpi")]
pub use mpi::{Mpi, MpiError};
pub use pace::epoch_seconds;
pub use range_test::{RangePoint, RangeTest, range_test};
pub use record::{Ending, EpochRecord, Event};
pub use run_folder::{CsvRow, RunFolder};
pub use training::{train, train_until};
pub use validation::{Sample, ValidationDocument};
