//! Copies the face detector's model from the package of `rustface` into `OUT_DIR`.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const MODEL: &str = "model/seeta_fd_frontal_v1.0.bin";
const SHA256: &str = "c4619d066ed35e84d9a8e842860b0dff567aba0cbb139881075538761db3ff5d";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    if let Err(reason) = hand_over() {
        println!("cargo::error=the face detector's model cannot be used: {reason}");
    }
}

fn hand_over() -> Result<(), String> {
    let model = package("rustface")?.join(MODEL);
    let bytes = fs::read(&model).map_err(|error| format!("{}: {error}", model.display()))?;
    let found = base16ct::lower::encode_string(&Sha256::digest(&bytes));
    if found != SHA256 {
        return Err(format!("{} has SHA-256 {found}, expected {SHA256}", model.display()));
    }
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    fs::write(Path::new(&out).join("seetaface.bin"), bytes).map_err(|error| error.to_string())
}

/// The folder of a dependency.
fn package(name: &str) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest =
        packages.filter(|package| package["name"] == name).find_map(|package| package["manifest_path"].as_str());
    let manifest = manifest.ok_or_else(|| format!("{name} is not a dependency"))?;
    Path::new(manifest).parent().map(Path::to_owned).ok_or_else(|| format!("{manifest} has no parent folder"))
}
