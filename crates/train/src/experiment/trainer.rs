//! Trains a model from a program: configuration, data and result.

use super::conclude::conclude;
use super::run_config::RunConfig;
use crate::config::{Config, ConfigError, OverrideError, with_option};
use crate::data::{DataError, DataSource, ImageSpec};
use crate::evaluate::Metrics;
use crate::train::{Ending, EpochRecord, Event, Job, RunFolder, TrainError, train};
use moue::{Device, Model};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Why a training gave no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The run folder cannot be created, or already contains a run.
    #[error("cannot use the run folder")]
    Folder(#[from] std::io::Error),
    /// The training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The training was stopped before the end of its first epoch; its checkpoint is in the folder.
    #[error(
        "the training was stopped before the end of the first epoch, so there is no model; the checkpoint is in {}",
        .0.display()
    )]
    NoEpoch(PathBuf),
}

/// A builder for a training.
///
/// Without [`data`](Self::data) it trains on synthetic faces; without [`out`](Self::out) it writes
/// to the first free `runs/ARCH-N`.
pub struct Trainer<'a> {
    run: RunConfig,
    out: Option<PathBuf>,
    init: Option<Model>,
    device: Device,
    stop: Option<&'a AtomicBool>,
    observe: Box<dyn FnMut(Event<'_>) + 'a>,
}

/// A finished training, with the model of the best epoch.
pub struct TrainedRun {
    /// The model, calibrated on the validation split.
    pub model: Model,
    /// Metrics on the validation split; optimistic: the epoch was selected on this split.
    pub metrics: Metrics,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// The selected epoch, from 1.
    pub best_epoch: usize,
    /// How it ended.
    pub ending: Ending,
    /// The run folder.
    pub folder: RunFolder,
}

impl<'a> Trainer<'a> {
    /// Creates a training of this configuration on this data.
    #[must_use]
    pub fn new(run: RunConfig) -> Self {
        Self { run, out: None, init: None, device: Device::default(), stop: None, observe: Box::new(|_| {}) }
    }

    /// Creates a training of a preset, or of an architecture file, on synthetic faces.
    ///
    /// # Errors
    /// When there is no such preset or file, or it is not valid.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        Ok(Self::new(RunConfig::new(Config::open(name)?, DataSource::Synthetic)))
    }

    /// Trains on this data set, in any supported layout, as it was downloaded.
    #[must_use]
    pub fn data(mut self, path: impl Into<PathBuf>) -> Self {
        self.run.source = DataSource::Given(path.into());
        self
    }

    /// Sets one option, by its key in the architecture file, as [`with_option`] takes it.
    ///
    /// # Errors
    /// When there is no such key, or the value is not valid.
    pub fn set(mut self, key: &str, value: &str) -> Result<Self, OverrideError> {
        self.run.config = with_option(&self.run.config, key, value)?;
        Ok(self)
    }

    /// Writes the run to this folder, which must be new or empty.
    #[must_use]
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = Some(folder.into());
        self
    }

    /// Initializes the weights from a model; a head for other classes is new.
    #[must_use]
    pub fn init(mut self, model: Model) -> Self {
        self.init = Some(model);
        self
    }

    /// Trains and validates on this device; without it, on the CPU.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Stops after the current step when `stop` is set.
    #[must_use]
    pub fn stop_when(mut self, stop: &'a AtomicBool) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Calls `observe` with the events of the training.
    #[must_use]
    pub fn observe(mut self, observe: impl FnMut(Event<'_>) + 'a) -> Self {
        self.observe = Box::new(observe);
        self
    }

    /// Trains, writes the run folder with its report, and returns the model of the best epoch.
    ///
    /// # Errors
    /// When the data cannot be opened, the training fails, a file cannot be written, or the
    /// training was stopped in its first epoch.
    pub fn run(mut self) -> Result<TrainedRun, TrainerError> {
        let RunConfig { config, source, .. } = &self.run;
        let spec = ImageSpec::of_input(config.model.input);
        let dataset = source.open(spec, &config.data, config.train.seed, &|_| {})?;
        let folder = RunFolder::create(self.out.as_deref(), &self.run.name())?;
        let job = Job {
            init: self.init.as_ref(),
            device: self.device.clone(),
            ..Job::new(config, &dataset, source.clone(), &folder)
        };
        let never = AtomicBool::new(false);
        let outcome = train(&job, self.stop.unwrap_or(&never), &mut self.observe)?;
        let summary = conclude(&outcome, &job)?;
        let (Some(model), Some(best)) = (outcome.model, summary.best) else {
            return Err(TrainerError::NoEpoch(folder.path().to_owned()));
        };
        Ok(TrainedRun {
            model,
            metrics: best.metrics,
            history: outcome.history,
            best_epoch: outcome.best_epoch,
            ending: outcome.ending,
            folder,
        })
    }
}
