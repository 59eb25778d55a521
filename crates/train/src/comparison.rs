//! Results of trainings that are compared with each other.

use crate::csv_rows::{Decimals, csv_rows};
use crate::train::EpochRecord;
use serde::Serialize;
use std::path::PathBuf;

/// Metrics of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EpochMetrics {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean training accuracy over the epoch's steps, with dropout and augmentation.
    pub train_accuracy: f64,
    /// Validation accuracy at the end of the epoch.
    pub validation_accuracy: f64,
    /// Mean training loss over the epoch's steps.
    pub train_loss: f64,
    /// Validation loss at the end of the epoch.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether all epochs are finished.
    pub finished: bool,
    /// The epoch with the best validation accuracy.
    pub best: Option<EpochMetrics>,
    /// The last epoch.
    pub last: Option<EpochMetrics>,
    /// Seconds of all epochs.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// All epochs.
    #[serde(skip)]
    pub history: Vec<EpochRecord>,
}

/// A row of a comparison: one configuration, with means over its seeds.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Row {
    /// The architecture's name, followed by the varied options.
    pub name: String,
    /// Number of parameters.
    pub parameters: usize,
    /// Multiply-adds for one image.
    pub macs: usize,
    /// Number of training images.
    pub train_images: usize,
    /// Configured number of epochs.
    pub epochs: usize,
    /// Seconds of one training (mean).
    pub seconds: f64,
    /// Training accuracy at the best epoch.
    pub best_train_accuracy: f64,
    /// Validation accuracy at the best epoch; optimistic: the epoch was selected on this split.
    pub best_validation_accuracy: f64,
    /// Training minus validation accuracy at the best epoch.
    pub gap: f64,
    /// Training accuracy at the last epoch.
    pub last_train_accuracy: f64,
    /// Validation accuracy at the last epoch.
    pub last_validation_accuracy: f64,
    /// Training minus validation accuracy at the last epoch.
    pub last_gap: f64,
    /// Standard deviation of the best validation accuracy over the seeds.
    pub validation_deviation: Option<f64>,
    /// The result that the architecture's source reports.
    pub claim: Option<String>,
    /// The trainings.
    pub runs: Vec<Run>,
}

/// Results of a comparison.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Comparison {
    /// The data: a path or `synthetic faces`.
    pub data: String,
    /// Name of the validation split.
    pub split: String,
    /// Number of validation images.
    pub validation_images: usize,
    /// The most frequent class of that split.
    pub majority_class: String,
    /// Its share: the majority-class baseline.
    pub majority_accuracy: f64,
    /// Whether all trainings are finished.
    pub complete: bool,
    /// One row for each configuration.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// The rows as CSV.
    #[must_use]
    pub fn csv(&self) -> String {
        let rows: Vec<CsvRow<'_>> = self.rows.iter().map(CsvRow::from).collect();
        String::from_utf8(csv_rows(&rows)).unwrap_or_default()
    }
}

/// A row of `comparison.csv`: one configuration, with means over its seeds.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CsvRow<'a> {
    /// The architecture's name, followed by the varied options.
    name: &'a str,
    /// Number of parameters.
    parameters: usize,
    /// Multiply-adds for one image.
    macs: usize,
    /// Configured number of epochs.
    epochs: usize,
    /// Number of trainings: one for each seed.
    runs: usize,
    /// Seconds of one training (mean), with 1 decimal.
    seconds: Decimals<1>,
    /// Training accuracy at the best epoch, 0–1, with 6 decimals like all accuracies.
    best_train_accuracy: Decimals<6>,
    /// Validation accuracy at the best epoch; optimistic: the epoch was selected on this split.
    best_validation_accuracy: Decimals<6>,
    /// Training minus validation accuracy at the best epoch.
    gap: Decimals<6>,
    /// Training accuracy at the last epoch.
    last_train_accuracy: Decimals<6>,
    /// Validation accuracy at the last epoch.
    last_validation_accuracy: Decimals<6>,
    /// Training minus validation accuracy at the last epoch.
    last_gap: Decimals<6>,
    /// Standard deviation of the best validation accuracy over the seeds; empty for one seed.
    validation_deviation: Option<Decimals<6>>,
    /// The result that the architecture's source reports; empty for none.
    claim: Option<&'a str>,
}

impl<'a> From<&'a Row> for CsvRow<'a> {
    fn from(row: &'a Row) -> Self {
        Self {
            name: &row.name,
            parameters: row.parameters,
            macs: row.macs,
            epochs: row.epochs,
            runs: row.runs.len(),
            seconds: Decimals(row.seconds),
            best_train_accuracy: Decimals(row.best_train_accuracy),
            best_validation_accuracy: Decimals(row.best_validation_accuracy),
            gap: Decimals(row.gap),
            last_train_accuracy: Decimals(row.last_train_accuracy),
            last_validation_accuracy: Decimals(row.last_validation_accuracy),
            last_gap: Decimals(row.last_gap),
            validation_deviation: row.validation_deviation.map(Decimals),
            claim: row.claim.as_deref(),
        }
    }
}

impl Row {
    /// Computes the means over the runs.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_csv_format_is_stable() {
        let plain = Row {
            name: "nets/tiny train.epochs=1, twice".to_owned(),
            parameters: 1287,
            macs: 11_000,
            epochs: 1,
            seconds: 1.25,
            best_train_accuracy: 0.5,
            best_validation_accuracy: 0.25,
            gap: 0.25,
            last_gap: -1.0 / 3.0,
            ..Row::default()
        };
        let whole = Row {
            name: "small".to_owned(),
            validation_deviation: Some(0.012_345_678),
            claim: Some("63 % on \"test\"".to_owned()),
            runs: vec![Run::default(); 2],
            ..Row::default()
        };
        let comparison = Comparison {
            data: String::new(),
            split: String::new(),
            validation_images: 0,
            majority_class: String::new(),
            majority_accuracy: 0.0,
            complete: true,
            rows: vec![plain, whole],
        };
        let header = "name,parameters,macs,epochs,runs,seconds,best_train_accuracy,best_validation_accuracy,gap,\
            last_train_accuracy,last_validation_accuracy,last_gap,validation_deviation,claim\n";
        let rows = "\"nets/tiny train.epochs=1, twice\",1287,11000,1,0,1.2,0.500000,0.250000,0.250000,0.000000,0.000000,\
            -0.333333,,\nsmall,0,0,0,2,0.0,0.000000,0.000000,0.000000,0.000000,0.000000,0.000000,0.012346,\
            \"63 % on \"\"test\"\"\"\n";
        assert_eq!(comparison.csv(), format!("{header}{rows}"));
        assert_eq!(Comparison { rows: Vec::new(), ..comparison }.csv(), header);
    }
}
