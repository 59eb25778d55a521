//! Packages every crate that is published, as `cargo publish` would upload it.

use crate::shared::{output, root, run};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The maximum size that crates.io accepts, in bytes.
const LARGEST: u64 = 10_000_000;

/// Packages the crates and prints their sizes; `arguments` are added to those of `cargo package`.
pub fn package(arguments: &[String]) -> anyhow::Result<()> {
    let metadata = ["metadata", "--no-deps", "--locked", "--format-version", "1"];
    let metadata: Value = serde_json::from_str(&output(Command::new("cargo").current_dir(root()).args(metadata))?)?;
    let all = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    // `publish = false` is an empty list of registries.
    let (kept, published): (Vec<_>, Vec<_>) =
        all.iter().partition(|package| package["publish"].as_array().is_some_and(Vec::is_empty));
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args(["package", "--workspace", "--no-verify", "--locked", "--quiet"]);
    for package in kept {
        cargo.args(["--exclude", package["name"].as_str().unwrap_or_default()]);
    }
    run(cargo.args(arguments))?;
    let folder = Path::new(metadata["target_directory"].as_str().unwrap_or("target")).join("package");
    for package in published {
        let field = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{}-{}.crate", field("name"), field("version"));
        let size = fs::metadata(folder.join(&name)).with_context(|| name.clone())?.len();
        println!("{name}: {} kB", size.div_ceil(1000));
        ensure!(size < LARGEST, "{name} has {size} bytes, but less than {LARGEST} are allowed");
    }
    Ok(())
}
