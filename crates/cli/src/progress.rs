//! Progress on stderr: a bar on a terminal, plain lines otherwise, nothing with
//! `--quiet`. Nothing is colored.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use moue::message::printable;
use std::io::IsTerminal;

/// The progress of a command.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Progress {
    /// Progress towards `total` items.
    pub fn new(quiet: bool, total: usize, unit: &str) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr_with_hz(10));
            let template = format!("{{msg}} {{wide_bar}} {{pos}}/{{len}} · {{per_sec}} {unit} · {{eta}} left");
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(
                style
                    .with_key("per_sec", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                        let _ = write!(out, "{:.0}", state.per_sec());
                    })
                    .progress_chars("━╸─"),
            );
            bar
        });
        Self { bar, quiet }
    }

    /// Whether a bar is shown.
    pub fn is_drawn(&self) -> bool {
        self.bar.is_some()
    }

    /// Sets the number of items, where it was not known at first.
    pub fn total(&self, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
        }
    }

    /// Sets the number of items when it has been counted in another thread, if a bar is shown.
    pub fn total_later(&self, count: impl FnOnce() -> usize + Send + 'static) {
        if let Some(bar) = self.bar.clone() {
            std::thread::spawn(move || bar.set_length(count() as u64));
        }
    }

    /// Sets the number of finished items and the message.
    pub fn set(&self, done: usize, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(printable(message).into_owned());
            let is_first = bar.position() == 0;
            bar.set_position(done as u64);
            if is_first {
                // What was finished before, as by an interrupted training, has no part in the rate.
                bar.reset_eta();
            }
        }
    }

    /// Prints a line above the bar.
    pub fn line(&self, text: &str) {
        if !self.quiet {
            self.line_always(text);
        }
    }

    /// Prints an error above the bar, even when quiet.
    pub fn line_always(&self, text: &str) {
        self.suspend(|| eprintln!("{}", printable(text)));
    }

    /// Hides the bar while `action` runs.
    pub fn suspend<R>(&self, action: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(action),
            None => action(),
        }
    }

    /// Removes the bar.
    pub fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
