//! `moue licenses`.

use super::print;
use std::process::ExitCode;

/// The build script wrote it.
const LICENCES: &str = include_str!(concat!(env!("OUT_DIR"), "/licences.txt"));

pub fn run() -> anyhow::Result<ExitCode> {
    print("moue is MIT or Apache-2.0, at your choice. The face detector's model is SeetaFace's, inside rustface.\n\n")?;
    print(LICENCES)?;
    Ok(ExitCode::SUCCESS)
}
