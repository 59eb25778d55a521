//! The book in `docs/`: every link of the repository's Markdown files is checked, and mdBook builds the pages.

use crate::shared::{root, run};
use anyhow::{Context as _, bail};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use walkdir::WalkDir;

/// Where links that leave the book lead in its built form.
const REPOSITORY: &str = "https://github.com/moue-rs/moue/blob/main";

/// Checks the links, then builds the book into `target/book` where mdBook is installed.
pub fn build() -> anyhow::Result<()> {
    check_links(&root())?;
    if Command::new("mdbook").arg("--version").output().is_err() {
        println!("SKIPPED: building the book, without mdbook (cargo install mdbook)");
        return Ok(());
    }
    let source = root().join("target/book-source");
    copy(&root(), &source)?;
    let target = root().join("target/book");
    run(Command::new("mdbook").arg("build").arg(&source).arg("--dest-dir").arg(&target))
}

/// Copies `docs/`, with links to other files of the repository made absolute.
fn copy(root: &Path, target: &Path) -> anyhow::Result<()> {
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    let docs = root.join("docs");
    for entry in WalkDir::new(&docs) {
        let path = entry?.into_path();
        let copied = target.join(path.strip_prefix(&docs)?);
        if path.is_dir() {
            fs::create_dir_all(copied)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path)?;
            let folder = path.strip_prefix(root)?.parent().unwrap_or(Path::new(""));
            fs::write(copied, with_absolute_links(&text, folder))?;
        } else {
            fs::copy(&path, copied)?;
        }
    }
    Ok(())
}

fn with_absolute_links(text: &str, folder: &Path) -> String {
    let mut changed = text.to_owned();
    for link in links(text).into_iter().rev() {
        let target = joined(folder, &link.path);
        if link.is_file() && !target.starts_with("docs") {
            let absolute = format!("{REPOSITORY}/{}", target.display());
            let replaced = text[link.range.clone()].replacen(&link.path, &absolute, 1);
            changed.replace_range(link.range, &replaced);
        }
    }
    changed
}

/// Every relative link must lead to a file and a heading, and `SUMMARY.md` must list every page.
fn check_links(root: &Path) -> anyhow::Result<()> {
    let mut texts = BTreeMap::new();
    for path in files(root)? {
        texts.insert(path.strip_prefix(root)?.to_owned(), fs::read_to_string(&path)?);
    }
    let mut faults = Vec::new();
    for (page, text) in &texts {
        for link in links(text) {
            if let Some(fault) = fault(root, &texts, page, &link) {
                let line = 1 + text[..link.range.start].matches('\n').count();
                faults.push(format!("{}:{line}: {fault}", page.display()));
            }
        }
    }
    let summary = texts.get(Path::new("docs/SUMMARY.md")).context("docs/SUMMARY.md is missing")?;
    let listed: BTreeSet<PathBuf> = links(summary).iter().map(|link| joined(Path::new("docs"), &link.path)).collect();
    for page in texts.keys().filter(|page| page.starts_with("docs") && !page.ends_with("SUMMARY.md")) {
        if !listed.contains(page) {
            faults.push(format!("{}: docs/SUMMARY.md does not list this page", page.display()));
        }
    }
    if !faults.is_empty() {
        bail!("{} faults in links\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

fn fault(root: &Path, texts: &BTreeMap<PathBuf, String>, page: &Path, link: &Link) -> Option<String> {
    if !link.is_file() {
        return None;
    }
    let target =
        if link.path.is_empty() { page.to_owned() } else { joined(page.parent().unwrap_or(Path::new("")), &link.path) };
    if !root.join(&target).exists() {
        return Some(format!("{} does not exist", target.display()));
    }
    let anchor = link.anchor.as_ref()?;
    let found = texts.get(&target).is_some_and(|text| anchors(text).contains(anchor));
    (!found).then(|| format!("{} has no heading #{anchor}", target.display()))
}

/// The Markdown files that people read, without what is built or installed.
fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let skipped = ["target", "node_modules", ".git", "dist", "corpus", "artifacts"];
    let entries = WalkDir::new(root).sort_by_file_name().into_iter();
    let entries = entries.filter_entry(|entry| !skipped.iter().any(|name| entry.file_name() == *name));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    Ok(files)
}

struct Link {
    /// The place of the whole link in the text.
    range: Range<usize>,
    path: String,
    anchor: Option<String>,
}

impl Link {
    /// Whether it is a file of the repository and not an address.
    fn is_file(&self) -> bool {
        !self.path.contains(':')
    }
}

fn links(text: &str) -> Vec<Link> {
    let link = |(event, range)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            let (path, anchor) =
                dest_url.split_once('#').map_or((&*dest_url, None), |(path, id)| (path, Some(id.into())));
            Some(Link { range, path: path.to_owned(), anchor })
        }
        _ => None,
    };
    Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter().filter_map(link).collect()
}

/// The identifiers of the headings, as GitHub and mdBook form them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let id = identifier(&heading.take().unwrap_or_default());
                let again = (1..).map(|number| format!("{id}-{number}"));
                let free = std::iter::once(id.clone()).chain(again).find(|id| !anchors.contains(id));
                anchors.extend(free);
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            _ => {}
        }
    }
    anchors
}

fn identifier(heading: &str) -> String {
    let kept = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => c.to_lowercase().next(),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    };
    heading.trim().chars().filter_map(kept).collect()
}

/// A path without `..`, relative to the repository.
fn joined(folder: &Path, link: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in folder.join(link).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_the_identifiers_of_github() {
        let found = anchors("# The page\n## `[train]`, and more\n## A warning about Kaggle's zip\n## The page\n");
        let expected = ["a-warning-about-kaggles-zip", "the-page", "the-page-1", "train-and-more"];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn links_to_missing_files_and_headings_are_faults() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("docs/SUMMARY.md", "[a](a.md)\n");
        put("docs/a.md", "# A\n[self](#a) [up](../README.md#top) [web](https://example.org/x#y)\n");
        put("README.md", "# Top\n[a](docs/a.md)\n");
        check_links(folder.path()).unwrap();
        put("docs/a.md", "# A\n[file](b.md) and [heading](../README.md#bottom)\n\n```sh\n[code](c.md)\n```\n");
        put("docs/b/c.md", "# Not listed\n");
        let faults = check_links(folder.path()).unwrap_err().to_string();
        assert_eq!(faults.lines().count(), 4, "{faults}");
        for fault in ["docs/a.md:2: docs/b.md does not exist", "no heading #bottom", "does not list this page"] {
            assert!(faults.contains(fault), "{faults}");
        }
    }

    #[test]
    fn links_that_leave_the_book_become_absolute() {
        let text = "[in](../data.md#x) [out](../../README.md#results) ![image](../images/a.png)";
        let expected = format!("[in](../data.md#x) [out]({REPOSITORY}/README.md#results) ![image](../images/a.png)");
        assert_eq!(with_absolute_links(text, Path::new("docs/guides")), expected);
    }
}
