//! `moue completions`.

use super::print;
use crate::args::Arguments;
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use std::process::ExitCode;

pub fn run(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "moue", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
