//! One module for each command.

pub mod arch;
pub mod bench;
pub mod compare;
pub mod data;
pub mod evaluate;
pub mod export;
pub mod licenses;
pub mod predict;
pub mod serve;
pub mod train;

use crate::args::Common;
use crate::error::UsageError;
use crate::progress::Progress;
use anyhow::Context;
use moue_train::config::DataOptions;
use moue_train::data::{DataError, DataSource, Dataset, ImageSpec};
use moue_train::evaluate::Metrics;
use moue_train::experiment::RunConfigError;
use moue_train::train::Event;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Opens the data of a run, shows how far it is, and prints its notes.
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

/// Prints what a person should know about a data set.
pub fn print_notes(dataset: &Dataset, common: &Common) {
    if !common.quiet {
        dataset.notes().iter().for_each(|note| eprintln!("note: {note}"));
    }
}

/// A run that cannot be resolved: wrong usage, or a file that cannot be used.
pub fn run_error(error: RunConfigError) -> anyhow::Error {
    if error.is_usage() { UsageError(moue::with_causes(&error)).into() } else { error.into() }
}

/// As a shell has it for a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

/// The first Ctrl-C, or SIGTERM, asks for an end after the current step; a second
/// one ends the program at once. SIGHUP keeps its meaning, so that `nohup` works.
pub fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for Ctrl-C and SIGTERM")?;
    }
    Ok(stop)
}

/// Says what a training says.
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
            if *best { " *" } else { "  " },
            r.seconds,
            r.images_per_second
        )),
        Event::Note(text) => progress.line(text),
    }
}

/// Prints to stdout; a closed pipe is an error that `main` knows.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// `62.4 % (60.8–64.0 %, n = 3589)`.
pub fn accuracy_text(metrics: &Metrics) -> String {
    let [low, high] = metrics.accuracy_ci95.map(|share| share * 100.0);
    format!("{:.1} % (95 % interval {low:.1}–{high:.1} %, n = {})", metrics.accuracy * 100.0, metrics.n)
}
