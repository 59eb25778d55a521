//! `moue._moue`: what the Python package `moue` calls. Arguments are checked and
//! predictions are made into dataclasses in Python (`python/moue/__init__.py`);
//! structured predictions cross over as JSON.

mod error;
mod images;
mod predictor;
mod runs;

use pyo3::prelude::*;

#[pymodule]
mod _moue {
    #[pymodule_export]
    use super::images::load;
    #[pymodule_export]
    use super::predictor::Predictor;
    #[pymodule_export]
    use super::runs::{compare, evaluate, plan, train};
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
