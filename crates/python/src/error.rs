//! Errors of the library as exceptions.

use pyo3::PyErr;
use pyo3::exceptions::PyValueError;

/// Converts an error with its causes to a `ValueError`.
pub fn refused(error: &(dyn std::error::Error + 'static)) -> PyErr {
    PyValueError::new_err(moue::with_causes(error))
}
