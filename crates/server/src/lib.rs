//! Facial expressions over HTTP: `moue predict` for programs that speak HTTP.
//!
//! `api` takes requests and answers them, `work` looks at the pictures off the
//! async threads, `access` says who may ask and what a browser may do with the
//! answers, `page` is what a browser shows, `metrics` counts, `openapi` describes all of it, `problem` is what an
//! error looks like. Arguments, signals and where logs go are the program's.
#![deny(missing_docs)]

mod access;
mod api;
mod metrics;
mod openapi;
mod page;
mod problem;
mod work;

use axum::Router;
use axum::middleware::from_fn_with_state;
use moue::model::Model;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How much is taken on. What is beyond is refused at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of a request's body (413).
    pub body_bytes: usize,
    /// Columns times rows of a picture (413).
    pub pixels: u64,
    /// Pictures in a request (413).
    pub images: usize,
    /// Requests whose pictures are decoded and searched at the same time.
    pub workers: usize,
    /// Requests that wait for that (429).
    pub queue: usize,
    /// From the first byte of a request to its answer (503).
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            body_bytes: 20 << 20,
            pixels: 50_000_000,
            images: 64,
            workers,
            queue: 256,
            time: Duration::from_secs(30),
        }
    }
}

/// How a service is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How much is taken on.
    pub limits: Limits,
    /// What `Authorization: Bearer` must say for predictions and metrics, if anything.
    pub token: Option<String>,
    /// Origins whose pages may read answers; `*` for any.
    pub cors: Vec<String>,
    /// How the model is called in `/healthz`.
    pub model_name: String,
}

/// Why a service cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An origin that is none.
    #[error("{0:?} is not an origin like https://example.org")]
    Origin(String),
}

/// All routes for a model.
///
/// # Errors
/// When an origin in the options is none.
pub fn router(model: Model, options: &Options) -> Result<Router, SetupError> {
    let metrics = Arc::new(metrics::Metrics::new());
    let app = api::App::new(model, options, metrics);
    let guarded = access::guard(api::routes(app.clone()), options)?;
    // Outermost, so that what is refused is counted too.
    Ok(guarded.layer(from_fn_with_state(app, api::observe)))
}

/// Writes the page with all that belongs to it into a folder, for any static host.
/// A folder that is not there yet is made; others are left alone.
///
/// # Errors
/// When the folder is there already and not empty, or cannot be written.
pub fn export_page(folder: &Path) -> std::io::Result<()> {
    page::export(folder)
}

/// Serves the routes until `stop` is ready, then lets running requests finish.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}
