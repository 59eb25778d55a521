//! Data sets as arrays.

use crate::error::refused;
use moue_train::config::DataOptions;
use moue_train::data::{DataSource, ImageSpec};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use std::path::PathBuf;

/// Pixels and labels, and a JSON document with shape, classes, splits and ids.
type Arrays<'py> = (Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<u32>>, String);

/// Loads a data set; `size` is height and width.
#[pyfunction]
pub fn load(
    py: Python<'_>,
    data: Option<PathBuf>,
    size: Option<[usize; 2]>,
    channels: usize,
    seed: u64,
) -> PyResult<Arrays<'_>> {
    let source = data.map_or(DataSource::Synthetic, DataSource::Given);
    let form = ImageSpec { size, channels };
    let opened = py.detach(|| source.open(form, &DataOptions::default(), seed, &|_| {}));
    let dataset = opened.map_err(|error| refused(&error))?;
    let document = serde_json::json!({
        "shape": [dataset.len(), dataset.shape()[0], dataset.shape()[1], dataset.shape()[2]],
        "classes": dataset.classes(),
        "splits": dataset.splits(),
        "ids": dataset.ids(),
    });
    let (pixels, labels) = dataset.into_arrays();
    Ok((pixels.into_pyarray(py), labels.into_pyarray(py), document.to_string()))
}
