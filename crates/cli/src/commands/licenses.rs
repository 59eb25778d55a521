//! `moue licenses`.

use super::print;
use std::process::ExitCode;

/// `cargo xtask licenses` wrote it.
const LICENSES: &str = include_str!("../../licenses.txt");

pub fn run() -> anyhow::Result<ExitCode> {
    print(LICENSES)?;
    Ok(ExitCode::SUCCESS)
}
