//! Test-time augmentation, by name.

use moue::Tta;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The test-time augmentation of this name.
pub fn tta(name: Option<&str>) -> PyResult<Tta> {
    match name {
        None => Ok(Tta::None),
        Some("flip") => Ok(Tta::Flip),
        Some("crops") => Ok(Tta::Crops),
        Some(name) => {
            Err(PyValueError::new_err(format!("there is no test-time augmentation `{name}`; use flip or crops")))
        }
    }
}
