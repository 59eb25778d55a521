//! Training and evaluation, as the commands of the same names do them.

use crate::refused;
use moue::config::Config;
use moue::data::{DataError, DataOptions, Dataset, ImageForm, Split};
use moue::evaluate as judge;
use moue::model::Model;
use moue::report::{self, Evaluation};
use moue::train as training;
use moue::train::{DataSource, Event, Experiment, Job, RunFolder, Variation, collect, peek, run_folders, with_option};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Trains and returns a JSON document; `progress` is called with one after each
/// epoch and ends the training by returning `False`.
#[pyfunction]
pub fn train(
    py: Python<'_>,
    arch: &str,
    data: Option<PathBuf>,
    out: Option<PathBuf>,
    init: Option<PathBuf>,
    resume: bool,
    options: Vec<(String, String)>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    py.detach(|| {
        // Nothing to go on with yet is no error: a job that is started again asks for it.
        let begun = resume && out.as_deref().is_some_and(|out| RunFolder::existing(out).checkpoint().exists());
        let (config, source) = settle(arch, data, out.as_deref().filter(|_| begun), &options)?;
        let dataset = opened(&source, &config).map_err(|error| refused(&error))?;
        let init = init.as_deref().map(Model::open).transpose().map_err(|error| refused(&error))?;
        let stem = Path::new(&config.model.name).file_name().map(|stem| stem.to_string_lossy().into_owned());
        let folder = match &out {
            Some(path) if resume => RunFolder::existing(path),
            _ => RunFolder::create(out.as_deref(), stem.as_deref().unwrap_or("run"))?,
        };
        let job = Job {
            config: &config,
            dataset: &dataset,
            source,
            folder: &folder,
            init: init.as_ref(),
            resume: begun,
            group: None,
        };
        let listener = Listener { progress, stop: AtomicBool::new(false) };
        let mut raised = None;
        let ended = training::train(&job, &listener.stop, &mut |event| {
            if let Err(error) = listener.hear(&event) {
                listener.stop.store(true, Ordering::Relaxed);
                raised.get_or_insert(error);
            }
        });
        let mut outcome = ended.map_err(|error| refused(&error))?;
        let summary = report::conclude(&mut outcome, &job).map_err(|error| refused(&error))?;
        if let Some(error) = raised {
            return Err(error);
        }
        let mut document = serde_json::to_value(&summary).map_err(|error| refused(&error))?;
        document["history"] = json!(outcome.history);
        Ok(document.to_string())
    })
}

/// The configuration and the data, out of arguments or of a run's checkpoint.
fn settle(
    arch: &str,
    data: Option<PathBuf>,
    resume: Option<&Path>,
    options: &[(String, String)],
) -> PyResult<(Config, DataSource)> {
    let given = data.map(DataSource::Given);
    if let Some(path) = resume {
        let (toml, source) = peek(&RunFolder::existing(path).checkpoint()).map_err(|error| refused(&error))?;
        let config = Config::parse("the checkpoint's configuration", &toml).map_err(|error| refused(&error))?;
        return Ok((config, given.unwrap_or(source)));
    }
    let mut config = Config::open(arch).map_err(|error| refused(&error))?;
    for (key, value) in options {
        config = with_option(&config, key, value).map_err(|error| refused(&error))?;
    }
    Ok((config, given.unwrap_or(DataSource::Drawn)))
}

struct Listener {
    progress: Option<Py<PyAny>>,
    stop: AtomicBool,
}

impl Listener {
    /// Passes an epoch on; an error is an exception of the callback's, or Ctrl-C.
    fn hear(&self, event: &Event<'_>) -> PyResult<()> {
        Python::attach(|py| {
            py.check_signals()?;
            let (Event::Epoch { record, epochs, best }, Some(progress)) = (event, &self.progress) else {
                return Ok(());
            };
            let mut document = serde_json::to_value(record).map_err(|error| refused(&error))?;
            document["epochs"] = json!(epochs);
            document["best"] = json!(best);
            let answer = progress.call1(py, (document.to_string(),))?;
            if answer.bind(py).is(pyo3::types::PyBool::new(py, false)) {
                self.stop.store(true, Ordering::Relaxed);
            }
            Ok(())
        })
    }
}

/// Judges a model on a split and returns a JSON document.
#[pyfunction]
pub fn evaluate(
    py: Python<'_>,
    model: PathBuf,
    data: Option<PathBuf>,
    split: Option<&str>,
    tta: bool,
) -> PyResult<String> {
    py.detach(|| {
        let name = model;
        let mut model = Model::open(&name).map_err(|error| refused(&error))?;
        let source = match data {
            Some(path) => DataSource::Given(path),
            None if model.provenance.data == "drawn" => DataSource::Drawn,
            None => {
                let text = "this model was not trained on drawn faces: say with data= what to judge it on";
                return Err(PyValueError::new_err(text));
            }
        };
        let options = DataOptions::as_trained(&model.provenance, source != DataSource::Drawn);
        let form = ImageForm::of_input(model.architecture.input);
        let dataset = source.open(form, &options, model.provenance.seed, &|_| {}).map_err(|error| refused(&error))?;
        let split = dataset.split_named(split).map_err(|error| refused(&error))?;
        let answers = judge::answer(&mut model, &dataset, split, tta, &mut |_| {}).map_err(|error| refused(&error))?;
        let (labels, probabilities) = (&answers.labels, &answers.probabilities);
        let evaluation = Evaluation {
            title: &model.architecture.name,
            model: &model,
            figures: &judge::figures(&model.classes, labels, probabilities),
            fitted: &judge::cross_fit(&model, &answers),
            answers: &answers,
            dataset: &dataset,
            split: &dataset.describe(split),
            selection: split == Split::Validation,
            tta,
            others: &[],
            corruptions: &[],
        };
        Ok(evaluation.document(&name, &source, split).to_string())
    })
}

/// What experiments are made of: architectures, variations (`key=a,b,c`), seeds, epochs.
type Plan = (Vec<String>, Vec<String>, u64, Option<usize>);

fn experiments((archs, variations, seeds, epochs): &Plan) -> PyResult<Vec<Experiment>> {
    let mut configs = Vec::new();
    for arch in archs {
        let mut config = Config::open(arch).map_err(|error| refused(&error))?;
        config.train.epochs = epochs.unwrap_or(config.train.epochs);
        config.check("epochs").map_err(|error| refused(&error))?;
        configs.push(config);
    }
    let variations: Result<Vec<Variation>, _> = variations.iter().map(|text| text.parse()).collect();
    let variations = variations.map_err(|error| refused(&error))?;
    training::plan(&configs, &variations, *seeds).map_err(|error| refused(&error))
}

/// For each experiment a JSON document: its name, seed, folder and configuration.
#[pyfunction]
pub fn plan(py: Python<'_>, plan: Plan, data: Option<PathBuf>, out: PathBuf) -> PyResult<Vec<String>> {
    py.detach(|| {
        let source = data.map_or(DataSource::Drawn, DataSource::Given);
        let experiments = experiments(&plan)?;
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

/// The data in the form and with the options of a configuration.
fn opened(source: &DataSource, config: &Config) -> Result<Dataset, DataError> {
    source.open(ImageForm::of_input(config.model.input), &config.data, config.train.seed, &|_| {})
}

/// Trains all experiments, or only collects what is there, and returns a JSON document.
#[pyfunction]
pub fn compare(py: Python<'_>, plan: Plan, data: Option<PathBuf>, out: PathBuf, trains: bool) -> PyResult<String> {
    py.detach(|| {
        let source = data.map_or(DataSource::Drawn, DataSource::Given);
        let experiments = experiments(&plan)?;
        std::fs::create_dir_all(out.join("runs"))?;
        let open = &mut |config: &Config| opened(&source, config);
        let listener = Listener { progress: None, stop: AtomicBool::new(false) };
        let found = if trains {
            training::compare(&experiments, &source, open, &out, &listener.stop, &mut |_, event| {
                if listener.hear(&event).is_err() {
                    listener.stop.store(true, Ordering::Relaxed);
                }
            })
        } else {
            collect(&experiments, &source, open, &out)
        };
        serde_json::to_string(&found.map_err(|error| refused(&error))?).map_err(|error| refused(&error))
    })
}
