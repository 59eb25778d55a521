//! Builds the page and its package: `rustc` for wasm32, `wasm-bindgen`, `tsc`.

use crate::shared::{dist, output, root, run};
use crate::{inputs, licenses};
use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use walkdir::WalkDir;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds everything anew; `cargo` is added to the arguments of `cargo build`.
pub fn build(cargo: &[String]) -> anyhow::Result<()> {
    let (root, work) = (root(), root().join("target/web"));
    let fresh = work.join("dist");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    bind(&module(cargo)?, &work.join("bindgen/moue"))?;
    scripts(&work.join("js"))?;

    copy(&root.join("crates/web/page"), &fresh, |name| !name.ends_with(".ts"))?;
    copy(&work.join("js"), &fresh, |name| name.ends_with(".js") || name == "index.d.ts")?;
    copy(&work.join("bindgen"), &fresh, |name| !name.ends_with("bg.wasm.d.ts"))?;
    licenses::check()?;
    offline(&fresh)?;
    fs::write(fresh.join(inputs::RECORD), inputs::hash()? + "\n")?;

    if dist().exists() {
        fs::remove_dir_all(dist())?;
    }
    fs::rename(&fresh, dist()).context("the page cannot be moved into its place")
}

/// Compiles the predictor, without any path of this machine.
fn module(cargo: &[String]) -> anyhow::Result<PathBuf> {
    let root = root();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let sysroot = output(Command::new(rustc).args(["--print", "sysroot"]))?;
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"))?;
    let remap = |from: &str, to: &str| format!("--remap-path-prefix={from}={to}");
    let flags = [
        "-Ctarget-feature=+simd128".to_owned(),
        remap(&root.to_string_lossy(), "moue"),
        remap(&home, "cargo"),
        remap(sysroot.trim(), "rust"),
    ];
    run(Command::new("cargo")
        .current_dir(&root)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args(["build", "--locked", "--package", "moue-web", "--profile", "web", "--target", TARGET])
        .args(cargo))?;
    Ok(root.join("target").join(TARGET).join("web/moue_web.wasm"))
}

/// Writes the JavaScript and the types of the module.
fn bind(module: &Path, into: &Path) -> anyhow::Result<()> {
    let own = output(Command::new("wasm-bindgen").arg("--version"))
        .context("install it with `cargo install wasm-bindgen-cli`, in the version of Cargo.lock")?;
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let wanted = lock.split_once("name = \"wasm-bindgen\"\nversion = \"").and_then(|(_, rest)| rest.split('"').next());
    let wanted = wanted.context("Cargo.lock does not name wasm-bindgen")?;
    ensure!(own.trim().ends_with(wanted), "this is {}, but {wanted} is needed", own.trim());
    run(Command::new("wasm-bindgen")
        .args(["--target", "web", "--remove-name-section", "--remove-producers-section", "--out-dir"])
        .args([into, module]))
}

/// Checks the types and writes JavaScript.
fn scripts(into: &Path) -> anyhow::Result<()> {
    let web = root().join("crates/web");
    if into.exists() {
        fs::remove_dir_all(into)?;
    }
    if !web.join("node_modules/.bin/tsc").exists() {
        run(Command::new("npm").current_dir(&web).arg("ci"))?;
    }
    run(Command::new("node_modules/.bin/tsc").current_dir(web).arg("--project").arg("."))
}

fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if entry.file_type().is_file() && wanted(&name) {
            let place = to.join(entry.path().strip_prefix(from)?);
            fs::create_dir_all(place.parent().unwrap_or(to))?;
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// Writes into the service worker the list of files that it caches, and a version that changes with any of them.
fn offline(dist: &Path) -> anyhow::Result<()> {
    let (mut files, mut hash) = (vec!["./".to_owned()], Sha256::new());
    for entry in WalkDir::new(dist).sort_by_file_name() {
        let entry = entry?;
        let name = entry.path().strip_prefix(dist)?.to_string_lossy().replace('\\', "/");
        if entry.file_type().is_file() && name != "offline.js" && needed(&name) {
            hash.update(&name);
            hash.update(fs::read(entry.path())?);
            files.push(name);
        }
    }
    let version = base16ct::lower::encode_string(&hash.finalize()[..8]);
    let path = dist.join("offline.js");
    let list = serde_json::to_string(&files)?;
    let script =
        fs::read_to_string(&path)?.replace("@VERSION@", &format!("moue-{version}")).replace("[\"@FILES@\"]", &list);
    Ok(fs::write(path, script)?)
}

/// Whether the page requests a file; the others are only part of the package.
fn needed(name: &str) -> bool {
    !["README.md", "package.json", ".d.ts", "licenses.txt"].iter().any(|end| name.ends_with(end))
}
