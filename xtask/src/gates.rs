//! What a change must pass: the steps of `check`, `test` and `test-slow`, each with the seconds that it took.
//!
//! Everything is compiled as rarely as possible. Lints and documentation have the same features, so that their
//! dependencies are checked once. Tests select the whole workspace with and without optional features, because a
//! smaller selection would give dependencies other features and compile them again.

use crate::shared::{metadata, root, run, target, works};
use crate::{book, licenses, release_files, structure, words};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Features that are off by default. `mpi` is added where MPI is installed.
const OPTIONAL: &str = "moue/openapi,moue-train/parquet,moue-cli/parquet,moue-cli/gpu";

const WHEEL: &str = "crates/python/Cargo.toml";

pub fn check() -> anyhow::Result<()> {
    step("formatting", || {
        run(cargo("fmt").args(["--all", "--", "--check"]))?;
        run(cargo("fmt").args(["--manifest-path", WHEEL, "--", "--check"]))
    })?;
    step("lints", || {
        run(cargo("clippy")
            .args(["--workspace", "--all-targets", "--locked", "--features", &optional()])
            .args(["--", "-D", "warnings"]))
    })?;
    step("structure", structure::check)?;
    step("licenses", licenses::check)?;
    step("versions", release_files::versions)?;
    step("workflows", release_files::workflows)?;
    step("dependencies", dependencies)?;
    step("words", words::check)?;
    step("book", book::build)?;
    step("documentation", || docs(&[]))
}

/// Checks the workspace and the wheel by the rules of `deny.toml`.
fn dependencies() -> anyhow::Result<()> {
    if !works(cargo("deny").arg("--version")) {
        println!("SKIPPED: licenses, duplicates and sources of dependencies, without cargo-deny");
        return Ok(());
    }
    let checks = ["licenses", "bans", "sources"];
    run(cargo("deny").args(["--locked", "check"]).args(checks))?;
    // The wheel has no optional features, for which there are exceptions.
    let unused = ["--allow", "unmatched-skip", "--allow", "license-exception-not-encountered"];
    run(cargo("deny")
        .args(["--locked", "--manifest-path", WHEEL, "--config", "deny.toml", "check"])
        .args(unused)
        .args(checks))
}

pub fn docs(arguments: &[String]) -> anyhow::Result<()> {
    run(cargo("doc")
        .args(["--workspace", "--no-deps", "--locked", "--quiet", "--features", &optional()])
        .args(arguments)
        .env("RUSTDOCFLAGS", "-D warnings"))
}

pub fn test(arguments: &[String]) -> anyhow::Result<()> {
    step("tests", || run(cargo("test").args(["--workspace", "--locked"]).args(arguments).env("INSTA_UPDATE", "no")))
}

pub fn snapshots(arguments: &[String]) -> anyhow::Result<()> {
    run(cargo("test").arg("--workspace").args(arguments).env("INSTA_UPDATE", "always"))
}

/// Runs the test that compares the reference with the code, so that it writes the files.
pub fn reference() -> anyhow::Result<()> {
    run(cargo("test")
        .args(["--locked", "--quiet", "--package", "moue-cli", "--bin", "moue", "--", "the_reference_is_up_to_date"])
        .env("MOUE_WRITE_REFERENCE", "1"))
}

pub fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let usual = ["bench/resnet".to_owned(), "--layers".to_owned()];
    let arguments = if arguments.is_empty() { &usual } else { arguments };
    run(cargo("run").args(["--release", "--package", "moue-cli", "--", "bench"]).args(arguments))
}

/// How often a test kills a command.
const KILLS: &str = "MOUE_TEST_KILLS";

pub fn test_slow() -> anyhow::Result<()> {
    step("tests of optional features", || {
        let mut tests = cargo("test");
        tests.args(["--workspace", "--locked", "--features", &optional(), "--lib"]);
        tests.args(["--test", "gpu", "--test", "parquet"]);
        if mpi() {
            tests.args(["--test", "mpi"]);
        } else {
            println!("SKIPPED: training in several processes, without MPI");
        }
        run(tests.env("INSTA_UPDATE", "no"))
    })?;
    // Where the number is set, `test` has killed them so often.
    if env::var_os(KILLS).is_none() {
        step("commands that are killed fifty times", || {
            run(cargo("test")
                .args(["--workspace", "--locked", "--test", "it", "--", "interruption::killed"])
                .env(KILLS, "50"))
        })?;
    }
    match python() {
        Some(python) => step("the Python wheel", || wheel(&python)),
        None => {
            println!("SKIPPED: the Python wheel, without Python that has maturin and pytest (MOUE_PYTHON names it)");
            Ok(())
        }
    }
}

/// Builds the wheel into Python's environment and runs its tests.
fn wheel(python: &Path) -> anyhow::Result<()> {
    // Its profile `dev` is that of the workspace's tests, so that the two share dependencies in one folder.
    let target = target(&metadata()?);
    run(cargo("clippy")
        .args(["--manifest-path", WHEEL, "--locked", "--", "-D", "warnings"])
        .env("PYO3_PYTHON", python)
        .env("CARGO_TARGET_DIR", &target))?;
    let environment = python.parent().and_then(Path::parent).unwrap_or(python);
    run(Command::new(python)
        .current_dir(root())
        .args(["-m", "maturin", "develop", "--locked", "--quiet", "--manifest-path", WHEEL])
        .env("VIRTUAL_ENV", environment)
        .env("CARGO_TARGET_DIR", &target))?;
    run(Command::new(python)
        .current_dir(root())
        .args(["-m", "pytest", "-q", "-rs", "crates/python/tests"])
        .env("MOUE", target.join("debug/moue")))
}

/// Runs a step, and prints a line with its name before and after it.
fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let start = Instant::now();
    let result = work();
    println!("== {name}: {} s{}", start.elapsed().as_secs(), if result.is_ok() { "" } else { ", failed" });
    result
}

fn cargo(command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).arg(command);
    cargo
}

fn optional() -> String {
    if mpi() { format!("{OPTIONAL},moue-cli/mpi") } else { OPTIONAL.to_owned() }
}

fn mpi() -> bool {
    works(Command::new("mpicc").arg("--version"))
}

/// The interpreter that `MOUE_PYTHON` names, if it has the packages that the wheel's tests need.
fn python() -> Option<PathBuf> {
    let python = PathBuf::from(env::var_os("MOUE_PYTHON")?);
    works(Command::new(&python).args(["-c", "import maturin, pytest"])).then_some(python)
}
