//! Checks of what releases are made with: versions, GitHub's workflows, shell scripts.

use crate::shared::{root, run, works};
use anyhow::{Context, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use walkdir::WalkDir;

const SCRIPTS: [&str; 5] = [".ci/run", "bench/run", "crates/moue/models/train.sh", "deploy/test.sh", "fuzz/run.sh"];

/// Files that repeat the workspace's version, and what stands before it and after it.
const VERSIONS: [(&str, &str, &str); 5] = [
    ("crates/python/Cargo.toml", "\nversion = \"", "\""),
    ("crates/web/page/moue/package.json", "\"version\": \"", "\""),
    ("CITATION.cff", "\nversion: ", "\n"),
    ("deploy/kubernetes.yaml", "image: ghcr.io/moue-rs/moue:", "\n"),
    ("deploy/compose.yaml", "image: ghcr.io/moue-rs/moue:", "\n"),
];

/// Checks that all packages have one version, and that the changelog has a dated section of it.
pub fn versions() -> anyhow::Result<()> {
    let version = workspace_version()?;
    for (file, before, after) in VERSIONS {
        let text = fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?;
        let found = between(&text, before, after).with_context(|| format!("{file} has no version"))?;
        ensure!(found == version, "{file} has version {found}, but Cargo.toml has {version}");
    }
    let changelog = fs::read_to_string(root().join("CHANGELOG.md"))?;
    let date = between(&changelog, &format!("\n## {version} ("), ")\n");
    ensure!(date.is_some(), "CHANGELOG.md has no section `## {version} (YEAR-MONTH-DAY)`");
    Ok(())
}

fn workspace_version() -> anyhow::Result<String> {
    let text = fs::read_to_string(root().join("Cargo.toml"))?;
    let version = between(&text, "\nversion = \"", "\"").context("Cargo.toml has no version")?;
    Ok(version.to_owned())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// Checks the workflows and the shell scripts; with actionlint, zizmor and shellcheck where they are installed.
pub fn workflows() -> anyhow::Result<()> {
    let mut files = Vec::new();
    for entry in WalkDir::new(root().join(".github/workflows")).sort_by_file_name() {
        let path = entry?.into_path();
        if path.is_file() {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let faults = unpinned(&text);
            ensure!(faults.is_empty(), "{}: {}", path.display(), faults.join("; "));
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "there are no workflows");
    lint("actionlint", &[], &files)?;
    // Without the network: it asks GitHub otherwise.
    lint("zizmor", &["--offline", "--quiet", "--no-progress"], &files)?;
    lint("shellcheck", &[], &SCRIPTS.map(|script| root().join(script)))
}

fn lint(program: &str, arguments: &[&str], files: &[PathBuf]) -> anyhow::Result<()> {
    if !works(Command::new(program).arg("--version")) {
        println!("SKIPPED: {program}, which is not installed");
        return Ok(());
    }
    run(Command::new(program).current_dir(root()).args(arguments).args(files))
}

/// Actions that are not pinned to a commit with its version as a comment.
fn unpinned(workflow: &str) -> Vec<String> {
    let uses = workflow.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("uses: "));
    uses.filter(|action| !pinned(action)).map(|action| format!("{action} is not pinned to a commit")).collect()
}

/// `owner/name@COMMIT # v1.2.3`, or a workflow of this repository.
fn pinned(action: &str) -> bool {
    let commit = |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = action.split_once('@').and_then(|(_, rest)| rest.split_once(" # v"));
    action.starts_with("./") || parts.is_some_and(|(id, version)| commit(id) && !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_pinned_to_commits() {
        let pin = "0123456789012345678901234567890123456789";
        let workflow = format!(
            "steps:\n  - uses: a/b@{pin} # v1.2.3\n  - name: x\n    uses: a/b@v4\n  - uses: a/b@{pin}\n  - uses: ./x.yml\n"
        );
        let faults = unpinned(&workflow);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("a/b@v4"));
    }

    #[test]
    fn the_repository_has_one_version() {
        versions().unwrap();
    }
}
