//! Writes the licenses of all packages in the command, the wheel and the npm package.
//!
//! The files are committed, so that each package builds from its own files alone; `moue licenses` prints the command's.
//! They are the same on every machine: they cover all of a product's targets, with the default features.

use crate::shared::{output, root};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The license of the face detector's weights, which are part of the program.
const DETECTOR: &str = "crates/moue/models/yunet.LICENSE";

/// The line above the list of packages.
pub const LIST: &str = "Packages in this program, each with its license:";

/// The systems that the command and the wheel are built for.
const SYSTEMS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-gnu",
];

/// What is built and passed on to others.
pub struct Product {
    package: &'static str,
    manifest: &'static str,
    targets: &'static [&'static str],
    /// The file with its licenses.
    file: &'static str,
}

pub const COMMAND: Product =
    Product { package: "moue-cli", manifest: "Cargo.toml", targets: &SYSTEMS, file: "crates/cli/licenses.txt" };

const PRODUCTS: [Product; 3] = [
    COMMAND,
    Product {
        package: "moue-python",
        manifest: "crates/python/Cargo.toml",
        targets: &SYSTEMS,
        file: "crates/python/licenses.txt",
    },
    Product {
        package: "moue-web",
        manifest: "Cargo.toml",
        targets: &["wasm32-unknown-unknown"],
        file: "crates/web/page/moue/licenses.txt",
    },
];

const OWN: &str = "moue is MIT or Apache-2.0, at your choice:";

const DETECTOR_ORIGIN: &str = "\
Its face detector has the weights of YuNet (MIT), which Shiqi Yu and others trained on WIDER FACE and published in
OpenCV Zoo:";

/// The packages that are linked into a product, by name, and which of them need which.
pub struct Linked {
    pub packages: Vec<Value>,
    /// Identifiers of packages, each with those that it depends on.
    needed: BTreeMap<String, BTreeSet<String>>,
}

impl Linked {
    /// The packages that a package depends on.
    pub fn dependencies(&self, package: &Value) -> Vec<&Value> {
        let needed = self.needed.get(field(package, "id"));
        self.packages.iter().filter(|other| needed.is_some_and(|ids| ids.contains(field(other, "id")))).collect()
    }
}

/// The command's file.
pub fn path() -> PathBuf {
    root().join(COMMAND.file)
}

/// Writes the files anew.
pub fn write() -> anyhow::Result<()> {
    for product in PRODUCTS {
        fs::write(root().join(product.file), text(&product)?)?;
    }
    Ok(())
}

/// Checks that the files are up to date.
pub fn check() -> anyhow::Result<()> {
    for product in PRODUCTS {
        let current = fs::read_to_string(root().join(product.file)).unwrap_or_default();
        ensure!(current == text(&product)?, "{} is out of date: run `cargo xtask licenses`", product.file);
    }
    Ok(())
}

fn text(product: &Product) -> anyhow::Result<String> {
    let mut list = String::new();
    // Texts that differ only in white space are listed once.
    let mut texts: BTreeMap<String, (BTreeSet<String>, String)> = BTreeMap::new();
    for package in linked(product)?.packages.iter().filter(|package| !package["source"].is_null()) {
        let title = format!("{} {}", field(package, "name"), field(package, "version"));
        let license = field(package, "license");
        list += &format!("{title} ({})\n", if license.is_empty() { "see below" } else { license });
        let folder = Path::new(field(package, "manifest_path")).parent().context("a manifest is in no folder")?;
        for file in license_files(folder)? {
            let content = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            let words = content.split_whitespace().collect::<Vec<_>>().join(" ");
            let (titles, _) = texts.entry(words).or_insert_with(|| (BTreeSet::new(), content));
            titles.insert(title.clone());
        }
    }
    let read = |name: &str| fs::read_to_string(root().join(name)).with_context(|| name.to_owned());
    let (own, detector) = (read("LICENSE-MIT")?, read(DETECTOR)?);
    let mut all = format!("{OWN}\n\n{own}\n{DETECTOR_ORIGIN}\n\n{detector}\n{LIST}\n\n{list}");
    for (titles, content) in texts.values().filter(|(_, content)| !content.trim().is_empty()) {
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        all += &format!("\n{}\n{}\n\n{}\n", "-".repeat(80), titles.join(", "), content.trim_end());
    }
    Ok(all)
}

pub fn linked(product: &Product) -> anyhow::Result<Linked> {
    let tree = ["tree", "--package", product.package, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = cargo(product, &tree, "--target")?;
    // `serde v1.0.0 (proc-macro) (*)`: a name and a version come first.
    let linked: BTreeSet<String> =
        tree.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    let metadata = cargo(product, &["metadata", "--format-version", "1"], "--filter-platform")?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let mut packages = metadata["packages"].as_array().context("cargo metadata names no packages")?.clone();
    let title = |package: &Value| format!("{} v{}", field(package, "name"), field(package, "version"));
    packages.retain(|package| linked.contains(&title(package)));
    packages.sort_by_cached_key(title);
    let nodes = metadata["resolve"]["nodes"].as_array().context("cargo metadata resolves no packages")?;
    let needed = nodes.iter().map(|node| (field(node, "id").to_owned(), normal(node))).collect();
    Ok(Linked { packages, needed })
}

/// The identifiers of the packages that are linked into one, without those of its build and its tests.
fn normal(node: &Value) -> BTreeSet<String> {
    let dependencies = node["deps"].as_array().into_iter().flatten();
    dependencies
        .filter(|dependency| {
            dependency["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k["kind"].is_null()))
        })
        .map(|dependency| field(dependency, "pkg").to_owned())
        .collect()
}

fn cargo(product: &Product, arguments: &[&str], target: &str) -> anyhow::Result<String> {
    let targets = product.targets.iter().flat_map(|name| [target, name]);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args(arguments).args(["--locked", "--manifest-path", product.manifest]).args(targets);
    output(&mut cargo)
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
