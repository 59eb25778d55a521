//! Generates `docs/reference` from the code: a test compares it with the files, and `cargo xtask reference` runs that
//! test so that it writes them.
//!
//! One module per page; `schema` and `markdown` are what they share.

mod commands;
mod configuration;
mod environment;
mod http;
mod json;
mod layers;
mod markdown;
mod schema;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// If this variable is set, the test writes the files instead of comparing them.
const WRITE: &str = "MOUE_WRITE_REFERENCE";

/// The first line of each page.
const NOTICE: &str = "<!-- Generated from the code by `cargo xtask reference`: do not edit. -->";

/// The pages: file, title, content, and what the index says about it.
fn pages() -> [(&'static str, &'static str, String, &'static str); 6] {
    [
        ("commands.md", "Commands", commands::page(), "all commands with their arguments and options"),
        (
            "configuration.md",
            "Configuration file",
            configuration::page(),
            "the keys of `[model]`, `[data]`, `[augment]` and `[train]`",
        ),
        ("layers.md", "Layers", layers::page(), "the kinds of layers and their options"),
        (
            "json.md",
            "JSON and CSV",
            json::page(),
            "the output of commands with `--json`, and the files that they write",
        ),
        ("http.md", "HTTP API", http::page(), "the paths of `moue serve`, their parameters and responses"),
        (
            "environment.md",
            "Exit codes and environment variables",
            environment::page(),
            "what commands return to the shell and read from it",
        ),
    ]
}

/// All files by their paths in the folder.
fn files() -> BTreeMap<PathBuf, String> {
    let (mut files, mut index) = (BTreeMap::new(), String::new());
    for (file, title, content, about) in pages() {
        index += &format!("- [{title}]({file}): {about}\n");
        files.insert(file.into(), format!("{NOTICE}\n\n# {title}\n\n{}\n", content.trim_end()));
    }
    let about = "The pages of this part are generated from the code.";
    files.insert("README.md".into(), format!("{NOTICE}\n\n# Reference\n\n{about}\n\n{index}"));
    for (name, schema) in json::schemas() {
        files.insert(format!("schemas/{name}.json").into(), schema::text(&schema));
    }
    files.insert("schemas/config.json".into(), schema::text(&configuration::schema()));
    files.insert("openapi.json".into(), schema::text(&http::document()));
    files
}

/// The files that are in the folder, by their paths in it.
fn present(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = entries(folder).chain(entries(&folder.join("schemas"))).filter(|path| path.is_file());
    all.map(|path| path.strip_prefix(folder).unwrap().to_owned()).collect()
}

#[test]
fn the_reference_is_up_to_date() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    if !docs.is_dir() {
        eprintln!("SKIPPED: {} does not exist: this is a package, not the repository", docs.display());
        return;
    }
    let (folder, files) = (docs.join("reference"), files());
    let extra = present(&folder).into_iter().filter(|file| !files.contains_key(file));
    if std::env::var_os(WRITE).is_some() {
        extra.for_each(|file| fs::remove_file(folder.join(file)).unwrap());
        fs::create_dir_all(folder.join("schemas")).unwrap();
        files.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
        return;
    }
    let mut stale: Vec<String> = extra.map(|file| format!("{}: is not generated", file.display())).collect();
    for (file, text) in &files {
        // A checkout on Windows may have other line endings.
        let found = fs::read_to_string(folder.join(file)).unwrap_or_default().replace("\r\n", "\n");
        stale.extend(difference(&found, text).map(|difference| format!("{}: {difference}", file.display())));
    }
    assert!(stale.is_empty(), "docs/reference is stale: run `cargo xtask reference`\n{}", stale.join("\n"));
}

/// The first line that differs.
fn difference(found: &str, expected: &str) -> Option<String> {
    if found == expected {
        return None;
    }
    let (mut found, mut expected) = (found.lines(), expected.lines());
    (1..).find_map(|line| match (found.next(), expected.next()) {
        (None, None) => Some("other line endings".to_owned()),
        (found, expected) if found == expected => None,
        (found, expected) => {
            Some(format!("line {line}\n  is        {}\n  should be {}", found.unwrap_or(""), expected.unwrap_or("")))
        }
    })
}
