//! One module per command.

pub mod arch;
pub mod bench;
pub mod compare;
pub mod completions;
pub mod data;
pub mod doctor;
pub mod evaluate;
pub mod export;
pub mod licenses;
pub mod man;
pub mod predict;
pub mod serve;
pub mod train;
pub mod tune;
pub mod watch;

use crate::args::{Common, DeviceArgs, PredictionPrecision};
use crate::environment::INTERRUPTED;
use crate::error::UsageError;
use crate::progress::Progress;
use anyhow::Context;
use moue::device::gpus;
use moue::message::printable;
use moue::{Classifier, Device, DeviceChoice, Model, Precision};
use moue_train::config::DataOptions;
use moue_train::data::{DataError, DataSource, Dataset, ImageSpec};
use moue_train::evaluate::Metrics;
use moue_train::experiment::{RunConfig, RunConfigError};
use moue_train::train::Event;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Opens the dataset of a run, shows the progress and prints its notes.
pub fn open_source(
    source: &DataSource,
    form: ImageSpec,
    options: &DataOptions,
    seed: u64,
    common: &Common,
) -> Result<Dataset, DataError> {
    let DataSource::Given(path) = source else { return source.open(form, options, seed, &|_| {}) };
    let progress = Progress::new(common.quiet, 0, "images/s");
    let message = format!("reading {}", path.display());
    progress.set(0, &message);
    let dataset = source.open(form, options, seed, &|done| progress.set(done, &message));
    progress.done();
    let dataset = dataset?;
    print_notes(&dataset, common);
    Ok(dataset)
}

/// Prints the notes of a dataset.
pub fn print_notes(dataset: &Dataset, common: &Common) {
    if !common.quiet {
        dataset.notes().iter().for_each(|note| eprintln!("note: {}", printable(note)));
    }
}

/// Prints the note about a resolved run.
pub fn print_note(run: &RunConfig, common: &Common) {
    if let Some(note) = run.note().filter(|_| !common.quiet) {
        eprintln!("note: {note}");
    }
}

/// Opens a model for predictions on a device.
pub fn open_classifier(model: &Path, precision: PredictionPrecision, device: &Device) -> anyhow::Result<Classifier> {
    Classifier::prepare(Model::open(model)?, precision.into(), device).with_context(|| model.display().to_string())
}

/// Names the device of a command, if it is not the CPU or `auto` has selected it.
pub fn print_device(device: &Device, args: &DeviceArgs, common: &Common) {
    if !common.quiet && (!device.is_cpu() || args.choice == DeviceChoice::Auto) {
        eprintln!("device: {device}");
    }
}

/// Opens the device of a training. On the CPU, a note says that there is a GPU.
pub fn training_device(args: &DeviceArgs, common: &Common) -> anyhow::Result<Device> {
    let device = Device::open(args.choice)?;
    print_device(&device, args, common);
    if !common.quiet
        && args.choice == DeviceChoice::Cpu
        && let Some(gpu) = gpus().into_iter().find(|gpu| gpu.kind != "software")
    {
        eprintln!("note: this machine has a GPU, {}; --device gpu trains on it", gpu.name);
    }
    Ok(device)
}

/// Warns, with `--quiet` as well, when the device has failed.
pub fn warn_of_device(device: &Device) {
    if let Some(error) = device.error() {
        print_warning(&format!("{error}; the rest was computed on the CPU"));
    }
}

/// The line that names the precision of a command, if `auto` has selected it or it is not f32.
pub fn precision_line(precision: Precision, is_auto: bool) -> Option<String> {
    (precision != Precision::F32 || is_auto).then(|| format!("precision: {}", precision_text(precision)))
}

/// Names a precision, and the kernels that compute in it: `f32`, or `bf16, portable kernels`.
pub fn precision_text(precision: Precision) -> String {
    match precision.kernels() {
        None => precision.to_string(),
        Some(kernels) => format!("{precision}, {kernels} kernels"),
    }
}

/// Prints a warning, with `--quiet` as well.
pub fn print_warning(text: &str) {
    eprintln!("warning: {}", printable(text));
}

/// Converts the error of a run that cannot be resolved: wrong usage, or an unusable file.
pub fn run_error(error: RunConfigError) -> anyhow::Error {
    if error.is_usage() { UsageError(moue::with_causes(&error)).into() } else { error.into() }
}

/// Returns a flag that the first SIGINT or SIGTERM sets, to stop after the current step; a
/// second signal exits immediately. SIGHUP is left alone, so that `nohup` works.
pub fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal must find the flag unset, then set it.
        flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for Ctrl-C and SIGTERM")?;
    }
    Ok(stop)
}

/// Shows an event of a training.
pub fn show_event(event: &Event<'_>, progress: &Progress) {
    match event {
        Event::Step { epoch, epochs, images, of, loss } => {
            if progress.is_drawn() {
                progress.set((epoch - 1) * of + images, &format!("epoch {epoch}/{epochs} loss {loss:.3}"));
            }
        }
        Event::Epoch { record: r, epochs, best } => progress.line(&format!(
            "epoch {:>3}/{epochs}  loss {:.4}  accuracy {:.2} %  |  validation loss {:.4}  accuracy {:.2} %{}  |  {:.0} s, {:.0} images/s",
            r.epoch,
            r.train_loss,
            r.train_accuracy * 100.0,
            r.validation_loss,
            r.validation_accuracy * 100.0,
            if *best { " (best)" } else { "       " },
            r.seconds,
            r.images_per_second
        )),
        Event::Warning(text) => progress.suspend(|| print_warning(text)),
        Event::Note(text) => progress.line(text),
    }
}

/// Prints to stdout; `main` recognizes the error of a closed pipe. Names of files and classes may
/// contain anything, but do not control a terminal.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = if out.is_terminal() { printable(text) } else { text.into() };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints a document on one line, with its keys in alphabetical order.
pub fn print_json(document: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_value(document)?))
}

/// Formats an accuracy: `62.4 % (95 % interval 60.8–64.0 %, n = 3589)`.
pub fn accuracy_text(metrics: &Metrics) -> String {
    let [low, high] = metrics.accuracy_ci95.map(|share| share * 100.0);
    format!("{:.1} % (95 % interval {low:.1}–{high:.1} %, n = {})", metrics.accuracy * 100.0, metrics.n)
}
