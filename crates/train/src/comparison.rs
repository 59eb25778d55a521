//! What trainings that are compared with each other have reached.

use crate::train::EpochRecord;
use serde::Serialize;
use std::path::PathBuf;

/// Metrics of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EpochMetrics {
    /// From 1.
    pub epoch: usize,
    /// Mean over the epoch's steps, with dropout and augmentation.
    pub train_accuracy: f64,
    /// After the epoch.
    pub validation_accuracy: f64,
    /// Likewise.
    pub train_loss: f64,
    /// Likewise.
    pub validation_loss: f64,
}

impl From<&EpochRecord> for EpochMetrics {
    fn from(record: &EpochRecord) -> Self {
        Self {
            epoch: record.epoch,
            train_accuracy: record.train_accuracy,
            validation_accuracy: record.validation_accuracy,
            train_loss: record.train_loss,
            validation_loss: record.validation_loss,
        }
    }
}

/// One training of a comparison.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether all its epochs are done.
    pub finished: bool,
    /// The epoch that was best on validation.
    pub best: Option<EpochMetrics>,
    /// The last epoch.
    pub last: Option<EpochMetrics>,
    /// Seconds of all its epochs.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// All epochs.
    #[serde(skip)]
    pub history: Vec<EpochRecord>,
}

/// A row of a comparison: one configuration, means over its seeds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// The architecture's name, followed by what was varied.
    pub name: String,
    /// Numbers stored in the network.
    pub parameters: usize,
    /// Multiply-adds for one image.
    pub macs: usize,
    /// Images to learn from.
    pub train_images: usize,
    /// Epochs that were asked for.
    pub epochs: usize,
    /// Seconds of one training.
    pub seconds: f64,
    /// Of the epochs best on validation.
    pub best_train_accuracy: f64,
    /// Of the epochs best on validation: chosen by this very figure.
    pub best_validation_accuracy: f64,
    /// Their difference.
    pub gap: f64,
    /// Of the last epochs.
    pub last_train_accuracy: f64,
    /// Of the last epochs.
    pub last_validation_accuracy: f64,
    /// Their difference.
    pub last_gap: f64,
    /// Standard deviation of the best validation accuracy over the seeds.
    pub validation_deviation: Option<f64>,
    /// What the architecture's source says it reached.
    pub claim: Option<String>,
    /// The trainings.
    pub runs: Vec<Run>,
}

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Where the data came from.
    pub data: String,
    /// Name of the split that was validated on.
    pub split: String,
    /// Images in it.
    pub validation_images: usize,
    /// The most frequent class of that split.
    pub majority_class: String,
    /// Share of it: what always answering it would reach.
    pub majority_accuracy: f64,
    /// Whether every training is finished.
    pub complete: bool,
    /// One for each configuration.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// One line for each row, for spreadsheets.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = [
            "name",
            "parameters",
            "macs",
            "epochs",
            "runs",
            "seconds",
            "best_train_accuracy",
            "best_validation_accuracy",
            "gap",
            "last_train_accuracy",
            "last_validation_accuracy",
            "last_gap",
            "validation_deviation",
            "claim",
        ];
        let _ = writer.write_record(header);
        for row in &self.rows {
            let shares = [
                row.best_train_accuracy,
                row.best_validation_accuracy,
                row.gap,
                row.last_train_accuracy,
                row.last_validation_accuracy,
                row.last_gap,
            ];
            let counts = [row.parameters, row.macs, row.epochs, row.runs.len()];
            let mut record = vec![row.name.clone()];
            record.extend(counts.iter().map(ToString::to_string));
            record.push(format!("{:.1}", row.seconds));
            record.extend(shares.iter().map(|share| format!("{share:.6}")));
            record.push(row.validation_deviation.map(|d| format!("{d:.6}")).unwrap_or_default());
            record.push(row.claim.clone().unwrap_or_default());
            let _ = writer.write_record(record);
        }
        writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Row {
    /// Computes the means anew.
    pub fn summarize(&mut self) {
        let count = self.runs.iter().filter(|run| run.best.is_some()).count().max(1) as f64;
        let best = |of: fn(&EpochMetrics) -> f64| self.runs.iter().filter_map(|r| r.best.as_ref()).map(of).sum::<f64>();
        let last = |of: fn(&EpochMetrics) -> f64| self.runs.iter().filter_map(|r| r.last.as_ref()).map(of).sum::<f64>();
        let (best_train, best_validation) = (best(|e| e.train_accuracy), best(|e| e.validation_accuracy));
        let (last_train, last_validation) = (last(|e| e.train_accuracy), last(|e| e.validation_accuracy));
        let mean = best_validation / count;
        let squares = best(|e| e.validation_accuracy * e.validation_accuracy);
        self.validation_deviation =
            (count > 1.0).then(|| ((squares - count * mean * mean).max(0.0) / (count - 1.0)).sqrt());
        self.best_train_accuracy = best_train / count;
        self.best_validation_accuracy = mean;
        self.gap = self.best_train_accuracy - mean;
        self.last_train_accuracy = last_train / count;
        self.last_validation_accuracy = last_validation / count;
        self.last_gap = self.last_train_accuracy - self.last_validation_accuracy;
        self.seconds = self.runs.iter().map(|run| run.seconds).sum::<f64>() / count;
    }
}
