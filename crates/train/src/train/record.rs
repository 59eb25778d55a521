//! Events and metrics of a training.

use serde::{Deserialize, Serialize};

/// One epoch's metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EpochRecord {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f32,
    /// Mean training loss over the epoch's steps, with dropout and augmentation.
    pub train_loss: f64,
    /// Training accuracy over the epoch's steps.
    pub train_accuracy: f64,
    /// Validation loss after the epoch: cross-entropy without label smoothing.
    pub validation_loss: f64,
    /// Validation accuracy after the epoch.
    pub validation_accuracy: f64,
    /// Validation macro F1 after the epoch; `None` (null) in runs of earlier versions.
    #[serde(default)]
    pub validation_macro_f1: Option<f64>,
    /// Seconds of training and validation.
    pub seconds: f64,
    /// Training images per second, without validation.
    pub images_per_second: f64,
    /// Seconds since 1970, for TensorBoard.
    pub wall_time: f64,
}

/// Events of a training.
#[derive(Debug)]
pub enum Event<'a> {
    /// After each step.
    Step {
        /// Number of the epoch, from 1.
        epoch: usize,
        /// Number of epochs.
        epochs: usize,
        /// Images processed in this epoch.
        images: usize,
        /// Images in an epoch.
        of: usize,
        /// Mean loss in this epoch so far.
        loss: f64,
    },
    /// After each epoch.
    Epoch {
        /// The epoch's metrics.
        record: &'a EpochRecord,
        /// Number of epochs.
        epochs: usize,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A warning about the data, before the first step.
    Warning(String),
    /// A note for the user.
    Note(String),
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// All epochs are finished.
    Finished,
    /// The validation accuracy has not improved for `early_stopping` epochs.
    #[serde(rename = "stopped early")]
    StoppedEarly,
    /// The training was stopped; it can be resumed from the folder.
    Interrupted,
}
