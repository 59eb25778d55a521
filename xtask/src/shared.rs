//! Shared by the tasks: folders, and running other programs.

use anyhow::{Context, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's folder.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The folder of the built page.
pub fn dist() -> PathBuf {
    root().join("crates/server/dist")
}

/// Runs a program and shows its output.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("{name} cannot be run"))?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}

/// Runs a program and returns its standard output.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("{name} cannot be run"))?;
    ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The packages and folders of the workspace, as `cargo metadata` describes them.
pub fn metadata() -> anyhow::Result<Value> {
    let arguments = ["metadata", "--no-deps", "--locked", "--format-version", "1"];
    Ok(serde_json::from_str(&output(Command::new("cargo").current_dir(root()).args(arguments))?)?)
}

/// The build folder.
pub fn target(metadata: &Value) -> PathBuf {
    PathBuf::from(metadata["target_directory"].as_str().unwrap_or("target"))
}

/// Whether a program can be run.
pub fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Writes `SHA256SUMS`, as `sha256sum --check` reads it, for all other files of a folder.
pub fn checksums(folder: &Path) -> anyhow::Result<()> {
    const NAME: &str = "SHA256SUMS";
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != NAME && entry.file_type()?.is_file() {
            let hash = base16ct::lower::encode_string(&Sha256::digest(fs::read(entry.path())?));
            lines.push((name.clone(), format!("{hash}  {name}\n")));
        }
    }
    lines.sort();
    let text: String = lines.into_iter().map(|(_, line)| line).collect();
    Ok(fs::write(folder.join(NAME), text)?)
}
