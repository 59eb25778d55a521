//! Searches, as `moue tune`, and search spaces for other programs that search.

use crate::callback::Callback;
use crate::device;
use crate::error::refused;
use crate::precision::of_training;
use crate::runs::opened;
use moue_train::config::Config;
use moue_train::data::DataSource;
use moue_train::experiment::RunOptions;
use moue_train::tune::{
    Limit, Metric, ParameterResult, SamplerName, Space, TuneEvent, TuneOptions, Values, parse_time, tune as search,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;

/// Metric, sampler, early stopping, epochs, workers, seeds, test, precision, device.
type Settings = (String, String, bool, Option<usize>, usize, usize, bool, Option<String>, String);

/// Runs a search and returns a JSON document; `progress` is called with one after each rung of a trial, and stops the
/// search by returning `False`.
#[pyfunction]
pub fn tune(
    py: Python<'_>,
    space: &str,
    data: Option<PathBuf>,
    out: Option<PathBuf>,
    limit: (Option<String>, Option<usize>),
    settings: Settings,
    options: Vec<(String, String)>,
    seed: Option<u64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let started = Instant::now();
    let (metric, sampler, early_stopping, epochs, workers, seeds, test, precision, device) = settings;
    let limit = match limit {
        (None, Some(trials)) => Limit::Trials(trials),
        (Some(budget), None) => Limit::Budget(parse_time(&budget).ok_or_else(|| {
            PyValueError::new_err(format!(
                "the budget {budget:?} is not a time; use seconds, \"90s\", \"30m\" or \"2h\""
            ))
        })?),
        _ => return Err(PyValueError::new_err("pass either a budget or a number of trials")),
    };
    let metric: Metric = parsed(serde_json::from_value(json!(metric)), "metric")?;
    let sampler: SamplerName = parsed(serde_json::from_value(json!(sampler)), "sampler")?;
    let device = device::open(&device)?;
    let precision = precision.as_deref().map(|name| of_training(name, &device)).transpose()?;
    py.detach(|| {
        let space = Space::open(space).map_err(|error| refused(&error))?;
        let run = RunOptions { data: data.clone(), set: options, seed, precision, ..RunOptions::default() };
        let options =
            TuneOptions { limit, metric, sampler, early_stopping, epochs, workers, seeds, test, run, device, started };
        let source = data.map_or(DataSource::Synthetic, DataSource::Given);
        let open = &mut |config: &Config| opened(&source, config);
        let callback = Callback::new(progress);
        let found = search(&space, &options, out.as_deref(), open, &callback.stop, &mut |event| {
            callback.observe(|| Ok(document(&event)));
        });
        let found = found.map_err(|error| refused(&error))?;
        callback.finish()?;
        serde_json::to_string(&found).map_err(|error| refused(&error))
    })
}

/// What the callback of a search receives after each trial.
fn document(event: &TuneEvent<'_>) -> Option<Value> {
    let TuneEvent::Trial { number, epochs, values, value, best, error } = event else { return None };
    Some(json!({
        "trial": number, "epochs": epochs, "values": values, "value": value, "best": best, "error": error,
    }))
}

fn parsed<T>(parsed: serde_json::Result<T>, what: &str) -> PyResult<T> {
    parsed.map_err(|error| PyValueError::new_err(format!("{what}: {error}")))
}

/// The parameters of a search space, as a JSON document each.
#[pyfunction]
pub fn space(name: &str) -> PyResult<Vec<String>> {
    let space = Space::open(name).map_err(|error| refused(&error))?;
    let document = |parameter| serde_json::to_string(&ParameterResult::new(parameter)).map_err(|error| refused(&error));
    space.parameters.iter().map(document).collect()
}

/// The architecture file of values, of which those that are not active are dropped.
#[pyfunction]
pub fn space_config(name: &str, values: &str, epochs: Option<usize>, seed: Option<u64>) -> PyResult<String> {
    let space = Space::open(name).map_err(|error| refused(&error))?;
    let values: Values = serde_json::from_str(values).map_err(|error| refused(&error))?;
    let mut config = space.config(&space.active(&values)).map_err(|error| refused(&error))?;
    config.train.epochs = epochs.unwrap_or(config.train.epochs);
    config.train.seed = seed.unwrap_or(config.train.seed);
    config.to_toml().map_err(|error| refused(&error))
}
