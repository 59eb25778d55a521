//! The packages of registries: crates, the wheel, the npm package.

use super::release::{Release, python};
use crate::shared::{dist, output, root, run};
use crate::{inputs, licenses};
use anyhow::{Context, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The maximum size that crates.io accepts, in bytes.
const LARGEST: u64 = 10_000_000;

/// Every crate that is published, as `cargo publish` uploads it.
pub fn crates(release: &Release) -> anyhow::Result<Vec<PathBuf>> {
    let published = release.published();
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args(["package", "--no-verify", "--locked", "--quiet"]);
    for (name, _) in &published {
        cargo.args(["--package", name]);
    }
    if release.dirty {
        cargo.arg("--allow-dirty");
    }
    run(&mut cargo)?;
    let mut files = Vec::new();
    for (name, version) in published {
        let name = format!("{name}-{version}.crate");
        let built = release.build.join("package").join(&name);
        let size = fs::metadata(&built).with_context(|| name.clone())?.len();
        ensure!(size < LARGEST, "{name} has {size} bytes, but less than {LARGEST} are allowed");
        let file = release.folder.join(&name);
        fs::copy(built, &file)?;
        files.push(file);
    }
    Ok(files)
}

/// The wheel for CPython from 3.10 on, built by the maturin of the interpreter that `MOUE_PYTHON` names.
pub fn wheel(release: &Release) -> anyhow::Result<Vec<PathBuf>> {
    licenses::check()?;
    let folder = release.build.join("dist-wheel");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut maturin = Command::new(python());
    maturin
        .current_dir(root())
        .args(["-m", "maturin", "build", "--release", "--locked", "--quiet", "--manifest-path"])
        .args(["crates/python/Cargo.toml", "--out"])
        .arg(&folder)
        .env("CARGO_TARGET_DIR", &release.build);
    if let Some(target) = &release.target {
        maturin.args(["--target", target]);
    }
    run(&mut maturin).context("the wheel needs maturin: pip install maturin (MOUE_PYTHON names the interpreter)")?;
    let mut files = Vec::new();
    for built in fs::read_dir(&folder)? {
        let built = built?;
        let file = release.folder.join(built.file_name());
        fs::copy(built.path(), &file)?;
        files.push(file);
    }
    Ok(files)
}

/// The npm package, from the build of the page.
pub fn npm(release: &Release) -> anyhow::Result<Vec<PathBuf>> {
    inputs::check()?;
    let packed = output(
        Command::new("npm").arg("pack").arg(dist().join("moue")).arg("--pack-destination").arg(&release.folder),
    )?;
    let name = packed.lines().last().context("npm names no file")?;
    Ok(vec![release.folder.join(name.trim())])
}
