//! Callbacks of long commands. A callback receives JSON documents, and stops the command by returning `False`.

use pyo3::prelude::*;
use pyo3::types::PyBool;
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A function of Python, if there is one, and the state of the command that calls it.
pub struct Callback {
    function: Option<Py<PyAny>>,
    /// Whether the command shall stop.
    pub stop: AtomicBool,
    raised: Mutex<Option<PyErr>>,
}

impl Callback {
    pub fn new(function: Option<Py<PyAny>>) -> Self {
        Self { function, stop: AtomicBool::new(false), raised: Mutex::default() }
    }

    /// Calls the function with the document of an event, if it has one. An exception and Ctrl-C stop the command, too.
    pub fn observe(&self, document: impl FnOnce() -> PyResult<Option<Value>>) {
        let continues = Python::attach(|py| {
            py.check_signals()?;
            let Some(function) = &self.function else { return Ok(true) };
            let Some(document) = document()? else { return Ok(true) };
            let returned = function.call1(py, (document.to_string(),))?;
            Ok(!returned.bind(py).is(PyBool::new(py, false)))
        });
        if !matches!(continues, Ok(true)) {
            self.stop.store(true, Ordering::Relaxed);
        }
        if let (Err(error), Ok(mut raised)) = (continues, self.raised.lock()) {
            raised.get_or_insert(error);
        }
    }

    /// # Errors
    /// The first exception of the function, or Ctrl-C.
    pub fn finish(self) -> PyResult<()> {
        match self.raised.into_inner() {
            Ok(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }
}
