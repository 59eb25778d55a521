//! Training and evaluation, as in the commands of the same names.

use crate::callback::Callback;
use crate::device::{self, warn};
use crate::error::refused;
use crate::precision::{of_predictions, of_training};
use crate::tta::tta;
use moue::Device;
use moue::model::Model;
use moue_train::config::Config;
use moue_train::data::{DataError, DataSource, Dataset, ImageSpec};
use moue_train::evaluate::{self as evaluation, CorruptionSet, EvaluateOptions, EvaluationError};
use moue_train::experiment::{self, Experiment, RunConfig, RunOptions, Variation, collect, conclude, run_folders};
use moue_train::train as training;
use moue_train::train::{Event, Job, RunFolder};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Trains and returns a JSON document; `progress` is called with one after each
/// epoch and stops the training by returning `False`.
#[pyfunction]
pub fn train(
    py: Python<'_>,
    arch: &str,
    data: Option<PathBuf>,
    out: Option<PathBuf>,
    init: Option<PathBuf>,
    resume: bool,
    votes: Option<PathBuf>,
    fixes: Option<PathBuf>,
    options: Vec<(String, String)>,
    precision_name: Option<&str>,
    device: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let device = device::open(device)?;
    let precision = precision_name.map(|name| of_training(name, &device)).transpose()?;
    py.detach(|| {
        // A missing checkpoint is not an error: a job that may be restarted always passes `resume=True`.
        let begun = resume && out.as_deref().is_some_and(|out| RunFolder::existing(out).checkpoint().exists());
        let resume_from = out.clone().filter(|_| begun);
        let options = RunOptions {
            arch: Some(arch.to_owned()),
            data,
            votes,
            fixes,
            resume: resume_from,
            set: options,
            precision,
            init: init.is_some(),
            ..RunOptions::default()
        };
        let run = RunConfig::resolve(&options).map_err(|error| refused(&error))?;
        let dataset = opened(&run.source, &run.config).map_err(|error| refused(&error))?;
        let init = init.as_deref().map(Model::open).transpose().map_err(|error| refused(&error))?;
        let folder = match &out {
            Some(path) if resume => RunFolder::existing(path),
            _ => RunFolder::create(out.as_deref(), &run.name())?,
        };
        let job = Job {
            init: init.as_ref(),
            resume: begun,
            device,
            ..Job::new(&run.config, &dataset, run.source.clone(), &folder)
        };
        let callback = Callback::new(progress);
        let ended = training::train(&job, &callback.stop, &mut |event| callback.observe(|| document(&event)));
        let outcome = ended.map_err(|error| refused(&error))?;
        let summary = conclude(&outcome, &job).map_err(|error| refused(&error))?;
        callback.finish()?;
        let mut document = serde_json::to_value(&summary).map_err(|error| refused(&error))?;
        document["history"] = json!(outcome.history);
        Ok(document.to_string())
    })
}

/// What the callback of a training receives after each epoch.
fn document(event: &Event<'_>) -> PyResult<Option<Value>> {
    let Event::Epoch { record, epochs, best } = event else { return Ok(None) };
    let mut document = serde_json::to_value(record).map_err(|error| refused(&error))?;
    document["epochs"] = json!(epochs);
    document["best"] = json!(best);
    Ok(Some(document))
}

/// Evaluates a model on a split and returns a JSON document.
#[pyfunction]
pub fn evaluate(
    py: Python<'_>,
    model: PathBuf,
    data: Option<PathBuf>,
    split: Option<&str>,
    tta_name: Option<&str>,
    precision_name: &str,
    device: &str,
    votes: Option<PathBuf>,
    fixes: Option<PathBuf>,
    corruptions: Option<&str>,
) -> PyResult<String> {
    let (precision, tta, device) = (of_predictions(precision_name)?, tta(tta_name)?, device::open(device)?);
    let corruptions = match corruptions {
        None => None,
        Some("all") => Some(CorruptionSet::All),
        Some("robust10") => Some(CorruptionSet::Robust10),
        Some(name) => {
            return Err(PyValueError::new_err(format!("there are no corruptions `{name}`; use all or robust10")));
        }
    };
    let document = py.detach(|| {
        let split = split.map(str::to_owned);
        let options = EvaluateOptions {
            model,
            data,
            split,
            tta,
            precision,
            votes,
            fixes,
            corruptions,
            device: device.clone(),
            ..EvaluateOptions::default()
        };
        let evaluated = evaluation::evaluate(&options, &mut |_| {}).map_err(|error| match error {
            EvaluationError::NoData => {
                let text = "this model was not trained on synthetic faces; pass the data to evaluate it on with data=";
                PyValueError::new_err(text)
            }
            other => refused(&other),
        })?;
        let (title, split) = (&options.model.to_string_lossy(), evaluated.dataset.describe(evaluated.split));
        let document = evaluated.view(title, &split).document(&options.model, &evaluated.source, evaluated.split);
        Ok(document.to_string())
    });
    warn(py, &device)?;
    document
}

/// The options of experiments: architectures, variations (`key=a,b,c`), seeds, epochs, precision.
type Plan = (Vec<String>, Vec<String>, u64, Option<usize>, Option<String>);

/// The experiments of a plan, to be trained on a device.
fn experiments(
    (archs, variations, seeds, epochs, precision_name): &Plan,
    device: &Device,
) -> PyResult<Vec<Experiment>> {
    let precision = precision_name.as_deref().map(|name| of_training(name, device)).transpose()?;
    let mut configs = Vec::new();
    for arch in archs {
        let options = RunOptions { arch: Some(arch.clone()), epochs: *epochs, precision, ..RunOptions::default() };
        configs.push(RunConfig::resolve_untaught(&options).map_err(|error| refused(&error))?.config);
    }
    let variations: Result<Vec<Variation>, _> = variations.iter().map(|text| text.parse()).collect();
    let variations = variations.map_err(|error| refused(&error))?;
    experiment::plan(&configs, &variations, *seeds).map_err(|error| refused(&error))
}

/// A JSON document for each experiment: its name, seed, folder and configuration.
#[pyfunction]
pub fn plan(py: Python<'_>, plan: Plan, data: Option<PathBuf>, out: PathBuf, device: &str) -> PyResult<Vec<String>> {
    let device = device::open(device)?;
    py.detach(|| {
        let source = data.map_or(DataSource::Synthetic, DataSource::Given);
        let experiments = experiments(&plan, &device)?;
        let folders =
            run_folders(&experiments, &mut |config| opened(&source, config), &out).map_err(|error| refused(&error))?;
        let document = |(experiment, folder): (&Experiment, PathBuf)| {
            let config = &experiment.config;
            let toml = config.to_toml().map_err(|error| refused(&error))?;
            let document =
                json!({"name": experiment.name, "seed": config.train.seed, "folder": folder, "config": toml});
            Ok(document.to_string())
        };
        experiments.iter().zip(folders).map(document).collect()
    })
}

/// Loads the data with the image size and options of a configuration.
pub fn opened(source: &DataSource, config: &Config) -> Result<Dataset, DataError> {
    source.open(ImageSpec::of_input(config.model.input), &config.data, config.train.seed, &|_| {})
}

/// Trains all experiments, or only collects existing trainings, and returns a JSON document.
#[pyfunction]
pub fn compare(
    py: Python<'_>,
    plan: Plan,
    data: Option<PathBuf>,
    out: PathBuf,
    trains: bool,
    device: &str,
) -> PyResult<String> {
    let device = device::open(device)?;
    py.detach(|| {
        let source = data.map_or(DataSource::Synthetic, DataSource::Given);
        let experiments = experiments(&plan, &device)?;
        std::fs::create_dir_all(out.join("runs"))?;
        let open = &mut |config: &Config| opened(&source, config);
        let callback = Callback::new(None);
        let found = if trains {
            experiment::compare(&experiments, &source, &device, open, &out, &callback.stop, &mut |_, _| {
                callback.observe(|| Ok(None))
            })
        } else {
            collect(&experiments, &source, open, &out)
        };
        serde_json::to_string(&found.map_err(|error| refused(&error))?).map_err(|error| refused(&error))
    })
}
