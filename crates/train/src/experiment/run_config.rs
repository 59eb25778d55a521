//! What a run is: its configuration and its data, resolved from what was asked for.

use crate::config::{Config, ConfigError, OverrideError, with_option};
use crate::data::DataSource;
use crate::train::{CheckpointError, RunFolder, peek};
use moue::model::{Model, ModelFileError};
use std::path::{Path, PathBuf};

/// What was asked for; an option that is `None` stays as the architecture file has it.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// A preset's name or a file; `None` for `small`.
    pub arch: Option<String>,
    /// The data; `None` for synthetic faces.
    pub data: Option<PathBuf>,
    /// A run's folder to resume; of the other options only `data` counts then.
    pub resume: Option<PathBuf>,
    /// Any options, by their place in the architecture file, as [`with_option`] takes them.
    pub set: Vec<(String, String)>,
    /// Passes over the training images.
    pub epochs: Option<usize>,
    /// Images in a step.
    pub batch_size: Option<usize>,
    /// Size of a step.
    pub learning_rate: Option<f32>,
    /// `[height, width]` of the network's images.
    pub image_size: Option<[usize; 2]>,
    /// Seed of everything random.
    pub seed: Option<u64>,
    /// Restores FER2013's official split for Kaggle's numbered files.
    pub official_split: bool,
}

/// A configuration with its data.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    /// What is trained, and how.
    pub config: Config,
    /// On what.
    pub source: DataSource,
}

/// Why options make no run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunConfigError {
    /// The architecture file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The run to resume has no checkpoint that can be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A single option does not fit.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// A number given beside the architecture file lies outside its range.
    #[error(transparent)]
    Range(ConfigError),
    /// A teacher cannot be read.
    #[error(
        "a teacher of {arch} is missing: {source}; train it first (the preset's file begins with how), or learn \
         from the labels alone: --set 'train.teachers=[]'"
    )]
    Teacher {
        /// Preset or file.
        arch: String,
        /// Why it cannot be read.
        source: ModelFileError,
    },
    /// The official split of synthetic faces.
    #[error("--official-split needs --data with Kaggle's numbered files")]
    OfficialSplit,
}

impl RunConfigError {
    /// Whether the options contradict each other or their ranges; otherwise a file is
    /// the reason.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Config(_) | Self::Checkpoint(_))
    }
}

impl RunConfig {
    /// Resolves options to what is trained. Nothing is read but the architecture file, the
    /// checkpoint and the teachers; nothing is written.
    ///
    /// # Errors
    /// When a file cannot be used or an option does not fit.
    pub fn resolve(options: &RunOptions) -> Result<Self, RunConfigError> {
        let given = options.data.clone().map(DataSource::Given);
        if let Some(path) = &options.resume {
            let (toml, source) = peek(RunFolder::existing(path).checkpoint())?;
            let config = Config::parse("the checkpoint's configuration", &toml)?;
            return Ok(Self { config, source: given.unwrap_or(source) });
        }
        let run = Self::resolve_untaught(options)?;
        let arch = options.arch.as_deref().unwrap_or(DEFAULT_ARCH);
        for teacher in &run.config.train.teachers {
            let missing = |source| RunConfigError::Teacher { arch: arch.to_owned(), source };
            Model::open(teacher).map_err(missing)?;
        }
        if run.config.data.official_split && given.is_none() {
            return Err(RunConfigError::OfficialSplit);
        }
        Ok(run)
    }

    /// The same for one of several runs that are compared: teachers are loaded when it
    /// is trained, and what is missing then is that run's failure alone.
    ///
    /// # Errors
    /// When a file cannot be used or an option does not fit.
    pub fn resolve_untaught(options: &RunOptions) -> Result<Self, RunConfigError> {
        let mut config = Config::open(options.arch.as_deref().unwrap_or(DEFAULT_ARCH))?;
        for (key, value) in &options.set {
            config = with_option(&config, key, value)?;
        }
        let train = &mut config.train;
        train.epochs = options.epochs.unwrap_or(train.epochs);
        train.batch_size = options.batch_size.unwrap_or(train.batch_size);
        train.learning_rate = options.learning_rate.unwrap_or(train.learning_rate);
        train.seed = options.seed.unwrap_or(train.seed);
        config.data.official_split |= options.official_split;
        if let Some([height, width]) = options.image_size {
            config.model.input = [height, width, config.model.input[2]];
        }
        config.check("the command line").map_err(RunConfigError::Range)?;
        if options.official_split && options.data.is_none() {
            return Err(RunConfigError::OfficialSplit);
        }
        let source = options.data.clone().map_or(DataSource::Synthetic, DataSource::Given);
        Ok(Self { config, source })
    }

    /// What a run of this configuration is called in `runs/`.
    #[must_use]
    pub fn name(&self) -> String {
        let stem = Path::new(&self.config.model.name).file_name();
        stem.map_or_else(|| "run".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// The architecture where none is named.
const DEFAULT_ARCH: &str = "small";
