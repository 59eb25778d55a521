//! Checks the structure of the repository: `cargo xtask structure`.
//!
//! Files do not import each other in circles and stay short, crates depend on each
//! other in one direction, and the list of unsafe code is complete.

mod circles;
mod names;
mod unsafe_code;

use crate::shared::{metadata, output, root};
use anyhow::{Context, ensure};
use circles::{Edges, Sources};
use std::fmt::Write;
use std::fs;
use std::process::Command;
use walkdir::WalkDir;

/// A longer file does more than one thing.
const LONGEST: usize = 500;

/// The share of the crates' lines that `crates/moue` stays under, in percent.
const LARGEST_SHARE: usize = 35;

/// A crate, one that it must not depend on, and whether its build script may.
const KEPT_APART: [(&str, &str, bool); 3] =
    [("moue", "moue-train", false), ("moue-web", "moue-train", true), ("moue-server", "moue-train", true)];

/// The crates that only predict.
const PREDICTORS: [&str; 2] = ["moue-web", "moue-server"];

/// Packages that predictors must not depend on, and why.
const FORBIDDEN: [(&str, &str); 5] = [
    ("csv", "it reads data sets, which a predictor does not need"),
    ("zip", "it opens archives of data sets, which a predictor does not need"),
    ("tar", "it opens archives of data sets, which a predictor does not need"),
    ("toml", "it reads architecture files, and a model carries its own architecture"),
    ("parquet", "it reads data sets, which a predictor does not need"),
];

/// The feature of the engine that only training needs.
const TRAINING: &str = "moue-engine feature \"optimizers\"";

/// Checks everything and prints all faults.
pub fn check() -> anyhow::Result<()> {
    let sources = sources()?;
    let mut faults = circle_faults(&sources)?;
    faults.extend(length_faults(&sources));
    faults.extend(dependency_faults()?);
    faults.extend(share_faults(&sources));
    faults.extend(unsafe_code::faults(&sources, &read(unsafe_code::LIST)?)?);
    for fault in &faults {
        eprintln!("{fault}\n");
    }
    ensure!(faults.is_empty(), "the repository breaks its rules of structure in {} places", faults.len());
    Ok(())
}

fn read(name: &str) -> anyhow::Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| name.to_owned())
}

/// All Rust files, by their paths from the repository's folder.
fn sources() -> anyhow::Result<Sources> {
    let (root, mut sources) = (root(), Sources::new());
    for folder in ["crates", "xtask", "fuzz"] {
        let entries = WalkDir::new(root.join(folder)).into_iter();
        for entry in entries.filter_entry(|entry| entry.file_name() != "target" && entry.file_name() != "node_modules")
        {
            let path = entry?.into_path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
                sources.insert(name, fs::read_to_string(&path).with_context(|| path.display().to_string())?);
            }
        }
    }
    Ok(sources)
}

fn circle_faults(sources: &Sources) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for root in sources.keys().filter(|name| name.ends_with("/src/lib.rs") || name.ends_with("/src/main.rs")) {
        let edges = circles::edges(root, sources)?;
        for circle in circles::circles(&edges) {
            let mut fault = format!("{} files import each other in a circle:", circle.len());
            for file in &circle {
                write!(fault, "\n  {file}")?;
            }
            for (from, to, names) in ties(&edges) {
                if circle.contains(from) && circle.contains(to) {
                    write!(fault, "\n    {from} -> {to}: {names}")?;
                }
            }
            faults.push(fault);
        }
    }
    Ok(faults)
}

fn ties(edges: &Edges) -> impl Iterator<Item = (&str, &str, String)> {
    edges.iter().flat_map(|(from, ends)| {
        ends.iter().map(|(to, names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            (from.as_str(), to.as_str(), names.join(", "))
        })
    })
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

fn length_faults(sources: &Sources) -> Vec<String> {
    let long = sources.iter().map(|(name, text)| (name, lines(text))).filter(|(_, lines)| *lines > LONGEST);
    long.map(|(name, lines)| format!("{name} has {lines} lines, but at most {LONGEST} are allowed")).collect()
}

fn dependency_faults() -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    for (name, other, builds) in KEPT_APART {
        let package = packages.iter().find(|package| package["name"] == name);
        let dependencies = package.and_then(|package| package["dependencies"].as_array()).into_iter().flatten();
        let mut wrong = dependencies.filter(|dependency| {
            let (kind, name) = (&dependency["kind"], &dependency["name"]);
            name == other && (kind.is_null() || (kind == "build" && !builds))
        });
        if wrong.next().is_some() {
            faults.push(format!("{name} must not depend on {other}"));
        }
    }
    for name in PREDICTORS {
        let tree = cargo(&["tree", "-p", name, "-e", "normal,no-proc-macro", "--prefix", "none"])?;
        for (other, reason) in FORBIDDEN {
            if tree.lines().any(|line| line.split(' ').next() == Some(other)) {
                faults.push(format!("{name} must not depend on {other}, directly or through others: {reason}"));
            }
        }
        let tree = cargo(&["tree", "-p", name, "-e", "normal,features", "--prefix", "none", "-i", "moue-engine"])?;
        if tree.contains(TRAINING) {
            faults.push(format!("{name} must not turn on the {TRAINING}: only training needs it"));
        }
    }
    Ok(faults)
}

fn cargo(arguments: &[&str]) -> anyhow::Result<String> {
    output(Command::new("cargo").current_dir(root()).arg("--locked").args(arguments))
}

fn share_faults(sources: &Sources) -> Option<String> {
    let count = |wanted: &dyn Fn(&str) -> bool| -> usize {
        sources.iter().filter(|(name, _)| wanted(name)).map(|(_, text)| lines(text)).sum()
    };
    let all = count(&|name| name.starts_with("crates/") && name.split('/').nth(2) == Some("src"));
    let library = count(&|name| name.starts_with("crates/moue/src/"));
    (library * 100 >= all * LARGEST_SHARE).then(|| {
        let share = library * 100 / all.max(1);
        format!("crates/moue/src has {library} of {all} lines, {share} %, but less than {LARGEST_SHARE} % are allowed")
    })
}
