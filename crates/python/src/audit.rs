//! Audits of labels, as `moue data audit`.

use crate::callback::Callback;
use crate::error::refused;
use crate::precision::of_training;
use crate::runs::opened;
use moue::Device;
use moue_train::config::Config;
use moue_train::data::DataSource;
use moue_train::experiment::{AuditEvent, AuditOptions, RunOptions, audit as run};
use moue_train::train::Event;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Folds, epochs, architecture, model, split, fixes, precision.
type Settings =
    (usize, Option<usize>, Option<String>, Option<PathBuf>, Option<String>, Option<PathBuf>, Option<String>);

/// The document, one JSON document with columns, the rows of `probabilities`, and the probabilities.
type Found<'py> = (String, String, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// Audits a data set; `None` when the callback stopped it by returning `False`.
#[pyfunction]
pub fn audit<'py>(
    py: Python<'py>,
    data: PathBuf,
    out: Option<PathBuf>,
    settings: Settings,
    options: Vec<(String, String)>,
    seed: Option<u64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Option<Found<'py>>> {
    let (folds, epochs, arch, model, split, fixes, precision) = settings;
    let precision = precision.as_deref().map(|name| of_training(name, &Device::default())).transpose()?;
    let found = py.detach(|| {
        let run_options = RunOptions {
            arch,
            data: Some(data.clone()),
            fixes,
            set: options,
            epochs,
            precision,
            seed,
            ..RunOptions::default()
        };
        let options = AuditOptions { run: run_options, folds, model, split, out };
        let source = DataSource::Given(data);
        let callback = Callback::new(progress);
        let found = run(&options, &mut |config: &Config| opened(&source, config), &callback.stop, &mut |event| {
            callback.observe(|| Ok(document(&event)));
        });
        let found = found.map_err(|error| refused(&error))?;
        callback.finish()?;
        Ok::<_, PyErr>(found)
    })?;
    let Some(found) = found else { return Ok(None) };
    let (audit, dataset) = (found.audit, found.dataset);
    let class = |class: Option<usize>| class.map(|class| dataset.classes()[class].clone());
    let columns = json!({
        "id": dataset.ids(),
        "split": dataset.splits().iter().map(|split| split.name()).collect::<Vec<_>>(),
        "given": dataset.labels().iter().map(|&label| class(Some(label as usize))).collect::<Vec<_>>(),
        "predicted": audit.images.iter().map(|own| class(own.predicted)).collect::<Vec<_>>(),
        "suggested": audit.images.iter().map(|own| class(own.suggested)).collect::<Vec<_>>(),
        "self_confidence": audit.images.iter().map(|own| own.self_confidence).collect::<Vec<_>>(),
        "margin": audit.images.iter().map(|own| own.margin).collect::<Vec<_>>(),
        "distance": audit.images.iter().map(|own| own.distance).collect::<Vec<_>>(),
        "kinds": audit.images.iter().map(|own| own.kinds()).collect::<Vec<_>>(),
        "order": audit.order,
        "scores": audit.images.iter().map(|own| own.score()).collect::<Vec<_>>(),
    });
    let results = serde_json::to_string(&audit.document).map_err(|error| refused(&error))?;
    let audited: Vec<u32> = audit.images.iter().filter(|own| own.at.is_some()).map(|own| own.image as u32).collect();
    Ok(Some((results, columns.to_string(), audited.into_pyarray(py), audit.probabilities.into_pyarray(py))))
}

/// What the callback of an audit receives after each epoch.
fn document(event: &AuditEvent<'_>) -> Option<Value> {
    let AuditEvent::Images { fold, folds, event: Event::Epoch { record, epochs, .. }, .. } = event else { return None };
    Some(json!({
        "fold": fold, "folds": folds, "epoch": record.epoch, "epochs": epochs, "loss": record.train_loss,
        "agreement": record.validation_accuracy,
    }))
}
