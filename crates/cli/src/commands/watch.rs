//! `moue watch`, and the page of `moue train --watch`.

use super::{print, print_json};
use crate::args::{Common, WatchArgs};
use crate::commands::serve::stop_signal;
use anyhow::Context;
use moue::fs::write_atomically;
use moue_server::{Limits, Router, local_page, serve};
use moue_train::experiment::WatchedRuns;
use moue_train::report::{LIVE_SCRIPT, live};
use moue_train::train::RunFolder;
use serde::Serialize;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::oneshot::{self, Sender};
use tokio::task::JoinHandle;

/// A free port of this machine.
const FREE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The served page, as `moue watch --json` prints it once it accepts connections.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Watching {
    /// IP address and port that the page is served on.
    address: String,
    /// Folders of the runs.
    runs: Vec<String>,
}

/// The written page, as `moue watch --out FILE --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WrittenPage<'a> {
    /// The file, as given.
    page: &'a Path,
    /// Folders of the runs.
    runs: Vec<String>,
}

pub fn run(args: &WatchArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let runs = WatchedRuns::open(&args.runs)?;
    let title = title(&args.runs);
    match &args.out {
        Some(file) => write(runs, &title, file, common),
        None => watch(runs, &title, args.addr.unwrap_or(FREE), common),
    }
}

fn title(runs: &[PathBuf]) -> String {
    match runs {
        [one] => one.display().to_string(),
        _ => format!("{} runs", runs.len()),
    }
}

fn write(mut runs: WatchedRuns, title: &str, file: &Path, common: &Common) -> anyhow::Result<ExitCode> {
    let mut documents = runs.read();
    for (number, document) in documents.iter_mut().enumerate() {
        document["validation"] = json!(runs.validation(number));
    }
    write_atomically(file, live(title, Some(&documents)).as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    if common.json {
        print_json(&WrittenPage { page: file, runs: runs.names() })?;
    } else if !common.quiet {
        print(&format!("Wrote the page to {}\n", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn watch(runs: WatchedRuns, title: &str, address: SocketAddr, common: &Common) -> anyhow::Result<ExitCode> {
    let (names, listener) = (runs.names(), listen(address)?);
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared::new(runs));
    let runtime = runtime()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let stop = stop_signal()?;
        if common.json {
            print_json(&Watching { address: address.to_string(), runs: names })?;
        } else if !common.quiet {
            eprintln!("The page is at http://{address}; stop with Ctrl-C");
        }
        serve(listener, shared.routes(title), &Limits::default(), stop).await;
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Listens on an address.
pub fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn runtime() -> anyhow::Result<Runtime> {
    // The processor is for the training.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("cannot start the threads")
}

/// What requests and the command share.
struct Shared {
    runs: Mutex<WatchedRuns>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Whether the training has ended.
    ended: bool,
    /// When a page last read the runs.
    at: Option<Instant>,
    /// Whether a page has read everything after that.
    is_complete: bool,
}

impl Shared {
    fn new(runs: WatchedRuns) -> Self {
        Self { runs: Mutex::new(runs), seen: Mutex::default() }
    }

    fn seen<R>(&self, of: impl FnOnce(&mut Seen) -> R) -> R {
        of(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn routes(self: Arc<Self>, title: &str) -> Router {
        local_page(live(title, None), LIVE_SCRIPT, move |path| self.document(path).map(|value| value.to_string()))
    }

    /// The document at a path: `runs.json`, the validation of a run, or `end.json`, which a page reads last.
    fn document(&self, path: &str) -> Option<Value> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        match path {
            "runs.json" => {
                let ended = self.seen(|seen| {
                    seen.at = Some(Instant::now());
                    seen.ended
                });
                Some(json!({"ended": ended, "runs": runs.read()}))
            }
            "end.json" => Some(json!(self.seen(|seen| {
                seen.is_complete = seen.ended;
                seen.ended
            }))),
            _ => {
                let number = path.strip_prefix("runs/")?.strip_suffix(".json")?.parse().ok()?;
                Some(json!(runs.validation(number)))
            }
        }
    }
}

/// How often a page reads the runs at least, while it is visible.
const PATIENCE: Duration = Duration::from_secs(2);

/// The page of a training in this process.
pub struct LivePage {
    shared: Arc<Shared>,
    runtime: Runtime,
    server: JoinHandle<()>,
    /// Dropped, it stops the server.
    stop: Sender<()>,
}

impl LivePage {
    /// Starts to serve the page of a run.
    pub fn open(listener: TcpListener, folder: &RunFolder) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::new(WatchedRuns::of(folder)));
        let routes = Arc::clone(&shared).routes(&folder.path().display().to_string());
        let (runtime, (stop, stopped)) = (runtime()?, oneshot::channel::<()>());
        let server = runtime.spawn(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            serve(listener, routes, &Limits::default(), async { drop(stopped.await) }).await;
        });
        Ok(Self { shared, runtime, server, stop })
    }

    /// Waits until a page that is open has the end of the training, and stops the server.
    pub fn close(self) {
        self.shared.seen(|seen| seen.ended = true);
        let until = Instant::now() + PATIENCE;
        let waits = |seen: &mut Seen| seen.at.is_some_and(|at| at.elapsed() < PATIENCE) && !seen.is_complete;
        while self.shared.seen(waits) && Instant::now() < until {
            sleep(Duration::from_millis(20));
        }
        drop(self.stop);
        // A panic of the server is no error of the training.
        let _ = self.runtime.block_on(self.server);
    }
}
