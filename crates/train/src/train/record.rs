//! What a training reports: epochs, steps, and how it ended.

use serde::{Deserialize, Serialize};

/// One epoch's metrics.
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
        /// Its metrics.
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
