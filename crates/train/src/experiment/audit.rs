//! Audits of data sets: opens the data, trains the folds, and writes the tables and the page.

use super::compare::OpenData;
use super::folders::{numbered_folder, read};
use super::run_config::{RunConfig, RunConfigError, RunOptions};
use crate::audit::pictures::faults;
use crate::audit::{Audit, AuditDocument, AuditError, CrossValidation, Findings, OutOfFold, folds, predict};
use crate::config::{Config, DataOptions, KeptEpoch};
use crate::data::{DataSource, Dataset, Split, TrainingImages, near_duplicates};
use crate::report;
use crate::train::Event;
use moue::Tta;
use moue::fs::{is_temporary, remove_temporary_files, write_atomically};
use moue::model::Model;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The folder of an audit for which none is named; others have a number after it.
const DEFAULT_FOLDER: &str = "runs/audit";

/// The file that identifies an audit, and the one with its results.
const PLAN: &str = "plan.json";
const RESULT: &str = "audit.json";

/// Version of the method: an audit of another version is not continued.
const VERSION: u32 = 1;

/// The name that stands for all splits.
const ALL: &str = "all";

/// Options of an audit.
#[derive(Clone, Debug, Default)]
pub struct AuditOptions {
    /// Architecture, data and training options. Of the `[data]` options, only those of loading are used: every image is
    /// audited. Teachers are not used: they may know the labels.
    pub run: RunOptions,
    /// Number of folds.
    pub folds: usize,
    /// A model that has not seen the data, in place of training.
    pub model: Option<PathBuf>,
    /// The split whose labels are audited, or `all`; `None` for the training split of the source.
    pub split: Option<String>,
    /// The folder for the results; `None` for the first of `runs/audit`, `runs/audit-2`, … that is free or contains the
    /// same audit.
    pub out: Option<PathBuf>,
}

/// Why an audit failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditRunError {
    /// An option is not valid.
    #[error(transparent)]
    Options(#[from] RunConfigError),
    /// The audit failed.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl From<crate::data::DataError> for AuditRunError {
    fn from(error: crate::data::DataError) -> Self {
        AuditError::from(error).into()
    }
}

/// Events of an audit.
pub enum AuditEvent<'a> {
    /// The data is open and the folder is known.
    Begin {
        /// The audited images.
        images: usize,
        /// The audited splits.
        split: &'a str,
        /// The folder.
        out: &'a Path,
        /// Whether it is continued.
        resumed: bool,
    },
    /// A warning.
    Warning(String),
    /// A step that is not a training begins.
    Step(&'static str),
    /// Images were trained on.
    Images {
        /// The fold, from 1.
        fold: usize,
        /// Number of folds.
        folds: usize,
        /// Number of images so far, counted once for each epoch and fold.
        done: usize,
        /// The same at the end.
        of: usize,
        /// The epoch and the loss.
        event: &'a Event<'a>,
    },
}

/// An audit with its data set, which has its own splits.
pub struct Audited {
    /// The results.
    pub audit: Audit,
    /// The data set.
    pub dataset: Dataset,
}

/// Audits a data set and writes `issues.csv`, `scores.csv`, `audit.json` and `audit.html`. `None` when it was stopped; the
/// same call continues it.
///
/// # Errors
/// When an option is not valid, the data cannot be opened, a training fails, or a file cannot be written.
pub fn audit(
    options: &AuditOptions,
    open: &mut OpenData<'_>,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(AuditEvent<'_>),
) -> Result<Option<Audited>, AuditRunError> {
    let model = options.model.as_deref().map(Model::open).transpose().map_err(AuditError::from)?;
    let RunConfig { mut config, source, .. } = resolve(options, model.as_ref())?;
    if model.is_none() && !(2..=100).contains(&options.folds) {
        return Err(AuditError::Folds(options.folds).into());
    }
    config.data = data_options(&config.data, model.as_ref());
    // Nothing may be selected on the images that are predicted.
    (config.train.keep, config.train.early_stopping) = (KeptEpoch::Last, 0);
    let mut dataset = open(&config)?;
    keep_training_together(&mut dataset);
    let (images, split) = selected(&dataset, options.split.as_deref())?;
    if model.is_none() && images.len() < 2 * options.folds {
        return Err(AuditError::TooFew { images: images.len(), folds: options.folds }.into());
    }
    let plan = json!({
        "digest": digest(&config, &dataset, &images, options, model.as_ref()),
        "data": source.to_string(), "split": split, "folds": options.folds,
    });
    let (out, resumed) = folder(options.out.as_deref(), &plan)?;
    ["", "folds", report::AUDIT_ASSETS].iter().for_each(|name| remove_temporary_files(out.join(name)));
    observe(AuditEvent::Begin { images: images.len(), split: &split, out: &out, resumed });
    observe(AuditEvent::Step("searching for near-duplicates"));
    let groups = near_duplicates(&dataset);
    let overlap = model.as_ref().and_then(|model| {
        let path = options.model.as_deref()?;
        Some(TrainingImages::find(path, &model.provenance().data_hash)?.count(&dataset, &images))
    });
    let own_splits = dataset.splits.clone();
    let document =
        begun(options, &config, &source, &out, (&split, overlap), dataset.fixes().map(|fixes| fixes.hash.clone()));
    let predictions = match model {
        Some(model) => {
            warn_of_overlap(overlap, images.len(), observe);
            observe(AuditEvent::Step("predicting"));
            dataset.splits.fill(Split::Test);
            images.iter().for_each(|&image| dataset.splits[image] = Split::Validation);
            Some(predict(model, &dataset, Tta::None, config.train.seed)?)
        }
        None => {
            cross_validated(&config, &source, &mut dataset, (&images, &groups), options.folds, &out, stop, observe)?
        }
    };
    dataset.splits = own_splits;
    let Some(predictions) = predictions.filter(|_| !stop.load(Ordering::Relaxed)) else { return Ok(None) };
    observe(AuditEvent::Step("examining the pictures"));
    let faults = faults(&dataset);
    let found = Findings { dataset: &dataset, images: &images, predictions: &predictions, groups: &groups, faults };
    let audit = Audit::new(found, document);
    observe(AuditEvent::Step("writing the results"));
    write(&audit, &dataset, &out)?;
    Ok(Some(Audited { audit, dataset }))
}

fn resolve(options: &AuditOptions, model: Option<&Model>) -> Result<RunConfig, AuditRunError> {
    let run = RunOptions { no_teachers: true, ..options.run.clone() };
    let Some(model) = model else { return Ok(RunConfig::resolve_untaught(&run)?) };
    // A network of the model's architecture: its input and its seed are those of the data.
    let config = Config::new(model.architecture().clone()).map_err(RunConfigError::Config)?;
    Ok(RunConfig::with_options(config, &run)?)
}

/// The options of loading. Images are neither left out nor divided, and targets are labels.
fn data_options(own: &DataOptions, model: Option<&Model>) -> DataOptions {
    let faces = own.faces || model.is_some_and(|model| model.provenance().faces);
    DataOptions {
        normalization: own.normalization,
        faces,
        official_split: own.official_split,
        requires_official_split: own.requires_official_split,
        fixes: own.fixes.clone(),
        ..DataOptions::default()
    }
}

/// Where the source has no validation split, the images that loading sets aside are training images.
fn keep_training_together(dataset: &mut Dataset) {
    if dataset.source_name(Split::Validation).is_none() {
        dataset.splits.iter_mut().filter(|split| **split == Split::Validation).for_each(|split| *split = Split::Train);
    }
}

/// The images to audit, by increasing index, and the name of their split.
fn selected(dataset: &Dataset, name: Option<&str>) -> Result<(Vec<usize>, String), AuditError> {
    match name {
        Some(ALL) => Ok(((0..dataset.len()).collect(), "all splits".to_owned())),
        name => {
            let split = dataset.split_named(Some(name.unwrap_or(Split::Train.name())))?;
            Ok((dataset.indices(split), dataset.describe(split)))
        }
    }
}

fn digest(
    config: &Config,
    dataset: &Dataset,
    images: &[usize],
    options: &AuditOptions,
    model: Option<&Model>,
) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{VERSION} {} {:?}\n", options.folds, options.split));
    hasher.update(config.to_toml().unwrap_or_default());
    hasher.update(dataset.hash());
    images.iter().for_each(|&image| hasher.update((image as u64).to_le_bytes()));
    if let Some(model) = model {
        hasher.update(model.to_bytes().unwrap_or_default());
    }
    base16ct::lower::encode_string(&hasher.finalize())
}

/// The folder of the audit, and whether it is continued.
fn folder(out: Option<&Path>, plan: &Value) -> Result<(PathBuf, bool), AuditError> {
    let Some(path) = out else {
        let base = PathBuf::from(DEFAULT_FOLDER);
        let found = numbered_folder(&base, PLAN, plan, RESULT);
        return found
            .map(|found| (found.path, found.resumed))
            .map_err(|source| AuditError::Write { path: base, source });
    };
    let saved = read(&path.join(PLAN));
    if saved["digest"] == plan["digest"] {
        return Ok((path.to_owned(), true));
    }
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    if files.map(|entry| entry.path()).any(|path| !is_temporary(path)) {
        return Err(AuditError::Other(path.to_owned()));
    }
    std::fs::create_dir_all(path).map_err(|source| AuditError::Write { path: path.to_owned(), source })?;
    save(&path.join(PLAN), format!("{plan:#}\n").as_bytes())?;
    Ok((path.to_owned(), false))
}

fn warn_of_overlap(overlap: Option<usize>, images: usize, observe: &mut dyn FnMut(AuditEvent<'_>)) {
    match overlap {
        Some(0) => {}
        Some(count) => observe(AuditEvent::Warning(format!(
            "the model was trained on {count} of the {images} audited images or copies of them: it reproduces their labels, wrong \
             ones as well, so that many issues are missed; omit --model to train out of fold"
        ))),
        None => observe(AuditEvent::Warning(
            "the training images of this model are not known; if it was trained on this data, omit --model to train out of \
             fold"
                .to_owned(),
        )),
    }
}

fn cross_validated(
    config: &Config,
    source: &DataSource,
    dataset: &mut Dataset,
    (images, groups): (&[usize], &[Vec<usize>]),
    count: usize,
    out: &Path,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(AuditEvent<'_>),
) -> Result<Option<OutOfFold>, AuditError> {
    let of_each = folds(&dataset.labels, images, groups, count, config.train.seed);
    let counts = dataset.per_class(images);
    let rare = dataset.classes.iter().zip(counts).filter(|&(_, count)| (1..5).contains(&count));
    let rare: Vec<String> = rare.map(|(class, count)| format!("{class} ({count})")).collect();
    if !rare.is_empty() {
        observe(AuditEvent::Warning(format!(
            "too few images to check the labels of {}: few or none of their images are in the training folds",
            rare.join(", ")
        )));
    }
    let validation = CrossValidation { config, source, images, folds: &of_each, count, out };
    validation.run(dataset, stop, &mut |progress| {
        let (fold, done, of, event) = (progress.fold, progress.done, progress.of, progress.event);
        observe(AuditEvent::Images { fold, folds: count, done, of, event });
    })
}

/// What is known before the audit.
fn begun(
    options: &AuditOptions,
    config: &Config,
    source: &DataSource,
    out: &Path,
    (split, training_overlap): (&str, Option<usize>),
    fixes: Option<String>,
) -> AuditDocument {
    let trains = options.model.is_none();
    let model = options.model.as_ref().map(|path| path.display().to_string());
    AuditDocument {
        out: out.to_owned(),
        data: source.to_string(),
        split: split.to_owned(),
        images: 0,
        audited: 0,
        model: model.unwrap_or_else(|| config.model.name.clone()),
        folds: trains.then_some(options.folds),
        epochs: trains.then_some(config.train.epochs),
        seed: config.train.seed,
        training_overlap,
        fixes,
        agreement: 0.0,
        agreement_ci95: [0.0, 1.0],
        label_issues: 0,
        noise: 0.0,
        noise_ci95: [0.0, 1.0],
        classes: Vec::new(),
        pairs: Vec::new(),
        joint: Vec::new(),
        issues: Vec::new(),
        images_with_issues: 0,
        duplicate_groups: 0,
        conflicts: Vec::new(),
        leaks: Vec::new(),
        complete: true,
    }
}

fn write(audit: &Audit, dataset: &Dataset, out: &Path) -> Result<(), AuditError> {
    save(&out.join("issues.csv"), &audit.issues_csv(dataset))?;
    save(&out.join("scores.csv"), &audit.scores_csv(dataset))?;
    for (name, bytes) in report::audit(audit, dataset) {
        save(&out.join(name), &bytes)?;
    }
    // Last: it says that the audit is complete.
    save(&out.join(RESULT), (serde_json::to_string_pretty(&audit.document)? + "\n").as_bytes())
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), AuditError> {
    let folder = path.parent().unwrap_or(path);
    let written = std::fs::create_dir_all(folder).and_then(|()| write_atomically(path, bytes));
    written.map_err(|source| AuditError::Write { path: path.to_owned(), source })
}
