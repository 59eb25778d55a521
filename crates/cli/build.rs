//! Gathers the licences of everything that goes into the program, for
//! `moue licenses`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The package whose model for finding faces travels in the program.
const DETECTOR: &str = "rustface";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    if let Err(reason) = gather() {
        println!("cargo::error=the licences cannot be gathered: {reason}");
    }
}

fn gather() -> Result<(), String> {
    let packages = packages()?;
    let mut list = String::new();
    // Texts that differ in spaces only are one.
    let mut texts: BTreeMap<String, (BTreeSet<String>, String)> = BTreeMap::new();
    for package in &packages {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let title = format!("{} {}", text("name"), text("version"));
        list +=
            &format!("{title} ({})\n", if text("license").is_empty() { "see below".into() } else { text("license") });
        let folder = Path::new(package["manifest_path"].as_str().unwrap_or_default()).parent().map(Path::to_owned);
        for file in folder.map(|folder| licence_files(&folder)).unwrap_or_default() {
            let content = fs::read_to_string(&file).unwrap_or_default();
            let words: Vec<&str> = content.split_whitespace().collect();
            let (titles, _) = texts.entry(words.join(" ")).or_insert_with(|| (BTreeSet::new(), content.clone()));
            titles.insert(title.clone());
        }
    }
    let mut all = format!("Packages in this program, each with its licence:\n\n{list}");
    for (titles, content) in texts.values().filter(|(_, content)| !content.trim().is_empty()) {
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        all += &format!("\n{}\n{}\n\n{}\n", "-".repeat(80), titles.join(", "), content.trim_end());
    }
    let out = env::var_os("OUT_DIR").ok_or("there is no OUT_DIR")?;
    fs::write(Path::new(&out).join("licences.txt"), all).map_err(|error| error.to_string())
}

/// What this package is made of, itself and its workspace left out, by name.
fn packages() -> Result<Vec<Value>, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = env::var("TARGET").map_err(|error| error.to_string())?;
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &target])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (id(&node["id"]), node)).collect();
    let mut packages: Vec<Value> = list(&metadata["packages"]);
    let own = env!("CARGO_PKG_NAME");
    let mut waiting: Vec<String> =
        packages.iter().filter(|package| package["name"] == own).map(|package| id(&package["id"])).collect();
    let mut reached = BTreeSet::new();
    while let Some(next) = waiting.pop() {
        if !reached.insert(next.clone()) {
            continue;
        }
        for dependency in list(&nodes.get(&next).map_or(Value::Null, |node| node["deps"].clone())) {
            // Only what is linked in: neither tests nor build scripts.
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                waiting.push(id(&dependency["pkg"]));
            }
        }
    }
    packages.retain(|package| {
        let inside = reached.contains(&id(&package["id"])) || package["name"] == DETECTOR;
        inside && !package["source"].is_null()
    });
    packages.sort_by_key(|package| id(&package["name"]));
    Ok(packages)
}

fn id(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn licence_files(folder: &Path) -> Vec<PathBuf> {
    let known = ["license", "licence", "copying", "notice", "unlicense"];
    let named = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        path.is_file() && known.iter().any(|known| name.starts_with(known))
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(named).collect();
    files.sort();
    files
}
