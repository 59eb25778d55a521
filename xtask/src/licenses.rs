//! Writes `crates/cli/licenses.txt`, which `moue licenses` prints: the licenses of all packages in the program.
//!
//! The file is committed, so that the package builds from its own files alone. It is the same on every machine: it
//! covers all of `TARGETS`, with the default features.

use crate::shared::{output, root};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The license of the face detector's weights, which are part of the program.
const DETECTOR: &str = "crates/moue/models/yunet.LICENSE";

/// The systems that the program is built for.
const TARGETS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-gnu",
];

const OWN: &str = "\
moue is MIT or Apache-2.0, at your choice. Its face detector has the weights of YuNet (MIT), which Shiqi Yu and others
trained on WIDER FACE and published in OpenCV Zoo:";

/// The file.
pub fn path() -> PathBuf {
    root().join("crates/cli/licenses.txt")
}

/// Writes the file anew.
pub fn write() -> anyhow::Result<()> {
    Ok(fs::write(path(), text()?)?)
}

/// Checks that the file is up to date.
pub fn check() -> anyhow::Result<()> {
    let current = fs::read_to_string(path()).unwrap_or_default();
    ensure!(current == text()?, "crates/cli/licenses.txt is out of date: run `cargo xtask licenses`");
    Ok(())
}

fn text() -> anyhow::Result<String> {
    let mut list = String::new();
    // Texts that differ only in white space are listed once.
    let mut texts: BTreeMap<String, (BTreeSet<String>, String)> = BTreeMap::new();
    for package in packages()? {
        let title = format!("{} {}", field(&package, "name"), field(&package, "version"));
        let license = field(&package, "license");
        list += &format!("{title} ({})\n", if license.is_empty() { "see below" } else { license });
        let folder = Path::new(field(&package, "manifest_path")).parent().context("a manifest is in no folder")?;
        for file in license_files(folder)? {
            let content = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            let words = content.split_whitespace().collect::<Vec<_>>().join(" ");
            let (titles, _) = texts.entry(words).or_insert_with(|| (BTreeSet::new(), content));
            titles.insert(title.clone());
        }
    }
    let path = root().join(DETECTOR);
    let detector = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut all = format!("{OWN}\n\n{detector}\nPackages in this program, each with its license:\n\n{list}");
    for (titles, content) in texts.values().filter(|(_, content)| !content.trim().is_empty()) {
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        all += &format!("\n{}\n{}\n\n{}\n", "-".repeat(80), titles.join(", "), content.trim_end());
    }
    Ok(all)
}

/// The third-party packages that are linked into the program, by name.
fn packages() -> anyhow::Result<Vec<Value>> {
    let tree = ["tree", "--package", "moue-cli", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = cargo(&tree, "--target")?;
    // `serde v1.0.0 (proc-macro) (*)`: a name and a version come first.
    let linked: BTreeSet<String> =
        tree.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1"], "--filter-platform")?)?;
    let mut packages = metadata["packages"].as_array().context("cargo metadata names no packages")?.clone();
    let title = |package: &Value| format!("{} v{}", field(package, "name"), field(package, "version"));
    packages.retain(|package| !package["source"].is_null() && linked.contains(&title(package)));
    packages.sort_by_cached_key(title);
    Ok(packages)
}

fn cargo(arguments: &[&str], target: &str) -> anyhow::Result<String> {
    let targets = TARGETS.iter().flat_map(|name| [target, name]);
    output(Command::new("cargo").current_dir(root()).args(arguments).arg("--locked").args(targets))
}

fn field<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

fn license_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let known = ["license", "licence", "copying", "notice", "unlicense"];
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        if path.is_file() && known.iter().any(|known| name.starts_with(known)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
