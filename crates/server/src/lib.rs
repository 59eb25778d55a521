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
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use moue::model::Model;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
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
    /// For a request, reading its body included (503), and before that for its head
    /// (the connection is closed).
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

/// Serves the routes until `stop` is ready, then lets running requests finish. A
/// connection on which no whole head of a request comes in within `patience` is closed.
pub async fn serve(listener: TcpListener, router: Router, patience: Duration, stop: impl Future<Output = ()>) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            // Most likely too many connections: some will end soon.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Answers are small; none shall wait for more.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        // It fails when the client goes away or breaks the protocol: then nobody can be told.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    connections.shutdown().await;
}
