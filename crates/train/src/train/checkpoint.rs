//! Checkpoints: everything that a training needs to resume bit-identically.
//!
//! One safetensors file with the weights, their moving average, the best epoch's weights, the
//! optimizer's moments, and the progress of the training as JSON. No random state is needed, since
//! all random draws are keyed.

use super::record::EpochRecord;
use super::schedule::Plateau;
use super::validation::Validation;
use crate::config::Config;
use crate::data::DataSource;
use moue::model::weights::{set_weights, snapshot};
use moue::model::{read_tensors, write_tensors};
use moue_engine::{Network, Optimizer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KEY: &str = "moue-checkpoint";

/// Errors of checkpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The checkpoint cannot be read.
    #[error(
        "cannot read the checkpoint {}; --resume takes the folder of a run that `moue train` has started; if it was \
         stopped before it wrote a checkpoint, repeat the command that started it",
        .path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The checkpoint is damaged.
    #[error("the checkpoint {} is not valid: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint belongs to another training.
    #[error(
        "the checkpoint {} was written {with}; resume a run with the same configuration, data and models",
        .path.display()
    )]
    Differs {
        /// The file.
        path: PathBuf,
        /// The difference.
        with: &'static str,
    },
}

/// Running sums of the current epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Number of finished steps.
    pub steps: usize,
    /// Number of images.
    pub images: usize,
    /// Sum of their losses.
    pub loss: f64,
    /// Number of correct predictions.
    pub correct: usize,
    /// Seconds of the steps.
    pub seconds: f64,
    /// Learning rate of the last step.
    pub learning_rate: f32,
}

/// The best epoch so far; epoch 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Validation accuracy.
    pub accuracy: f64,
    /// Validation loss.
    pub loss: f64,
}

impl Best {
    /// By accuracy; ties by loss.
    pub fn is_beaten_by(&self, record: &EpochRecord) -> bool {
        let (accuracy, loss) = (record.validation_accuracy, record.validation_loss);
        self.epoch == 0 || accuracy > self.accuracy || (accuracy == self.accuracy && loss < self.loss)
    }
}

/// The state of a training, without weights except the best ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The configuration, as TOML.
    pub config: String,
    /// Hash of the data.
    pub data_hash: String,
    /// Hashes of the teachers.
    #[serde(default)]
    pub teachers: Vec<String>,
    /// Hash of the model that initialized the training.
    #[serde(default)]
    pub init: Option<String>,
    /// Path of the data.
    pub source: DataSource,
    /// All finished epochs.
    pub history: Vec<EpochRecord>,
    /// The last epoch's predictions for the validation split.
    #[serde(default)]
    pub validation: Option<Validation>,
    /// The current epoch.
    pub running: Running,
    /// State of the schedule.
    pub plateau: Plateau,
    /// The best epoch.
    pub best: Best,
    /// Number of optimizer steps.
    pub optimizer_steps: u64,
    /// The best epoch's weights.
    #[serde(skip)]
    pub best_weights: Vec<Vec<f32>>,
}

/// A loaded checkpoint.
pub struct Saved {
    pub checkpoint: Checkpoint,
    path: PathBuf,
    weights: Vec<Vec<f32>>,
    average: Vec<Vec<f32>>,
    moments: Vec<Vec<f32>>,
}

/// What a run folder's checkpoint says about its training.
#[derive(Clone, Debug)]
pub struct SavedRun {
    /// The configuration, as TOML.
    pub config: String,
    /// The data.
    pub source: DataSource,
    /// Hash of the data.
    pub data_hash: String,
    /// All finished epochs.
    pub history: Vec<EpochRecord>,
    /// The best epoch, from 1; 0 for none.
    pub best_epoch: usize,
}

impl SavedRun {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let Checkpoint { config, source, data_hash, history, best, .. } = read(path.as_ref())?.checkpoint;
        Ok(Self { config, source, data_hash, history, best_epoch: best.epoch })
    }

    /// Whether the training of this configuration has ended.
    #[must_use]
    pub fn is_finished(&self, config: &Config) -> bool {
        let (epochs, patience) = (self.history.len(), config.train.early_stopping);
        epochs >= config.train.epochs || (patience > 0 && epochs >= self.best_epoch + patience)
    }
}

/// Reads the checkpoint of a training that was started like `fresh`.
pub fn load(path: &Path, fresh: &Checkpoint) -> Result<Saved, CheckpointError> {
    let saved = read(path)?;
    let differs = |with| Err(CheckpointError::Differs { path: path.to_owned(), with });
    // An older version wrote fewer options; the others have their defaults.
    let own = &saved.checkpoint.config;
    let filled = || Config::parse("the checkpoint", own).ok()?.to_toml().ok();
    if *own != fresh.config && filled().as_ref() != Some(&fresh.config) {
        return differs("with another configuration");
    }
    if saved.checkpoint.data_hash != fresh.data_hash {
        return differs("on other data");
    }
    if saved.checkpoint.teachers != fresh.teachers {
        return differs("with other teachers");
    }
    Ok(saved)
}

fn read(path: &Path) -> Result<Saved, CheckpointError> {
    let bytes = moue::fs::read(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
    let damaged = |reason: String| CheckpointError::Damaged { path: path.to_owned(), reason };
    let (mut tensors, document) = read_tensors(&bytes, KEY).map_err(|error| damaged(error.to_string()))?;
    let mut checkpoint: Checkpoint = serde_json::from_str(&document).map_err(|error| damaged(error.to_string()))?;
    let mut take = |group: &str| -> Vec<Vec<f32>> {
        (0..).map_while(|i| tensors.remove(&name(group, i)).map(|(_, values)| values)).collect()
    };
    checkpoint.best_weights = take("best");
    Ok(Saved {
        checkpoint,
        path: path.to_owned(),
        weights: take("weights"),
        average: take("average"),
        moments: take("moments"),
    })
}

fn name(group: &str, index: usize) -> String {
    format!("{group}.{index:04}")
}

impl Saved {
    /// Restores the state.
    pub fn restore(
        &self,
        network: &mut Network,
        average: &mut Vec<Vec<f32>>,
        optimizer: &mut Optimizer,
    ) -> Result<(), CheckpointError> {
        let lens = |values: &[Vec<f32>]| values.iter().map(Vec::len).collect::<Vec<_>>();
        let expected = lens(&snapshot(network));
        let fits = lens(&self.weights) == expected
            && (average.is_empty() || lens(&self.average) == expected)
            && (self.checkpoint.best.epoch == 0 || lens(&self.checkpoint.best_weights) == expected)
            && optimizer.restore(self.checkpoint.optimizer_steps, self.moments.clone());
        if !fits {
            let reason = "its arrays do not match this network".to_owned();
            return Err(CheckpointError::Damaged { path: self.path.clone(), reason });
        }
        set_weights(network, &self.weights);
        if !average.is_empty() {
            average.clone_from(&self.average);
        }
        Ok(())
    }
}

impl Checkpoint {
    /// The initial state of a training.
    pub fn fresh(
        config: &Config,
        data_hash: &str,
        teachers: &[String],
        init: Option<String>,
        source: &DataSource,
    ) -> Result<Self, toml::ser::Error> {
        Ok(Self {
            config: config.to_toml()?,
            data_hash: data_hash.to_owned(),
            teachers: teachers.to_vec(),
            init,
            source: source.clone(),
            history: Vec::new(),
            validation: None,
            running: Running::default(),
            plateau: Plateau::default(),
            best: Best::default(),
            optimizer_steps: 0,
            best_weights: Vec::new(),
        })
    }

    /// The bytes of the checkpoint file.
    pub fn to_bytes(&self, network: &Network, average: &[Vec<f32>], optimizer: &Optimizer) -> Result<Vec<u8>, String> {
        let mut tensors = BTreeMap::new();
        let weights = snapshot(network);
        let groups = [
            ("weights", &weights[..]),
            ("average", average),
            ("best", &self.best_weights),
            ("moments", optimizer.moments()),
        ];
        for (group, arrays) in groups {
            for (i, values) in arrays.iter().enumerate() {
                tensors.insert(name(group, i), (vec![values.len()], values.clone()));
            }
        }
        let state = Self { optimizer_steps: optimizer.steps(), best_weights: Vec::new(), ..self.clone() };
        let document = serde_json::to_string(&state).map_err(|error| error.to_string())?;
        write_tensors(&tensors, KEY, &document).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a resumed run could select another epoch, where accuracies are equal.
    #[test]
    fn numbers_are_read_exactly() {
        for images in 1..400 {
            let accuracy = 2.0 / f64::from(images);
            let best = Best { epoch: 1, accuracy, loss: accuracy.sqrt() };
            let read: Best = serde_json::from_str(&serde_json::to_string(&best).unwrap()).unwrap();
            assert_eq!(read, best);
        }
    }
}
