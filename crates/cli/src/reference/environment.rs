//! The page of exit codes and environment variables.

use super::markdown::{code, table};
use crate::environment::{EXIT_CODES, VARIABLES};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub fn page() -> String {
    let codes: Vec<Vec<String>> =
        EXIT_CODES.iter().map(|(code, meaning)| vec![code.to_string(), (*meaning).to_owned()]).collect();
    let variables: Vec<Vec<String>> =
        VARIABLES.iter().map(|(name, meaning)| vec![code(name), (*meaning).to_owned()]).collect();
    format!(
        "## Exit codes\n\n{}Results go to stdout; progress, logs and errors go to stderr.\n\n## Environment variables\n\n{}\
        Options on the command line take precedence. The `ffmpeg` program, which decodes videos and camera streams, is \
        searched in `PATH`.\n",
        table(&["code", "meaning"], &codes),
        table(&["variable", "meaning"], &variables)
    )
}

/// The variables of moue that a source file reads: string literals outside its tests.
fn variables(source: &str) -> impl Iterator<Item = &str> {
    let only_tests = source.contains("#![cfg(test)]");
    let code = source.split("#[cfg(test)]\nmod tests {").next().filter(|_| !only_tests).unwrap_or_default();
    let code = code.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("//"));
    let literals = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    literals.filter(|text| {
        text.strip_prefix("MOUE_").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    })
}

/// Adds the variables of all Rust files in a folder, except those of the table and of this generator.
fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("cli/src/environment.rs") || path.ends_with("cli/src/reference") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(variables(&fs::read_to_string(&path).unwrap()).map(str::to_owned));
        }
    }
}

#[test]
fn the_table_has_exactly_the_variables_that_the_code_reads() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !crates.join("engine/src").is_dir() {
        eprintln!("SKIPPED: this is a package, not the repository");
        return;
    }
    let mut read = BTreeSet::new();
    for entry in fs::read_dir(crates).unwrap() {
        let sources = entry.unwrap().path().join("src");
        if sources.is_dir() {
            collect(&sources, &mut read);
        }
    }
    let listed = VARIABLES.iter().filter(|(name, _)| name.starts_with("MOUE_")).map(|(name, _)| (*name).to_owned());
    assert_eq!(read, listed.collect(), "read by the code (left) and listed in crates/cli/src/environment.rs (right)");
}

#[test]
fn variables_are_found_outside_tests_and_comments() {
    let source = "const A: &str = \"MOUE_A\"; // \"MOUE_B\"\n// \"MOUE_C\"\n#[cfg(test)]\nmod tests { f(\"MOUE_D\") }";
    assert_eq!(variables(source).collect::<Vec<_>>(), ["MOUE_A", "MOUE_B"]);
    assert_eq!(variables("//! Tests.\n#![cfg(test)]\nfn f() { g(\"MOUE_A\") }").count(), 0);
}
