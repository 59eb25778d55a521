//! The experiments of a comparison: configurations to train, and finished runs.

use super::grid::{Variation, grid};
use crate::config::{Config, ConfigError, OverrideError, Preset};
use crate::data::DataSource;
use crate::train::{CheckpointError, RunFolder, SavedRun};
use std::path::{Path, PathBuf};

/// A configuration to be trained, or a finished run.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The architecture's name, followed by the varied options, or the folder of a finished run.
    pub name: String,
    /// The configuration.
    pub config: Config,
    /// The folder of a finished run, which is not trained again.
    pub run: Option<PathBuf>,
}

/// The experiments of a comparison: every configuration with every variation, each with `seeds`
/// consecutive seeds.
///
/// # Errors
/// When a variation does not fit a configuration.
pub fn plan(configs: &[Config], variations: &[Variation], seeds: u64) -> Result<Vec<Experiment>, OverrideError> {
    let mut experiments = Vec::new();
    for config in configs {
        for (settings, config) in grid(config, variations)? {
            let name = std::iter::once(config.model.name.clone()).chain(settings).collect::<Vec<_>>().join(" ");
            for seed in 0..seeds.max(1) {
                let mut config = config.clone();
                config.train.seed += seed;
                experiments.push(Experiment { name: name.clone(), config, run: None });
            }
        }
    }
    Ok(experiments)
}

/// Numbers different configurations of the same name, so that each is a row of its own; those that
/// differ in their seeds only are one row.
pub fn distinct_names(experiments: &mut [Experiment]) {
    let mut known: Vec<(String, Config, String)> = Vec::new();
    for experiment in experiments {
        let mut config = experiment.config.clone();
        config.train.seed = 0;
        let same_name = known.iter().filter(|(name, ..)| *name == experiment.name);
        let number = 1 + same_name.clone().count();
        let same = same_name.clone().find(|(_, own, _)| *own == config).map(|(.., shown)| shown.clone());
        let shown = same.unwrap_or_else(|| {
            let shown = if number == 1 { experiment.name.clone() } else { format!("{} ({number})", experiment.name) };
            known.push((experiment.name.clone(), config, shown.clone()));
            shown
        });
        experiment.name = shown;
    }
}

/// Why a folder cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishedRunError {
    /// It has no valid checkpoint.
    #[error("cannot compare the run {}", .path.display())]
    Checkpoint {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: CheckpointError,
    },
    /// Its configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is not finished.
    #[error("the run {} is not finished; finish it first: moue train --resume {}", .0.display(), .0.display())]
    Unfinished(PathBuf),
}

/// The finished run in a folder, as an experiment, and its data; `None` where the path is no folder
/// of a run, or the name of a preset.
///
/// # Errors
/// When the run has no valid checkpoint, or is not finished.
pub fn finished_run(path: &Path) -> Result<Option<(Experiment, DataSource)>, FinishedRunError> {
    let is_preset = path.to_str().is_some_and(|name| Preset::named(name).is_some());
    if is_preset || !path.join("config.toml").exists() {
        return Ok(None);
    }
    let saved = SavedRun::open(RunFolder::existing(path).checkpoint())
        .map_err(|source| FinishedRunError::Checkpoint { path: path.to_owned(), source })?;
    let config = Config::parse("the checkpoint's configuration", &saved.config)?;
    if !saved.is_finished(&config) {
        return Err(FinishedRunError::Unfinished(path.to_owned()));
    }
    let name = path.display().to_string();
    Ok(Some((Experiment { name, config, run: Some(path.to_owned()) }, saved.source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_configurations_of_one_name_are_different_rows() {
        let small = Config::open("small").unwrap();
        let mut edited = small.clone();
        edited.train.epochs += 1;
        let mut experiments = plan(&[small.clone(), edited, small], &[], 2).unwrap();
        distinct_names(&mut experiments);
        let names: Vec<&str> = experiments.iter().map(|experiment| &*experiment.name).collect();
        assert_eq!(names, ["small", "small", "small (2)", "small (2)", "small", "small"]);
    }

    #[test]
    fn the_name_of_a_preset_is_no_folder() {
        assert!(finished_run(Path::new("tutorial/model-6")).unwrap().is_none());
        let folder = tempfile::tempdir().unwrap();
        assert!(finished_run(folder.path()).unwrap().is_none());
        std::fs::write(folder.path().join("config.toml"), "").unwrap();
        assert!(matches!(finished_run(folder.path()), Err(FinishedRunError::Checkpoint { .. })));
    }
}
