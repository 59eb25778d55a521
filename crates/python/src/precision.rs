//! The precision of predictions and of trainings, by name.

use moue::{Device, PrecisionChoice};
use moue_train::config::PrecisionName;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The precision of predictions of this name.
pub fn of_predictions(name: &str) -> PyResult<PrecisionChoice> {
    name.parse().map_err(|error: moue::precision::UnknownPrecision| PyValueError::new_err(error.to_string()))
}

/// The precision of a training of this name; `auto` is the fastest on this machine, and f32 on a GPU.
pub fn of_training(name: &str, device: &Device) -> PyResult<PrecisionName> {
    match name {
        "f32" | "fp32" => Ok(PrecisionName::F32),
        "bf16" => Ok(PrecisionName::Bf16),
        "auto" if device.is_cpu() => Ok(PrecisionName::fastest()),
        "auto" => Ok(PrecisionName::F32),
        _ => Err(PyValueError::new_err(format!("there is no precision `{name}` of a training; use f32, bf16 or auto"))),
    }
}
