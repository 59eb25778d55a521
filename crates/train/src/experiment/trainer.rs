//! A training from a program of one's own: a configuration, its data, and what comes of it.

use super::conclude::conclude;
use super::run_config::RunConfig;
use crate::config::{Config, ConfigError, OverrideError, with_option};
use crate::data::{DataError, DataSource, ImageSpec};
use crate::evaluate::Metrics;
use crate::train::{Ending, EpochRecord, Event, Job, RunFolder, TrainError, train};
use moue::Model;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Why a training ended without a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The run's folder cannot be made, or already holds a run.
    #[error("cannot use the run's folder")]
    Folder(#[from] std::io::Error),
    /// The training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// It was stopped before the end of its first epoch; its checkpoint is in the folder.
    #[error("stopped before the end of the first epoch; the checkpoint is in {}", .0.display())]
    NoEpoch(PathBuf),
}

/// A training to be run.
///
/// Without [`data`](Self::data) it trains on synthetic faces; without [`out`](Self::out) its
/// files go to the first free `runs/ARCH-N`.
pub struct Trainer<'a> {
    run: RunConfig,
    out: Option<PathBuf>,
    init: Option<Model>,
    stop: Option<&'a AtomicBool>,
    observe: Box<dyn FnMut(Event<'_>) + 'a>,
}

/// A training that has ended, with its best epoch's model.
pub struct TrainedRun {
    /// The model, calibrated on the validation split.
    pub model: Model,
    /// Of the model on the validation split; optimistic, since the epoch was selected on it.
    pub metrics: Metrics,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// The epoch of the model, from 1.
    pub best_epoch: usize,
    /// How it ended.
    pub ending: Ending,
    /// Where its files are.
    pub folder: RunFolder,
}

impl<'a> Trainer<'a> {
    /// A training of this configuration on this data.
    #[must_use]
    pub fn new(run: RunConfig) -> Self {
        Self { run, out: None, init: None, stop: None, observe: Box::new(|_| {}) }
    }

    /// A training of a preset, or of an architecture file, on synthetic faces.
    ///
    /// # Errors
    /// When there is no such preset or file, or it cannot be used.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        Ok(Self::new(RunConfig { config: Config::open(name)?, source: DataSource::Synthetic }))
    }

    /// Trains on this data set, in any layout and as it was downloaded.
    #[must_use]
    pub fn data(mut self, path: impl Into<PathBuf>) -> Self {
        self.run.source = DataSource::Given(path.into());
        self
    }

    /// Sets one option, by its place in the architecture file, as [`with_option`] takes it.
    ///
    /// # Errors
    /// When there is no such place or the value does not fit.
    pub fn set(mut self, key: &str, value: &str) -> Result<Self, OverrideError> {
        self.run.config = with_option(&self.run.config, key, value)?;
        Ok(self)
    }

    /// Writes the run to this folder, which is made; it must not hold a run.
    #[must_use]
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = Some(folder.into());
        self
    }

    /// Starts from a model's weights; a head for other classes is new.
    #[must_use]
    pub fn init(mut self, model: Model) -> Self {
        self.init = Some(model);
        self
    }

    /// Ends after the current step once `stop` is set.
    #[must_use]
    pub fn stop_when(mut self, stop: &'a AtomicBool) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Calls `observe` after each step and each epoch.
    #[must_use]
    pub fn observe(mut self, observe: impl FnMut(Event<'_>) + 'a) -> Self {
        self.observe = Box::new(observe);
        self
    }

    /// Trains, writes the run's folder with its report, and returns the best epoch's model.
    ///
    /// # Errors
    /// When the data cannot be opened, the training fails, a file cannot be written, or it was
    /// stopped in its first epoch.
    pub fn run(mut self) -> Result<TrainedRun, TrainerError> {
        let RunConfig { config, source } = &self.run;
        let spec = ImageSpec::of_input(config.model.input);
        let dataset = source.open(spec, &config.data, config.train.seed, &|_| {})?;
        let folder = RunFolder::create(self.out.as_deref(), &self.run.name())?;
        let job = Job {
            config,
            dataset: &dataset,
            source: source.clone(),
            folder: &folder,
            init: self.init.as_ref(),
            resume: false,
            communicator: None,
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
