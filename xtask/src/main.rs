//! Chores of the repository.
//!
//! `cargo run -p xtask -- web [CARGO ARGUMENTS…]` builds the page and its package into
//! `crates/server/dist`; `cargo run -p xtask -- check` tells whether that is up to date.

mod inputs;
mod web;

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const USAGE: &str = "usage: cargo run -p xtask -- web [CARGO ARGUMENTS…] | check";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((chore, cargo)) if chore == "web" => web::build(cargo),
        Some((chore, [])) if chore == "check" => inputs::check(),
        _ => anyhow::bail!(USAGE),
    }
}

/// The repository's folder.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Where the built page lies.
fn dist() -> PathBuf {
    root().join("crates/server/dist")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a program and shows what it says.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("{name} cannot be run"))?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}

/// Runs a program and takes what it says.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("{name} cannot be run"))?;
    ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
