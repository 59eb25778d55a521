//! `moue serve`.

use super::{open_classifier, precision_line, print, print_device, print_json, print_warning};
use crate::args::{Common, LogFormat, PredictionPrecision, ServeArgs};
use crate::environment::INTERRUPTED;
use crate::error::UsageError;
use anstream::{AutoStream, ColorChoice};
use anyhow::Context;
use moue::Device;
use moue::model::{Model, onnx, stored};
use moue_server::{Limits, Options};
use serde::Serialize;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;

/// The running service, as `moue serve --json` prints it once it accepts connections.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Listening {
    /// IP address and port that the service listens on.
    address: String,
    /// Precision of the classifier: `f32`, `bf16` or `int8`.
    precision: &'static str,
}

/// The written web page, as `moue serve --export DIR --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportedPage {
    /// The folder, as given.
    page: String,
    /// The model that the page predicts with, as given.
    model: String,
}

/// Port where neither `--addr` nor `--port` names one.
const PORT: u16 = 8080;

pub fn run(args: &ServeArgs, common: &Common) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.export {
        return export(folder, args.model.as_deref(), common);
    }
    if args.check {
        return check(&address(&args.addr, args.port)?, common);
    }
    if args.max_buffer < args.max_body.into() {
        let text = format!("--max-buffer {} is less than --max-body {}; increase it", args.max_buffer, args.max_body);
        return Err(UsageError(text).into());
    }
    if args.token.as_ref().is_some_and(String::is_empty) {
        let text = "the token is empty; set --token or MOUE_TOKEN to a text that is hard to guess, or unset it";
        return Err(UsageError(text.into()).into());
    }
    if args.timeout == 0.0 {
        return Err(
            UsageError("--timeout 0 would reject every request; use a positive number of seconds".into()).into()
        );
    }
    let model = args.model.clone().unwrap_or_else(|| PathBuf::from("default"));
    let device = Device::open(args.device.choice)?;
    let classifier = open_classifier(&model, args.precision, &device)?;
    let precision = classifier.precision();
    // The network runs on a thread of its own, outside of `main`'s pool, and uses the global pool.
    rayon::ThreadPoolBuilder::new()
        .num_threads(common.threads.unwrap_or(0).into())
        .build_global()
        .context("cannot start the threads")?;
    let options = Options {
        limits: Limits {
            body_bytes: usize::from(args.max_body) << 20,
            buffer_bytes: (args.max_buffer as usize) << 20,
            pixels: u64::from(args.max_pixels) * 1_000_000,
            images: args.max_images.into(),
            workers: args.workers.map_or_else(rayon::current_num_threads, usize::from),
            queue: args.queue.into(),
            connections: args.max_connections.into(),
            time: Duration::from_secs_f64(args.timeout),
            idle: Duration::from_secs_f64(args.idle_timeout),
        },
        token: args.token.clone(),
        cors: args.cors.clone(),
        model_name: model.display().to_string(),
    };
    let router = moue_server::router(classifier, &options).map_err(|error| UsageError(error.to_string()))?;
    if !common.quiet {
        log(args.log);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the threads")?;
    runtime.block_on(async {
        let wanted = address(&args.addr, args.port)?;
        let listener = match TcpListener::bind(&wanted).await {
            Ok(listener) => listener,
            Err(error) if error.kind() == ErrorKind::AddrInUse => anyhow::bail!(in_use(&wanted).await),
            Err(error) => return Err(error).with_context(|| format!("cannot listen on {wanted}")),
        };
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() && options.token.is_none() {
            print_warning(
                "other machines can reach this address, and requests need no token; set --token or MOUE_TOKEN, and put \
                 a proxy with TLS in front",
            );
        }
        let stop = stop_signal()?;
        if common.json {
            print_json(&Listening { address: address.to_string(), precision: precision.name() })?;
        } else if !common.quiet {
            if let Some(line) = precision_line(precision, args.precision == PredictionPrecision::Auto) {
                eprintln!("{line}");
            }
            print_device(&device, &args.device, common);
            eprintln!("Listening on http://{address} (API documentation: http://{address}/docs); stop with Ctrl-C");
        }
        moue_server::serve(listener, router, &options.limits, stop).await;
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The address to listen on: `addr` may lack a port, and `port` replaces it.
fn address(addr: &str, port: Option<u16>) -> Result<String, UsageError> {
    if let Ok(ip) = addr.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port.unwrap_or(PORT)).to_string());
    }
    let (host, own) = match addr.rsplit_once(':') {
        // A colon in brackets is part of an IPv6 address.
        Some((host, own)) if !addr.ends_with(']') => (
            host,
            own.parse().map_err(|_| {
                UsageError(format!("--addr {addr}: `{own}` is not a port; a port is a number from 0 to 65535"))
            })?,
        ),
        _ => (addr, PORT),
    };
    Ok(format!("{host}:{}", port.unwrap_or(own)))
}

/// The error of a port that is in use; it names the next free one.
async fn in_use(address: &str) -> String {
    let problem = format!("cannot listen on {address}: the port is in use");
    let Some((host, port)) = address.rsplit_once(':') else { return problem };
    for next in port.parse::<u16>().unwrap_or(PORT).saturating_add(1)..=u16::MAX {
        if TcpListener::bind(format!("{host}:{next}")).await.is_ok() {
            return format!("{problem}; port {next} is free: add --port {next}");
        }
    }
    problem
}

/// How long a check waits for the service.
const PATIENCE: Duration = Duration::from_secs(3);

/// Requests `/healthz` of the service that listens on an address: a health check of containers that have no other
/// program.
fn check(address: &str, common: &Common) -> anyhow::Result<ExitCode> {
    let body = health(address).with_context(|| format!("no service responds at {address}"))?;
    if common.json {
        print(&format!("{}\n", body.trim_end()))?;
    } else if !common.quiet {
        eprintln!("The service at {address} is up");
    }
    Ok(ExitCode::SUCCESS)
}

/// The body of the response to `GET /healthz`.
fn health(address: &str) -> anyhow::Result<String> {
    let mut place = address.to_socket_addrs()?.next().context("the host has no address")?;
    // A service that listens everywhere listens on the loopback address.
    match place.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => place.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => place.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let mut stream = TcpStream::connect_timeout(&place, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    // Something else may listen there, and send without end.
    stream.take(100_000).read_to_end(&mut response)?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").context("it does not speak HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    anyhow::ensure!(status.split(' ').nth(1) == Some("200"), "its response is {status}");
    Ok(body.to_owned())
}

/// Writes the web page to a folder instead of serving it. Without a model it predicts with `tiny`, which its module
/// contains.
fn export(folder: &Path, model: Option<&Path>, common: &Common) -> anyhow::Result<ExitCode> {
    let bytes = model.map(model_file).transpose()?;
    let model = model.map_or_else(|| "tiny".to_owned(), |model| model.display().to_string());
    let page = folder.display().to_string();
    moue_server::export_page(folder, bytes.as_deref())
        .with_context(|| format!("cannot write the web page to {page}"))?;
    if common.json {
        print_json(&ExportedPage { page, model })?;
    } else if !common.quiet {
        eprintln!("Wrote the web page with the model {model} to {page}; upload this folder to any static web host");
    }
    Ok(ExitCode::SUCCESS)
}

/// The safetensors file of a model.
fn model_file(model: &Path) -> anyhow::Result<Vec<u8>> {
    // An unusable file is an error here, not on the page.
    let opened = Model::open(model)?;
    Ok(if onnx::is_named_so(model) { opened.to_bytes()? } else { stored(model)?.into_owned() })
}

/// Logs one line per request on stderr.
fn log(format: LogFormat) {
    // It would print an error of the log to standard error, and panic where that is impossible.
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).log_internal_errors(false);
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
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    Ok(async move {
        #[cfg(unix)]
        let mut signal = async move || {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        };
        #[cfg(not(unix))]
        let mut signal = async || drop(tokio::signal::ctrl_c().await);
        signal().await;
        tracing::info!("shutting down after the running requests; a second signal ends them");
        tokio::spawn(async move {
            signal().await;
            std::process::exit(INTERRUPTED.into());
        });
    })
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_have_a_port_after_all() {
        for (addr, port, expected) in [
            ("127.0.0.1:8080", None, "127.0.0.1:8080"),
            ("127.0.0.1:8080", Some(9000), "127.0.0.1:9000"),
            ("0.0.0.0", None, "0.0.0.0:8080"),
            ("::1", Some(0), "[::1]:0"),
            ("[::1]:80", Some(90), "[::1]:90"),
            ("[::1]", None, "[::1]:8080"),
            ("localhost", Some(9000), "localhost:9000"),
            ("localhost:80", None, "localhost:80"),
            ("nowhere:1:2", None, "nowhere:1:2"),
        ] {
            assert_eq!(address(addr, port).unwrap(), expected, "{addr} {port:?}");
        }
        for addr in ["127.0.0.1:99999", "localhost:http", "localhost:"] {
            assert!(address(addr, Some(80)).unwrap_err().to_string().contains("is not a port"), "{addr}");
        }
    }
}
