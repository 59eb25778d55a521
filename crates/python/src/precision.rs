//! The precision of a network's arithmetic, by name.

use moue::Precision;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The precision of this name; `auto` is the fastest on this machine.
pub fn precision(name: &str) -> PyResult<Precision> {
    match name {
        "f32" | "fp32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        "auto" => Ok(Precision::fastest()),
        _ => Err(PyValueError::new_err(format!("there is no precision `{name}`; use f32, bf16 or auto"))),
    }
}
