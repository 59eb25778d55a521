//! Comparisons: trains any number of configurations on the same data, one after the other, and
//! includes finished runs.
//!
//! The folder of an experiment is named after everything its result depends on, so that the same
//! experiment is found again: finished experiments are reused, interrupted ones are resumed.

use super::conclude::conclude;
use super::folders::{finished_elsewhere, run_folder};
use super::plan::Experiment;
use crate::comparison::{Comparison, EpochMetrics, Row, Run};
use crate::config::{Config, DataOptions};
use crate::data::{DataError, DataSource, Dataset, ImageSpec, Split, TrainingImages};
use crate::report;
use crate::train::{Ending, EpochRecord, Event, Job, RunFolder, SavedRun, train};
use moue::fs::write_atomically;
use moue::model::{build_blank, summary};
use moue::{Device, with_causes};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a comparison failed. A failed training is reported in its row instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The metrics cannot be represented in JSON.
    #[error("the comparison cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// There are no experiments.
    #[error("there are no experiments to compare")]
    Nothing,
}

/// Loads the data with the image size and channels of a configuration.
pub type OpenData<'a> = dyn FnMut(&Config) -> Result<Dataset, DataError> + 'a;

/// Trains all experiments one after the other and, after each of them, writes `comparison.csv`,
/// `runs.csv`, `comparison.json` and `report.html` into `out`, whose folder `runs` contains the
/// trainings.
/// Stops early, with the finished results, when `stop` is set.
///
/// `observe` is called with the index of the experiment and its event.
///
/// # Errors
/// When the data cannot be opened or a file cannot be written.
pub fn compare(
    experiments: &[Experiment],
    source: &DataSource,
    device: &Device,
    open: &mut OpenData<'_>,
    out: impl AsRef<Path>,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(usize, Event<'_>),
) -> Result<Comparison, CompareError> {
    each(experiments, source, device, open, out.as_ref(), stop, observe, true)
}

/// Compares the trainings in `out` and writes the same files, without training: for experiments
/// that were trained elsewhere, in their [`run_folders`]. An interrupted training is included with
/// its finished epochs.
///
/// # Errors
/// When the data cannot be opened or a file cannot be written.
pub fn collect(
    experiments: &[Experiment],
    source: &DataSource,
    open: &mut OpenData<'_>,
    out: impl AsRef<Path>,
) -> Result<Comparison, CompareError> {
    each(experiments, source, &Device::default(), open, out.as_ref(), &AtomicBool::new(true), &mut |_, _| {}, false)
}

fn each(
    experiments: &[Experiment],
    source: &DataSource,
    device: &Device,
    open: &mut OpenData<'_>,
    out: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(usize, Event<'_>),
    ends_when_stopped: bool,
) -> Result<Comparison, CompareError> {
    let mut data = LoadedData { open, last: None };
    let mut comparison: Option<Comparison> = None;
    let mut validated: Option<(Vec<String>, bool)> = None;
    for (number, experiment) in experiments.iter().enumerate() {
        let dataset = data.data_for(&experiment.config)?;
        let validation =
            || dataset.indices(Split::Validation).into_iter().map(|index| dataset.ids[index].clone()).collect();
        let (ids, voted) = validated.get_or_insert_with(|| (validation(), dataset.voted));
        if *voted != dataset.voted {
            observe(
                number,
                Event::Warning(format!(
                    "{} is not validated on the same labels as the first experiment (votes replace labels), so their \
                     accuracies are not comparable; compare the models with `moue evaluate --votes`",
                    experiment.name
                )),
            );
        }
        let mut run = match (&experiment.run, finished_elsewhere(experiment, dataset, out)) {
            (Some(folder), _) => finished(experiment, folder, dataset, *ids == validation()),
            (None, Some(folder)) => {
                observe(number, Event::Note(format!("{} is finished already", folder.display())));
                finished(experiment, &folder, dataset, true)
            }
            (None, None) => run(experiment, dataset, source, device, out, stop, &mut |event| observe(number, event)),
        };
        run.training_overlap = overlap(&run.folder, dataset);
        let found = comparison.get_or_insert_with(|| begun(source, dataset, out));
        add(found, experiment, run, dataset);
        found.complete = number + 1 == experiments.len() && found.rows.iter().flat_map(|r| &r.runs).all(|r| r.finished);
        write(found, out)?;
        if ends_when_stopped && stop.load(Ordering::Relaxed) {
            break;
        }
    }
    comparison.ok_or(CompareError::Nothing)
}

/// The last loaded data, reused by the next experiment with the same options.
struct LoadedData<'a, 'b> {
    open: &'a mut OpenData<'b>,
    last: Option<(ImageSpec, DataOptions, u64, Dataset)>,
}

impl LoadedData<'_, '_> {
    fn data_for(&mut self, config: &Config) -> Result<&Dataset, DataError> {
        let (form, seed) = (ImageSpec::of_input(config.model.input), config.train.seed);
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

/// The run folder of each experiment, in `out`.
///
/// # Errors
/// When the data cannot be opened.
pub fn run_folders(
    experiments: &[Experiment],
    open: &mut OpenData<'_>,
    out: impl AsRef<Path>,
) -> Result<Vec<PathBuf>, DataError> {
    let mut data = LoadedData { open, last: None };
    experiments
        .iter()
        .map(|experiment| Ok(run_folder(experiment, data.data_for(&experiment.config)?, out.as_ref())))
        .collect()
}

fn run(
    experiment: &Experiment,
    dataset: &Dataset,
    source: &DataSource,
    device: &Device,
    out: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Run {
    let folder = RunFolder::existing(run_folder(experiment, dataset, out));
    let resume = folder.checkpoint().exists();
    let job = Job { resume, device: device.clone(), ..Job::new(&experiment.config, dataset, source.clone(), &folder) };
    let mut run = begun_run(experiment, folder.path());
    let mut trained = false;
    let outcome = train(&job, stop, &mut |event| {
        trained |= matches!(event, Event::Epoch { .. });
        observe(event);
    });
    match outcome {
        Ok(outcome) => {
            take_history(&mut run, &outcome.history, outcome.best_epoch);
            run.finished = outcome.ending != Ending::Interrupted;
            if run.finished && !trained {
                observe(Event::Note(format!("{} is finished already", folder.path().display())));
            }
            // Also without a further epoch: the run may have been killed before its report was written.
            run.error = conclude(&outcome, &job).err().map(|error| with_causes(&error));
        }
        Err(error) => run.error = Some(with_causes(&error)),
    }
    run
}

fn begun_run(experiment: &Experiment, folder: &Path) -> Run {
    Run { seed: experiment.config.train.seed, folder: folder.to_owned(), ..Run::default() }
}

fn take_history(run: &mut Run, history: &[EpochRecord], best_epoch: usize) {
    run.best = best_epoch.checked_sub(1).and_then(|i| history.get(i)).map(EpochMetrics::from);
    run.last = history.last().map(EpochMetrics::from);
    run.seconds = history.iter().map(|record| record.seconds).sum();
    run.history = history.to_vec();
}

/// The results of a finished run, which are comparable if it has the same training images, and if
/// the first experiment has the same validation images.
fn finished(experiment: &Experiment, folder: &Path, dataset: &Dataset, same_validation: bool) -> Run {
    let mut run = begun_run(experiment, folder);
    match SavedRun::open(RunFolder::existing(folder).checkpoint()) {
        Err(error) => run.error = Some(with_causes(&error)),
        Ok(saved) if saved.data_hash != dataset.hash() => {
            run.error = Some(format!("it was trained on other data ({})", saved.source));
        }
        Ok(_) if !same_validation => {
            run.error = Some("it was validated on other images than the first experiment".into());
        }
        Ok(saved) => {
            take_history(&mut run, &saved.history, saved.best_epoch);
            run.finished = true;
        }
    }
    run
}

/// How many validation images are among the training images of a run.
fn overlap(folder: &Path, dataset: &Dataset) -> Option<usize> {
    let known = TrainingImages::find(&RunFolder::existing(folder).model(), &dataset.hash())?;
    Some(known.count(dataset, &dataset.indices(Split::Validation)))
}

/// A comparison without rows.
fn begun(source: &DataSource, dataset: &Dataset, out: &Path) -> Comparison {
    let validation = dataset.indices(Split::Validation);
    let counts = dataset.per_class(&validation);
    let most = (0..counts.len()).rev().max_by_key(|&class| counts[class]).unwrap_or(0);
    Comparison {
        out: out.to_owned(),
        numbered: dataset.numbered_split(),
        data: source.to_string(),
        split: dataset.describe(Split::Validation),
        validation_images: validation.len(),
        majority_class: dataset.classes.get(most).cloned().unwrap_or_default(),
        majority_accuracy: counts.get(most).map_or(0.0, |&n| n as f64 / validation.len().max(1) as f64),
        complete: false,
        rows: Vec::new(),
    }
}

fn add(comparison: &mut Comparison, experiment: &Experiment, run: Run, dataset: &Dataset) {
    let config = &experiment.config;
    if comparison.rows.last().is_none_or(|row| row.name != experiment.name) {
        let layers =
            build_blank(&config.model, dataset.classes.len()).map(|network| summary(&network)).unwrap_or_default();
        comparison.rows.push(Row {
            name: experiment.name.clone(),
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            macs: layers.iter().map(|layer| layer.macs).sum(),
            train_images: dataset.indices(Split::Train).len(),
            epochs: config.train.epochs,
            claim: config.model.claim.clone(),
            ..Row::default()
        });
    }
    if let Some(row) = comparison.rows.last_mut() {
        row.runs.push(run);
    }
    comparison.summarize();
}

fn write(comparison: &Comparison, out: &Path) -> Result<(), CompareError> {
    let json = serde_json::to_string_pretty(comparison)? + "\n";
    let files = [
        ("comparison.csv", comparison.csv()),
        ("runs.csv", comparison.runs_csv()),
        ("comparison.json", json),
        ("report.html", report::comparison(comparison)),
    ];
    for (name, text) in files {
        let path = out.join(name);
        // Comparisons of finished runs train nothing that would create the folder.
        std::fs::create_dir_all(out)
            .and_then(|()| write_atomically(&path, text.as_bytes()))
            .map_err(|source| CompareError::Write { path, source })?;
    }
    Ok(())
}
