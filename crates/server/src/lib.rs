//! HTTP service that predicts facial expressions: `moue predict` over HTTP.
//!
//! `connection` accepts connections, `observe` numbers, counts and logs requests, `body` limits their
//! bodies, `api` handles them, and `work` predicts pictures outside the async threads. `access`
//! controls authorization and browser policies, `page` serves the web page, `openapi` describes the
//! API, and `problem` defines errors. `local` is a page of its own, for trainings. The program that uses this crate handles arguments, signals
//! and log output.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod access;
mod api;
mod body;
mod connection;
mod local;
mod metrics;
mod observe;
mod openapi;
mod options;
mod outcome;
mod page;
mod problem;
mod work;

pub use axum::Router;
pub use connection::serve;
pub use local::local_page;
pub use options::{Limits, Options, SetupError};

use axum::middleware::from_fn_with_state;
use moue::Classifier;
use std::path::Path;
use std::sync::Arc;

/// Creates all routes for a classifier.
///
/// # Errors
/// When an origin in the options is not valid, or the limit of all bodies is below that of one.
pub fn router(classifier: Classifier, options: &Options) -> Result<Router, SetupError> {
    let limits = &options.limits;
    if limits.buffer_bytes < limits.body_bytes {
        return Err(SetupError::Buffer { body: limits.body_bytes, buffer: limits.buffer_bytes });
    }
    let metrics = Arc::new(metrics::Metrics::new());
    let observed = observe::Observed::new(Arc::clone(&metrics), limits);
    let app = api::App::new(classifier, options, metrics);
    let routes = page::routes().merge(openapi::routes(limits)).merge(api::routes());
    let guarded = access::guard(api::with_state(routes, app), options)?;
    // Outermost, so that rejected requests are counted too.
    Ok(guarded.layer(from_fn_with_state(observed, observe::observe)))
}

/// The OpenAPI document of the API, as `/openapi.json` of a service with these limits returns it.
#[must_use]
pub fn openapi(limits: &Limits) -> serde_json::Value {
    serde_json::to_value(openapi::document(limits)).unwrap_or_default()
}

/// Writes the page with all its files into a folder, for static hosting. The page predicts with the
/// model file `model`, or with `tiny`. The folder is created if needed; an existing folder must be
/// empty, or have been written by this function.
///
/// # Errors
/// When the folder contains something else, or cannot be written.
pub fn export_page(folder: &Path, model: Option<&[u8]>) -> std::io::Result<()> {
    page::export(folder, model)
}

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
