//! The device of trainings and predictions, by name.

use crate::error::refused;
use moue::{Device, DeviceChoice, DeviceError};
use pyo3::exceptions::{PyRuntimeWarning, PyValueError};
use pyo3::prelude::*;
use std::ffi::CString;

/// Opens the device of this name.
pub fn open(name: &str) -> PyResult<Device> {
    let choice: DeviceChoice = name.parse().map_err(|error: moue::device::UnknownDevice| refused(&error))?;
    Device::open(choice).map_err(|error| match error {
        DeviceError::NotBuilt => PyValueError::new_err(
            "this wheel computes on the CPU only; build it with its feature `gpu`: \
             `pip install . --config-settings=build-args=\"--features gpu\"` in crates/python",
        ),
        other => refused(&other),
    })
}

/// Warns when a device has failed, so that the rest was computed on the CPU.
pub fn warn(py: Python<'_>, device: &Device) -> PyResult<()> {
    let Some(error) = device.error() else { return Ok(()) };
    let text = CString::new(format!("{error}; the rest was computed on the CPU")).unwrap_or_default();
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1)
}
