//! Resolves the configuration and the data of a run from options.

use crate::config::{Config, ConfigError, OverrideError, PrecisionName, with_option};
use crate::data::DataSource;
use crate::train::{CheckpointError, RunFolder, SavedRun};
use moue::model::{Model, ModelFileError};
use std::path::{Path, PathBuf};

/// Options of a run; `None` keeps the value of the architecture file.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// A preset's name or a file; `None` for `small`.
    pub arch: Option<String>,
    /// The data; `None` for synthetic faces.
    pub data: Option<PathBuf>,
    /// A file of votes on the images; their targets are then the votes unless `[data] targets` says otherwise.
    pub votes: Option<PathBuf>,
    /// A file of fixes, which are applied to labels and images.
    pub fixes: Option<PathBuf>,
    /// A run folder to resume; of the other options only `data` is used then.
    pub resume: Option<PathBuf>,
    /// Any options, by their key in the architecture file, as [`with_option`] takes them.
    pub set: Vec<(String, String)>,
    /// Number of passes over the training images.
    pub epochs: Option<usize>,
    /// Batch size.
    pub batch_size: Option<usize>,
    /// Learning rate.
    pub learning_rate: Option<f32>,
    /// Precision of the training.
    pub precision: Option<PrecisionName>,
    /// `[height, width]` of the network's images.
    pub image_size: Option<[usize; 2]>,
    /// The seed.
    pub seed: Option<u64>,
    /// Trains without teachers.
    pub no_teachers: bool,
    /// Whether the weights are initialized from a model; then missing teachers are dropped.
    pub init: bool,
    /// Restores FER2013's official split for Kaggle's numbered files, as is the default, and refuses
    /// data that has none.
    pub official_split: bool,
    /// Uses Kaggle's numbered files in their folders, which are a random split.
    pub as_given: bool,
}

/// A configuration with its data.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    /// The configuration.
    pub config: Config,
    /// The data.
    pub source: DataSource,
    /// Teachers of the architecture file that are not used.
    pub dropped_teachers: Vec<PathBuf>,
}

/// Errors of resolving a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunConfigError {
    /// The architecture file is not valid.
    #[error("{0}{hint}", hint = hint(.0))]
    Config(#[from] ConfigError),
    /// The run to resume has no valid checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An option is not valid.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// An option is outside its range.
    #[error(transparent)]
    Range(ConfigError),
    /// A teacher cannot be read.
    #[error(
        "a teacher of {arch} is missing: {source}; train it first (the comment at the top of the preset \
         explains how), or train without teachers: --no-teachers"
    )]
    Teacher {
        /// Preset or file.
        arch: String,
        /// The cause.
        source: ModelFileError,
    },
    /// The official split of synthetic faces.
    #[error("--official-split requires --data with Kaggle's numbered files")]
    OfficialSplit,
    /// Options of votes that do not fit together.
    #[error("{0}")]
    VoteOptions(String),
    /// Votes on synthetic faces.
    #[error("--votes requires --data with the images that the votes are for")]
    Votes,
    /// Fixes of synthetic faces.
    #[error("--fixes requires --data with the images that the fixes are for")]
    Fixes,
    /// The folders of synthetic faces.
    #[error("--as-given requires --data with Kaggle's numbered files")]
    AsGiven,
}

/// What to do with a path that is not an architecture file, in a training.
fn hint(error: &ConfigError) -> String {
    match error {
        ConfigError::Run(path) => format!("; to resume the run: moue train --resume {path}"),
        ConfigError::Folder(path) => format!("; if it is a dataset: --data {path}"),
        ConfigError::Dataset(path) => format!("; use --data {path}"),
        _ => String::new(),
    }
}

impl RunConfigError {
    /// Whether the options are wrong; otherwise a file is.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(error) => !hint(error).is_empty() || matches!(error, ConfigError::Comparison(_)),
            Self::Checkpoint(_) => false,
            _ => true,
        }
    }
}

impl RunConfig {
    /// Resolves options to a configuration and data. Reads only the architecture file, the
    /// checkpoint and the teachers; writes nothing.
    ///
    /// # Errors
    /// When a file or an option is not valid.
    pub fn resolve(options: &RunOptions) -> Result<Self, RunConfigError> {
        let given = options.data.clone().map(DataSource::Given);
        if let Some(path) = &options.resume {
            let saved = SavedRun::open(RunFolder::existing(path).checkpoint())?;
            let config = Config::parse("the checkpoint's configuration", &saved.config)?;
            return Ok(Self::new(config, given.unwrap_or(saved.source)));
        }
        let mut run = Self::resolve_untaught(options)?;
        let arch = options.arch.as_deref().unwrap_or(DEFAULT_ARCH);
        for teacher in std::mem::take(&mut run.config.train.teachers) {
            match Model::open(&teacher) {
                Ok(_) => run.config.train.teachers.push(teacher),
                Err(ModelFileError::Unknown { .. }) if options.init => run.dropped_teachers.push(teacher),
                Err(source) => return Err(RunConfigError::Teacher { arch: arch.to_owned(), source }),
            }
        }
        Ok(run)
    }

    /// Resolves options for one of several compared runs: teachers are loaded when the run is
    /// trained, so a missing teacher fails only that run.
    ///
    /// # Errors
    /// When a file or an option is not valid.
    pub fn resolve_untaught(options: &RunOptions) -> Result<Self, RunConfigError> {
        Self::with_options(Config::open(options.arch.as_deref().unwrap_or(DEFAULT_ARCH))?, options)
    }

    /// Applies options, except for `arch` and `resume`, to a configuration.
    ///
    /// # Errors
    /// When an option is not valid.
    pub fn with_options(mut config: Config, options: &RunOptions) -> Result<Self, RunConfigError> {
        config.data.votes = options.votes.clone().or(config.data.votes);
        config.data.fixes = options.fixes.clone().or(config.data.fixes);
        for (key, value) in &options.set {
            config = with_option(&config, key, value)?;
        }
        let train = &mut config.train;
        train.epochs = options.epochs.unwrap_or(train.epochs);
        train.batch_size = options.batch_size.unwrap_or(train.batch_size);
        train.learning_rate = options.learning_rate.unwrap_or(train.learning_rate);
        train.precision = options.precision.unwrap_or(train.precision);
        train.seed = options.seed.unwrap_or(train.seed);
        config.data = config.data.with_split(options.official_split, options.as_given);
        if let Some([height, width]) = options.image_size {
            config.model.input = [height, width, config.model.input[2]];
        }
        config.check("the command line").map_err(RunConfigError::Range)?;
        config.data.check_votes().map_err(RunConfigError::VoteOptions)?;
        if options.official_split && options.data.is_none() {
            return Err(RunConfigError::OfficialSplit);
        }
        if options.votes.is_some() && options.data.is_none() {
            return Err(RunConfigError::Votes);
        }
        if options.fixes.is_some() && options.data.is_none() {
            return Err(RunConfigError::Fixes);
        }
        if options.as_given && options.data.is_none() {
            return Err(RunConfigError::AsGiven);
        }
        let source = options.data.clone().map_or(DataSource::Synthetic, DataSource::Given);
        let mut run = Self::new(config, source);
        if options.no_teachers {
            run.dropped_teachers = std::mem::take(&mut run.config.train.teachers);
        }
        Ok(run)
    }

    /// A configuration with its data.
    #[must_use]
    pub fn new(config: Config, source: DataSource) -> Self {
        Self { config, source, dropped_teachers: Vec::new() }
    }

    /// A note about teachers that are not used.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let dropped: Vec<String> = self.dropped_teachers.iter().map(|path| path.display().to_string()).collect();
        let name = &self.config.model.name;
        (!dropped.is_empty()).then(|| format!("teachers of {name} that are not used: {}", dropped.join(", ")))
    }

    /// The name of a run of this configuration in `runs/`.
    #[must_use]
    pub fn name(&self) -> String {
        let stem = Path::new(&self.config.model.name).file_name();
        stem.map_or_else(|| "run".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// The default architecture.
const DEFAULT_ARCH: &str = "small";
