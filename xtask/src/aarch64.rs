//! Tests on 64-bit ARM, in an emulator: `cargo xtask test-aarch64`.
//!
//! The tests of the engine and of the library run there, with NEON's kernels. The program predicts the same pictures on both
//! systems: bit-identical for one and two threads, and nearly equal on the two processors.

use crate::shared::{metadata, output, root, run, target, works};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";

/// The emulator, and where it finds the system's libraries.
const EMULATOR: [&str; 3] = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"];

/// Largest difference of a probability on the two processors.
const TOLERANCE: f64 = 1e-5;

pub fn test() -> anyhow::Result<()> {
    for program in [EMULATOR[0], LINKER] {
        if !works(Command::new(program).arg("--version")) {
            println!("SKIPPED: tests on {TARGET}, without {program}");
            return Ok(());
        }
    }
    run(cargo("test").args(["--package", "moue-engine", "--package", "moue", "--lib"]))?;
    run(cargo("build").args(["--package", "moue-cli"]))?;
    run(Command::new("cargo").current_dir(root()).args(["build", "--locked", "--package", "moue-cli"]))?;
    let build = target(&metadata()?);
    let own = build.join("debug/moue");
    let folder = tempfile::tempdir()?;
    run(Command::new(&own).current_dir(folder.path()).args(["data", "draw", "faces", "--count", "28", "--quiet"]))?;
    let emulated = || {
        let mut command = Command::new(EMULATOR[0]);
        command.args(&EMULATOR[1..]).arg(build.join(TARGET).join("debug/moue"));
        command
    };
    for options in [["--model", "default"], ["--model", "tiny"], ["--precision", "int8"]] {
        let call = |command: Command, threads| predictions(command, folder.path(), options, threads);
        let [one, two] = [call(emulated(), "1")?, call(emulated(), "2")?];
        ensure!(one == two, "{}: predictions with one and with two threads differ", options.join(" "));
        let [own, there] = [&call(Command::new(&own), "2")?, &two].map(|text| probabilities(text));
        let (own, there) = (own?, there?);
        ensure!(own.len() == there.len() && own.len() > 100, "{} and {} probabilities", own.len(), there.len());
        let most = own.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{}: the largest difference of a probability is {most:.1e}", options.join(" "));
        ensure!(most <= TOLERANCE, "that is more than {TOLERANCE:.0e}");
    }
    Ok(())
}

fn cargo(command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args([command, "--locked", "--target", TARGET]);
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", EMULATOR.join(" "));
    cargo
}

/// What `moue predict` prints for the pictures of a folder, as JSON lines.
fn predictions(mut command: Command, folder: &Path, options: [&str; 2], threads: &str) -> anyhow::Result<String> {
    command.current_dir(folder).args([
        "predict",
        "faces",
        "--recursive",
        "--no-detect",
        "--json",
        "--quiet",
        "--threads",
        threads,
    ]);
    output(command.args(options))
}

fn probabilities(lines: &str) -> anyhow::Result<Vec<f64>> {
    let mut all = Vec::new();
    for line in lines.lines() {
        let prediction: Value = serde_json::from_str(line)?;
        let classes = prediction["faces"][0]["probabilities"].as_object().context("a picture has no prediction")?;
        all.extend(classes.values().filter_map(Value::as_f64));
    }
    Ok(all)
}
