//! `moue serve`.

use super::print_json;
use crate::args::{Common, LogFormat, ServeArgs};
use crate::error::UsageError;
use anstream::{AutoStream, ColorChoice};
use anyhow::Context;
use moue::Classifier;
use moue_server::{Limits, Options};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;

/// The running service, as `moue serve --json` prints it once it accepts connections.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Listening {
    /// IP address and port that the service listens on.
    address: String,
}

/// The written web page, as `moue serve --export DIR --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportedPage {
    /// The folder, as given.
    page: String,
}

pub fn run(args: &ServeArgs, common: &Common) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.export {
        return export(folder, common);
    }
    if args.timeout == 0.0 {
        return Err(
            UsageError("--timeout 0 would reject every request; use a positive number of seconds".into()).into()
        );
    }
    let classifier = Classifier::open(&args.model)?;
    // The network runs on a thread of its own, outside of `main`'s pool, and uses the global pool.
    rayon::ThreadPoolBuilder::new()
        .num_threads(common.threads.unwrap_or(0).into())
        .build_global()
        .context("cannot start the threads")?;
    let options = Options {
        limits: Limits {
            body_bytes: usize::from(args.max_body) << 20,
            pixels: u64::from(args.max_pixels) * 1_000_000,
            images: args.max_images.into(),
            workers: args.workers.map_or_else(rayon::current_num_threads, usize::from),
            queue: args.queue.into(),
            time: Duration::from_secs_f64(args.timeout),
        },
        token: args.token.clone().filter(|token| !token.is_empty()),
        cors: args.cors.clone(),
        model_name: args.model.display().to_string(),
    };
    let router = moue_server::router(classifier, &options).map_err(|error| UsageError(error.to_string()))?;
    if !common.quiet {
        log(args.log);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the threads")?;
    runtime.block_on(async {
        let listener =
            TcpListener::bind(&args.addr).await.with_context(|| format!("cannot listen on {}", args.addr))?;
        let address = listener.local_addr()?;
        let stop = stop_signal()?;
        if common.json {
            print_json(&Listening { address: address.to_string() })?;
        } else if !common.quiet {
            eprintln!("Listening on http://{address} (API documentation: http://{address}/docs); stop with Ctrl-C");
        }
        moue_server::serve(listener, router, options.limits.time, stop).await;
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the web page to a folder instead of serving it.
fn export(folder: &Path, common: &Common) -> anyhow::Result<ExitCode> {
    moue_server::export_page(folder).with_context(|| format!("cannot write the web page to {}", folder.display()))?;
    if common.json {
        print_json(&ExportedPage { page: folder.display().to_string() })?;
    } else if !common.quiet {
        eprintln!("Wrote the web page to {}; upload this folder to any static web host", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Logs one line per request on stderr.
fn log(format: LogFormat) {
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(colored()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// Whether the log is colored: by the same rules as help texts (a terminal, `NO_COLOR`, `CLICOLOR`,
/// `CLICOLOR_FORCE`).
fn colored() -> bool {
    AutoStream::choice(&std::io::stderr()) != ColorChoice::Never
}

/// Completes on Ctrl-C or SIGTERM.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        tracing::info!("shutting down after the running requests");
    })
}
