//! A trial: its configuration, and its folder with everything that a repeated search needs.
//!
//! `trial.json` has the values and all epochs. The checkpoint is removed as soon as the trial will not be continued.

use super::error::TuneError;
use super::parameter::Values;
use super::results::{Metric, State, TrialResult};
use crate::comparison::EpochMetrics;
use crate::config::Config;
use crate::data::TRAINING_IMAGES_FILE;
use crate::train::{EpochRecord, RunFolder};
use moue::fs::write_atomically;
use moue::model::{LayerSummary, build_blank, summary};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What `trial.json` contains.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    pub values: Values,
    /// All finished epochs.
    pub history: Vec<EpochRecord>,
    /// Whether the training ended by itself, after all epochs or by its own early stopping.
    pub ended: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// The rungs whose end it has reached.
    pub reached: Vec<Reached>,
    pub latency_ms: Option<f64>,
}

/// The end of a rung.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Reached {
    pub epochs: usize,
    /// Seconds since the start of the search.
    pub seconds: f64,
}

/// A trial.
pub struct Trial {
    /// From 1.
    pub number: usize,
    /// From 1.
    pub bracket: usize,
    pub config: Config,
    pub parameters: usize,
    pub macs: usize,
    /// What its cost is estimated from.
    pub work: usize,
    pub state: State,
    pub record: Record,
    pub folder: RunFolder,
}

/// The folder of a trial.
fn path(out: &Path, number: usize) -> PathBuf {
    out.join(format!("trials/{number:04}"))
}

/// The record of a trial that an earlier call has begun.
pub fn read(out: &Path, number: usize) -> Result<Option<Record>, TuneError> {
    let path = path(out, number).join("trial.json");
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TuneError::Read { path, source }),
        Ok(bytes) => {
            let parsed = serde_json::from_slice(&bytes);
            parsed.map(Some).map_err(|error| TuneError::Damaged { path, reason: error.to_string() })
        }
    }
}

/// Multiply-adds that take as long as reading and writing a value of a layer's output.
const MACS_OF_VALUE: usize = 30;

/// The work of training a configuration's network on one image, in multiply-adds; 0 where it cannot be built.
pub fn work(config: &Config, classes: usize) -> usize {
    build_blank(&config.model, classes).map_or(0, |network| summary(&network).iter().map(of_layer).sum())
}

fn of_layer(layer: &LayerSummary) -> usize {
    layer.macs + MACS_OF_VALUE * layer.output_shape.iter().product::<usize>()
}

impl Trial {
    pub fn new(out: &Path, number: usize, bracket: usize, config: Config, record: Record, classes: usize) -> Self {
        let layers = build_blank(&config.model, classes).map(|network| summary(&network)).unwrap_or_default();
        Self {
            number,
            bracket,
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            macs: layers.iter().map(|layer| layer.macs).sum(),
            work: layers.iter().map(of_layer).sum(),
            config,
            state: State::Unfinished,
            record,
            folder: RunFolder::existing(path(out, number)),
        }
    }

    /// Writes `trial.json`.
    pub fn save(&self) -> Result<(), TuneError> {
        let path = self.folder.path().join("trial.json");
        let text = serde_json::to_string(&self.record)? + "\n";
        std::fs::create_dir_all(self.folder.path())
            .and_then(|()| write_atomically(&path, text.as_bytes()))
            .map_err(|source| TuneError::Write { path, source })
    }

    /// Removes what only a continued training needs.
    pub fn remove_checkpoint(&self) {
        // What is left takes space only.
        let _ = std::fs::remove_dir_all(self.folder.path().join("checkpoints"));
        let _ = std::fs::remove_file(self.folder.path().join(TRAINING_IMAGES_FILE));
    }

    /// Whether it need not be trained to reach this number of epochs.
    pub fn has(&self, epochs: usize) -> bool {
        self.record.ended || self.record.error.is_some() || self.record.history.len() >= epochs
    }

    /// The epoch that a training of this number of epochs selects.
    pub fn best_within(&self, epochs: usize) -> Option<&EpochRecord> {
        if self.record.error.is_some() {
            return None;
        }
        let epochs = self.record.history.iter().take(epochs);
        epochs.reduce(|best, next| {
            let (a, b) = (best.validation_accuracy, next.validation_accuracy);
            if b > a || (b == a && next.validation_loss < best.validation_loss) { next } else { best }
        })
    }

    /// Its score after this number of epochs; greater is better.
    pub fn score(&self, metric: Metric, epochs: usize) -> Option<f64> {
        let score = metric.score(metric.of(self.best_within(epochs)?));
        score.is_finite().then_some(score)
    }

    /// Seconds of an epoch, if one was trained.
    pub fn epoch_seconds(&self) -> Option<f64> {
        let history = &self.record.history;
        let sum: f64 = history.iter().map(|record| record.seconds).sum();
        (!history.is_empty()).then(|| sum / history.len() as f64)
    }

    pub fn result(&self, metric: Metric) -> TrialResult {
        let Record { history, values, error, latency_ms, .. } = &self.record;
        let best = self.best_within(history.len());
        TrialResult {
            number: self.number,
            bracket: self.bracket,
            state: self.state,
            values: values.clone(),
            epochs: history.len(),
            value: best.map(|best| metric.of(best)).filter(|value| value.is_finite()),
            best: best.map(EpochMetrics::from),
            macro_f1: best.and_then(|best| best.validation_macro_f1),
            gap: best.map(|best| best.train_accuracy - best.validation_accuracy),
            parameters: self.parameters,
            macs: self.macs,
            latency_ms: *latency_ms,
            seconds: history.iter().map(|record| record.seconds).sum(),
            error: error.clone(),
            history: history.iter().map(EpochMetrics::from).collect(),
        }
    }
}
