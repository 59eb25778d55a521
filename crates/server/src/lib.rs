//! HTTP service that predicts facial expressions: `moue predict` over HTTP.
//!
//! `api` handles requests, `work` predicts pictures outside the async threads, `access` controls
//! authorization and browser policies, `page` serves the web page, `metrics` counts requests,
//! `openapi` describes the API, and `problem` defines errors. The program that uses this crate
//! handles arguments, signals and log output.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod access;
mod api;
mod metrics;
mod openapi;
mod options;
mod page;
mod problem;
mod work;

pub use options::{Limits, Options, SetupError};

use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use moue::Classifier;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Creates all routes for a classifier.
///
/// # Errors
/// When an origin in the options is not valid.
pub fn router(classifier: Classifier, options: &Options) -> Result<Router, SetupError> {
    let metrics = Arc::new(metrics::Metrics::new());
    let app = api::App::new(classifier, options, metrics);
    let routes = page::routes().merge(openapi::routes()).merge(api::routes());
    let guarded = access::guard(api::with_state(routes, app.clone()), options)?;
    // Outermost, so that rejected requests are counted too.
    Ok(guarded.layer(from_fn_with_state(app, api::observe)))
}

/// The OpenAPI document of the API, as `/openapi.json` returns it.
#[must_use]
pub fn openapi() -> serde_json::Value {
    serde_json::to_value(openapi::document()).unwrap_or_default()
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

/// Serves the routes until `stop` is ready, then finishes running requests. A connection that does
/// not send a complete request head within `patience` is closed.
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
            // Usually too many connections: some will be closed soon.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Predictions are small and sent without delay.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        // An error means that the client has disconnected or violated the protocol: there is no one
        // to report it to.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    connections.shutdown().await;
}

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
