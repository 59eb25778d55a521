//! The files of a run.

use super::error::TrainError;
use super::record::EpochRecord;
use super::tensorboard;
use super::validation::ValidationDocument;
use crate::config::Config;
use crate::csv_rows::{Decimals, csv_rows};
use crate::data::{TRAINING_IMAGES_FILE, TrainingImages};
use moue::fs::{remove_temporary_files, write_atomically};
use serde::Serialize;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// Creates the folder of a new run. Without a name, the first free `runs/ARCH-N`.
    ///
    /// # Errors
    /// When the folder cannot be created or already contains a run.
    pub fn create(out: Option<&Path>, architecture: &str) -> std::io::Result<Self> {
        if let Some(path) = out {
            let run = Self(path.to_owned());
            if path.join("config.toml").exists() || run.checkpoint().exists() {
                return Err(std::io::Error::other(
                    "it already contains a run; choose another folder, or resume the run with --resume",
                ));
            }
            std::fs::create_dir_all(path)?;
            return Ok(run);
        }
        let stem = architecture.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "-");
        std::fs::create_dir_all("runs")?;
        for number in 1.. {
            let path = PathBuf::from(format!("runs/{stem}-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(std::io::Error::other("no free number for a run folder"))
    }

    /// Opens the folder of an existing run.
    #[must_use]
    pub fn existing(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_owned())
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The model of the best epoch.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.0.join("model.safetensors")
    }

    /// The report.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }

    /// The latest checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoints/last.safetensors")
    }

    /// Removes the folder of a run that did not begin.
    pub(super) fn remove_if_empty(&self) {
        // Fails where there is a file, which is kept.
        let _ = std::fs::remove_dir(&self.0);
    }

    /// Keeps other processes from training in this folder until the value is dropped or the process ends. `None` where
    /// the system cannot lock folders.
    pub(super) fn lock(&self) -> Result<Option<File>, TrainError> {
        // Where the folder cannot be created, writing its first file is an error that says why.
        let opened = std::fs::create_dir_all(&self.0).and_then(|()| File::open(&self.0));
        let Ok(folder) = opened else { return Ok(None) };
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => Err(TrainError::InUse { folder: self.0.clone() }),
            Err(TryLockError::Error(_)) => Ok(None),
            Ok(()) => Ok(Some(folder)),
        }
    }

    /// Removes what a killed process has left.
    pub(super) fn remove_temporary_files(&self) {
        remove_temporary_files(&self.0);
        remove_temporary_files(self.0.join("checkpoints"));
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        std::fs::create_dir_all(folder)
            .and_then(|()| write_atomically(&path, bytes))
            .map_err(|source| TrainError::Write { path, source })
    }

    pub(super) fn write_config(&self, config: &Config) -> Result<(), TrainError> {
        self.write("config.toml", config.to_toml()?.as_bytes())
    }

    pub(super) fn has_training_images(&self) -> bool {
        self.0.join(TRAINING_IMAGES_FILE).exists()
    }

    /// Writes the fingerprints of the training images.
    pub(super) fn write_training_images(&self, images: &TrainingImages) -> Result<(), TrainError> {
        self.write(TRAINING_IMAGES_FILE, &images.to_bytes())
    }

    /// Writes the report.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_report(&self, page: &str) -> Result<(), TrainError> {
        self.write("report.html", page.as_bytes())
    }

    pub(super) fn write_checkpoint(&self, bytes: Result<Vec<u8>, String>) -> Result<(), TrainError> {
        let path = self.checkpoint();
        let bytes = bytes.map_err(|reason| TrainError::Write { path, source: std::io::Error::other(reason) })?;
        self.write("checkpoints/last.safetensors", &bytes)
    }

    /// Writes the predictions of the last epoch for the validation split. An error is ignored: a training does not end for
    /// a file that only a page reads, and the next epoch writes it again.
    pub(super) fn write_validation(&self, document: &ValidationDocument<'_>) {
        if let Ok(text) = serde_json::to_string(document) {
            let _ = self.write("validation.json", (text + "\n").as_bytes());
        }
    }

    /// Writes the metrics of all epochs, which a checkpoint contains as well. Before the end of the first epoch there
    /// are no tables.
    pub(super) fn write_tables(&self, history: &[EpochRecord]) -> Result<(), TrainError> {
        if history.is_empty() {
            return Ok(());
        }
        self.write("metrics.csv", &metrics_csv(history))?;
        let lines: Vec<String> = history.iter().filter_map(|record| serde_json::to_string(record).ok()).collect();
        self.write("metrics.jsonl", lines.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes())?;
        self.write("events.out.tfevents.0.moue", &tensorboard::events(history))
    }
}

fn metrics_csv(history: &[EpochRecord]) -> Vec<u8> {
    csv_rows(&history.iter().map(CsvRow::from).collect::<Vec<_>>())
}

/// A row of `metrics.csv`: one epoch.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CsvRow {
    /// Number of the epoch, from 1.
    epoch: usize,
    /// Learning rate of the epoch's last step, with all significant digits and without an exponent.
    #[cfg_attr(feature = "schema", schemars(with = "f32"))]
    learning_rate: String,
    /// Mean training loss over the epoch's steps, with dropout and augmentation; 6 decimals.
    train_loss: Decimals<6>,
    /// Training accuracy over the epoch's steps, 0–1, with 6 decimals.
    train_accuracy: Decimals<6>,
    /// Validation loss after the epoch: cross-entropy without label smoothing; 6 decimals.
    validation_loss: Decimals<6>,
    /// Validation accuracy after the epoch, 0–1, with 6 decimals.
    validation_accuracy: Decimals<6>,
    /// Seconds of training and validation, with 2 decimals.
    seconds: Decimals<2>,
    /// Training images per second, without validation; 1 decimal.
    images_per_second: Decimals<1>,
}

impl From<&EpochRecord> for CsvRow {
    fn from(record: &EpochRecord) -> Self {
        Self {
            epoch: record.epoch,
            learning_rate: record.learning_rate.to_string(),
            train_loss: Decimals(record.train_loss),
            train_accuracy: Decimals(record.train_accuracy),
            validation_loss: Decimals(record.validation_loss),
            validation_accuracy: Decimals(record.validation_accuracy),
            seconds: Decimals(record.seconds),
            images_per_second: Decimals(record.images_per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_metrics_csv_is_stable() {
        let record = EpochRecord {
            epoch: 1,
            learning_rate: 0.000_000_1,
            train_loss: 1.5,
            train_accuracy: 1.0 / 3.0,
            validation_loss: 0.0,
            validation_accuracy: 1.0,
            validation_macro_f1: None,
            seconds: 12.345,
            images_per_second: 1234.56,
            wall_time: 1.7e9,
        };
        let other = EpochRecord { epoch: 2, learning_rate: 1.0, train_loss: f64::NAN, ..record };
        let header = "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds,\
            images_per_second\n";
        let lines = "1,0.0000001,1.500000,0.333333,0.000000,1.000000,12.35,1234.6\n\
            2,1,NaN,0.333333,0.000000,1.000000,12.35,1234.6\n";
        assert_eq!(String::from_utf8(metrics_csv(&[record, other])).unwrap(), format!("{header}{lines}"));
        assert_eq!(metrics_csv(&[]), header.as_bytes());
    }
}
