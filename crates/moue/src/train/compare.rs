//! Experiments side by side: any number of configurations trained one after the
//! other on the same data, and what they reached.
//!
//! Each experiment's folder is named after what it depends on, so that the same
//! experiment is found again: finished ones are taken as they are, interrupted
//! ones go on.

use super::vary::{Variation, VaryError, grid};
use super::{DataSource, Ending, EpochRecord, Event, Job, RunFolder, train};
use crate::config::Config;
use crate::data::{DataError, DataOptions, Dataset, ImageForm, Split, hex};
use crate::model::{build_blank, summary, write_atomically};
use crate::report;
use crate::with_causes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A configuration to be trained.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The architecture's name, followed by what was varied.
    pub name: String,
    /// What to train.
    pub config: Config,
}

/// The experiments of a comparison: every configuration, in every variation,
/// with `seeds` seeds that count up from its own.
///
/// # Errors
/// When a variation does not fit a configuration.
pub fn plan(configs: &[Config], variations: &[Variation], seeds: u64) -> Result<Vec<Experiment>, VaryError> {
    let mut experiments = Vec::new();
    for config in configs {
        for (settings, config) in grid(config, variations)? {
            let name = std::iter::once(config.model.name.clone()).chain(settings).collect::<Vec<_>>().join(" ");
            for seed in 0..seeds.max(1) {
                let mut config = config.clone();
                config.train.seed += seed;
                experiments.push(Experiment { name: name.clone(), config });
            }
        }
    }
    Ok(experiments)
}

/// Figures of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EpochFigures {
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

impl From<&EpochRecord> for EpochFigures {
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
    pub best: Option<EpochFigures>,
    /// The last epoch.
    pub last: Option<EpochFigures>,
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

/// Why a comparison ended early. A training that fails is a row instead.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The figures cannot be written down.
    #[error("the comparison cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// There is nothing to compare.
    #[error("there is nothing to compare")]
    Nothing,
}

/// Opens the data in the form that a configuration needs.
pub type OpenData<'a> = dyn FnMut(&Config) -> Result<Dataset, DataError> + 'a;

/// Trains all experiments one after the other and writes `comparison.csv`,
/// `comparison.json` and `report.html` after each into `out`, whose `runs` hold
/// the trainings. Ends early, with what is there, when `stop` is set.
///
/// `observe` hears the number of each experiment, from 0, with what it says.
///
/// # Errors
/// When the data cannot be opened or a file cannot be written.
pub fn compare(
    experiments: &[Experiment],
    source: &DataSource,
    open: &mut OpenData<'_>,
    out: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(usize, Event<'_>),
) -> Result<Comparison, CompareError> {
    each(experiments, source, open, out, stop, observe, true)
}

/// Compares what `out` holds and writes the same files, without training: for
/// experiments that were trained elsewhere, into their [`run_folders`]. One that
/// was ended early counts with the epochs that it has.
///
/// # Errors
/// When the data cannot be opened or a file cannot be written.
pub fn collect(
    experiments: &[Experiment],
    source: &DataSource,
    open: &mut OpenData<'_>,
    out: &Path,
) -> Result<Comparison, CompareError> {
    each(experiments, source, open, out, &AtomicBool::new(true), &mut |_, _| {}, false)
}

fn each(
    experiments: &[Experiment],
    source: &DataSource,
    open: &mut OpenData<'_>,
    out: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(usize, Event<'_>),
    ends_when_stopped: bool,
) -> Result<Comparison, CompareError> {
    let mut kept = Kept { open, last: None };
    let mut comparison: Option<Comparison> = None;
    for (number, experiment) in experiments.iter().enumerate() {
        let dataset = kept.data_for(&experiment.config)?;
        let run = run(experiment, dataset, source, out, stop, &mut |event| observe(number, event));
        let found = comparison.get_or_insert_with(|| Comparison::of(source, dataset));
        found.add(experiment, run, dataset);
        found.complete = number + 1 == experiments.len() && found.rows.iter().flat_map(|r| &r.runs).all(|r| r.finished);
        write(found, out)?;
        if ends_when_stopped && stop.load(Ordering::Relaxed) {
            break;
        }
    }
    comparison.ok_or(CompareError::Nothing)
}

/// The data that was opened last, for the next experiment that wants the same.
struct Kept<'a, 'b> {
    open: &'a mut OpenData<'b>,
    last: Option<(ImageForm, DataOptions, u64, Dataset)>,
}

impl Kept<'_, '_> {
    fn data_for(&mut self, config: &Config) -> Result<&Dataset, DataError> {
        let (form, seed) = (ImageForm::of_input(config.model.input), config.train.seed);
        let dataset = match self.last.take() {
            Some((last_form, options, last_seed, dataset))
                if (last_form, last_seed) == (form, seed) && options == config.data =>
            {
                dataset
            }
            _ => (self.open)(config)?,
        };
        Ok(&self.last.insert((form, config.data.clone(), seed, dataset)).3)
    }
}

/// Where the run of each experiment belongs, in `out`.
///
/// # Errors
/// When the data cannot be opened.
pub fn run_folders(experiments: &[Experiment], open: &mut OpenData<'_>, out: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut kept = Kept { open, last: None };
    experiments.iter().map(|experiment| Ok(run_folder(experiment, kept.data_for(&experiment.config)?, out))).collect()
}

/// The folder of an experiment: its name and a digest of what it depends on. One
/// with the same digest is the same experiment, whatever it was called.
fn run_folder(experiment: &Experiment, dataset: &Dataset, out: &Path) -> PathBuf {
    let mut hasher = Sha256::new();
    hasher.update(experiment.config.to_toml().unwrap_or_default());
    hasher.update(dataset.hash());
    let digest = hex(&hasher.finalize()[..4]);
    let runs = out.join("runs");
    let known =
        std::fs::read_dir(&runs).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    if let Some(name) = known.into_iter().find(|name| name.ends_with(&format!("-{digest}"))) {
        return runs.join(name);
    }
    let stem = experiment.name.rsplit('/').next().unwrap_or(&experiment.name);
    let stem = stem.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.=".contains(c), "-");
    runs.join(format!("{}-{digest}", stem.chars().take(80).collect::<String>()))
}

fn run(
    experiment: &Experiment,
    dataset: &Dataset,
    source: &DataSource,
    out: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Run {
    let folder = RunFolder::existing(&run_folder(experiment, dataset, out));
    let resume = folder.checkpoint().exists();
    let job = Job {
        config: &experiment.config,
        dataset,
        source: source.clone(),
        folder: &folder,
        init: None,
        resume,
        group: None,
    };
    let mut run = Run { seed: experiment.config.train.seed, folder: folder.path().to_owned(), ..Run::default() };
    let mut trained = false;
    let outcome = train(&job, stop, &mut |event| {
        trained |= matches!(event, Event::Epoch { .. });
        observe(event);
    });
    match outcome {
        Ok(mut outcome) => {
            run.best = outcome.best_epoch.checked_sub(1).and_then(|i| outcome.history.get(i)).map(EpochFigures::from);
            run.last = outcome.history.last().map(EpochFigures::from);
            run.seconds = outcome.history.iter().map(|record| record.seconds).sum();
            run.finished = outcome.ending != Ending::Interrupted;
            run.history.clone_from(&outcome.history);
            if run.finished && !trained {
                observe(Event::Note(format!("{} is finished already", folder.path().display())));
            }
            if trained || !folder.report().exists() {
                run.error = report::conclude(&mut outcome, &job).err().map(|error| with_causes(&error));
            }
        }
        Err(error) => run.error = Some(with_causes(&error)),
    }
    run
}

impl Comparison {
    fn of(source: &DataSource, dataset: &Dataset) -> Self {
        let validation = dataset.indices(Split::Validation);
        let counts = dataset.per_class(&validation);
        let most = (0..counts.len()).rev().max_by_key(|&class| counts[class]).unwrap_or(0);
        Self {
            data: source.to_string(),
            split: dataset.describe(Split::Validation),
            validation_images: validation.len(),
            majority_class: dataset.classes.get(most).cloned().unwrap_or_default(),
            majority_accuracy: counts.get(most).map_or(0.0, |&n| n as f64 / validation.len().max(1) as f64),
            complete: false,
            rows: Vec::new(),
        }
    }

    fn add(&mut self, experiment: &Experiment, run: Run, dataset: &Dataset) {
        let config = &experiment.config;
        if self.rows.last().is_none_or(|row| row.name != experiment.name) {
            let layers =
                build_blank(&config.model, dataset.classes.len()).map(|network| summary(&network)).unwrap_or_default();
            self.rows.push(Row {
                name: experiment.name.clone(),
                parameters: layers.iter().map(|layer| layer.parameters).sum(),
                macs: layers.iter().map(|layer| layer.macs).sum(),
                train_images: dataset.indices(Split::Train).len(),
                epochs: config.train.epochs,
                claim: config.model.claim.clone(),
                ..Row::default()
            });
        }
        if let Some(row) = self.rows.last_mut() {
            row.runs.push(run);
            row.summarise();
        }
    }

    /// One line for each row, for spreadsheets.
    fn csv(&self) -> String {
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
    fn summarise(&mut self) {
        let count = self.runs.iter().filter(|run| run.best.is_some()).count().max(1) as f64;
        let best = |of: fn(&EpochFigures) -> f64| self.runs.iter().filter_map(|r| r.best.as_ref()).map(of).sum::<f64>();
        let last = |of: fn(&EpochFigures) -> f64| self.runs.iter().filter_map(|r| r.last.as_ref()).map(of).sum::<f64>();
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

fn write(comparison: &Comparison, out: &Path) -> Result<(), CompareError> {
    let json = serde_json::to_string_pretty(comparison)? + "\n";
    let files = [
        ("comparison.csv", comparison.csv()),
        ("comparison.json", json),
        ("report.html", report::comparison(comparison)),
    ];
    for (name, text) in files {
        let path = out.join(name);
        write_atomically(&path, text.as_bytes()).map_err(|source| CompareError::Write { path, source })?;
    }
    Ok(())
}
