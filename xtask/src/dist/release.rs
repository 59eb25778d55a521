//! What the parts of a release share: the version, the packages, the target, the folder.

use crate::shared::{metadata, output, target as build_folder};
use anyhow::Context;
use serde_json::Value;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

pub struct Release {
    pub version: String,
    /// The target of `--target`; without it, this machine's.
    pub target: Option<String>,
    /// Whether changes that are not committed may be packaged.
    pub dirty: bool,
    /// The build folder.
    pub build: PathBuf,
    /// The folder of the files.
    pub folder: PathBuf,
    /// The packages of the workspace, as `cargo metadata` describes them.
    pub packages: Vec<Value>,
}

impl Release {
    pub fn new(target: Option<String>, dirty: bool) -> anyhow::Result<Self> {
        let metadata = metadata()?;
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?.clone();
        let build = build_folder(&metadata);
        let version = packages
            .iter()
            .find(|package| package["name"] == "moue-cli")
            .and_then(|package| package["version"].as_str())
            .context("there is no package moue-cli")?;
        Ok(Self { version: version.to_owned(), target, dirty, folder: build.join("dist"), build, packages })
    }

    /// The crates that are published, by name and version.
    pub fn published(&self) -> Vec<(&str, &str)> {
        self.packages
            .iter()
            // `publish = false` is an empty list of registries.
            .filter(|package| !package["publish"].as_array().is_some_and(Vec::is_empty))
            .filter_map(|package| Some((package["name"].as_str()?, package["version"].as_str()?)))
            .collect()
    }

    /// The name of the target: that of `--target`, else of the compiler's own machine.
    pub fn triple(&self) -> anyhow::Result<String> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        let version = output(Command::new("rustc").arg("-vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        host.map(str::to_owned).context("rustc -vV names no host")
    }

    /// `moue-0.2.0-x86_64-unknown-linux-musl`: the name of the archive and of the folder in it.
    pub fn archive_name(&self) -> anyhow::Result<String> {
        Ok(format!("moue-{}-{}", self.version, self.triple()?))
    }
}

/// The interpreter that `MOUE_PYTHON` names, else `python3`.
pub fn python() -> OsString {
    env::var_os("MOUE_PYTHON").unwrap_or_else(|| "python3".into())
}
