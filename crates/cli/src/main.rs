//! The `moue` command: parses arguments, calls the libraries, prints results and
//! returns exit codes.
#![forbid(unsafe_code)]

/// Prints a line to standard error, in place of the standard macro, which panics where that is impossible: a log on a
/// full disk must not end a training.
macro_rules! eprintln {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($arguments)*);
    }};
}

mod args;
mod commands;
mod environment;
mod error;
mod output;
mod progress;
#[cfg(test)]
mod reference;
mod version;

use args::{Arguments, Command};
use clap::{CommandFactory, FromArgMatches};
use environment::USAGE;
use error::UsageError;
use moue::message::printable;
use moue::{Isa, Kernels};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let started = Instant::now();
    // Man pages and completions do not depend on the machine, and have sections of their own for exit codes and
    // environment variables: only this command has the long version and help.
    let command = Arguments::command();
    let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let command = command.long_version(version::long()).after_long_help(environment::help(&examples));
    let matches = command.get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.common.threads.unwrap_or(0).into()).build();
    let result = match pool {
        Ok(pool) => pool.install(|| run(&arguments, started)),
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the threads")),
    };
    result.unwrap_or_else(|error| {
        if let Some(usage) = error.downcast_ref::<UsageError>() {
            eprintln!("moue: {}", printable(&usage.to_string()));
            return ExitCode::from(USAGE);
        }
        // A closed pipe (`moue … | head`) is not an error.
        let closed = error.chain().any(|cause| {
            cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
        });
        if closed {
            return ExitCode::SUCCESS;
        }
        eprintln!("moue: {}", printable(&moue::with_causes(error.as_ref())));
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments, started: Instant) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    Isa::requested().map_err(|error| UsageError(error.to_string()))?;
    Kernels::requested().map_err(|error| UsageError(error.to_string()))?;
    match &arguments.command {
        Command::Train(args) => commands::train::run(args, common, started),
        Command::Compare(args) => commands::compare::run(args, common),
        Command::Tune(args) => commands::tune::run(args, common, started),
        Command::Watch(args) => commands::watch::run(args, common),
        Command::Evaluate(args) => commands::evaluate::run(args, common),
        Command::Export(args) => commands::export::run(args, common),
        Command::Predict(args) => commands::predict::run(args, common),
        Command::Serve(args) => commands::serve::run(args, common),
        Command::Data(args) => commands::data::run(args, common),
        Command::Arch(args) => commands::arch::run(args, common),
        Command::Bench(args) => commands::bench::run(args, common),
        Command::Doctor => commands::doctor::run(common),
        Command::Completions { shell } => commands::completions::run(*shell),
        Command::Man { dir } => commands::man::run(dir, common),
        Command::Licenses => commands::licenses::run(),
    }
}
