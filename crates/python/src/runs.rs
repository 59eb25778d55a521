//! Training and evaluation, as the commands of the same names do them.

use crate::refused;
use moue::config::Config;
use moue::data::{DataOptions, ImageForm, Split};
use moue::evaluate as judge;
use moue::model::Model;
use moue::report::{self, Evaluation};
use moue::train::{DataSource, Event, Job, RunFolder, peek, with_option};
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
    resume: Option<PathBuf>,
    options: Vec<(String, String)>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    py.detach(|| {
        let (config, source) = settle(arch, data, resume.as_deref(), &options)?;
        let form = ImageForm::of_input(config.model.input);
        let dataset = source.open(form, &config.data, config.train.seed, &|_| {}).map_err(|error| refused(&error))?;
        let init = init.as_deref().map(Model::open).transpose().map_err(|error| refused(&error))?;
        let stem = Path::new(&config.model.name).file_name().map(|stem| stem.to_string_lossy().into_owned());
        let folder = match &resume {
            Some(path) => RunFolder::existing(path),
            None => RunFolder::create(out.as_deref(), stem.as_deref().unwrap_or("run"))?,
        };
        let (init, resume) = (init.as_ref(), resume.is_some());
        let job = Job { config: &config, dataset: &dataset, source, folder: &folder, init, resume };
        let listener = Listener { progress, stop: AtomicBool::new(false) };
        let mut raised = None;
        let ended = moue::train::train(&job, &listener.stop, &mut |event| {
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
            fitted: &judge::cross_fit(&model.classes, labels, probabilities),
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
