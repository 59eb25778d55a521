//! `moue._moue`: the extension module of the Python package `moue`. `python/moue/__init__.py` checks
//! arguments and creates dataclasses; structured results are passed as JSON.
#![forbid(unsafe_code)]

mod audit;
mod callback;
mod device;
mod error;
mod images;
mod precision;
mod predictor;
mod runs;
mod tta;
mod tune;

use pyo3::prelude::*;

#[pymodule]
mod _moue {
    #[pymodule_export]
    use super::audit::audit;
    #[pymodule_export]
    use super::images::load;
    #[pymodule_export]
    use super::predictor::Predictor;
    #[pymodule_export]
    use super::runs::{compare, evaluate, plan, train};
    #[pymodule_export]
    use super::tune::{space, space_config, tune};
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
