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

/// All routes for a classifier.
///
/// # Errors
/// When an origin in the options is none.
pub fn router(classifier: Classifier, options: &Options) -> Result<Router, SetupError> {
    let metrics = Arc::new(metrics::Metrics::new());
    let app = api::App::new(classifier, options, metrics);
    let routes = page::routes().merge(openapi::routes()).merge(api::routes());
    let guarded = access::guard(api::with_state(routes, app.clone()), options)?;
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
        // Predictions are small; none shall wait for more.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        // It fails when the client goes away or breaks the protocol: then nobody can be told.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    connections.shutdown().await;
}

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
