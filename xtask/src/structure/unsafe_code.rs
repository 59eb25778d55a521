//! Unsafe code: only in the engine, in files that a page lists.
//!
//! Clippy requires a comment for each block (`undocumented_unsafe_blocks`).

use super::circles::Sources;
use anyhow::Context;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;

/// The page. A row of its table begins with a file of the engine.
pub const LIST: &str = "docs/decisions/2026-11-27-unsafe-code.md";

const ENGINE: &str = "crates/engine/";
const FORBID: &str = "#![forbid(unsafe_code)]";

/// Files that are not listed or in another crate, rows of other files, and crates that do not forbid unsafe code.
pub fn faults(sources: &Sources, list: &str) -> anyhow::Result<Vec<String>> {
    let listed: BTreeSet<String> = list.lines().filter_map(row).map(|file| format!("{ENGINE}{file}")).collect();
    let mut found = BTreeSet::new();
    let mut faults = Vec::new();
    for (name, text) in sources {
        let tokens: TokenStream = text.parse().ok().with_context(|| format!("{name} is not Rust"))?;
        if has_unsafe(tokens) {
            found.insert(name.clone());
        }
        if is_root(name) && !name.starts_with(ENGINE) && !text.lines().any(|line| line == FORBID) {
            faults.push(format!("{name} lacks {FORBID}"));
        }
    }
    for name in &found {
        if !name.starts_with(ENGINE) {
            faults.push(format!("{name} has unsafe code, which only the engine may have"));
        } else if !listed.contains(name) {
            faults.push(format!("{name} has unsafe code, but is not listed in {LIST}"));
        }
    }
    let stale = listed.difference(&found).map(|name| format!("{LIST} lists {name}, which has no unsafe code"));
    faults.extend(stale);
    Ok(faults)
}

/// The file of a row of the table.
fn row(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split_once("` |").map(|(file, _)| file)
}

/// Whether a file is the root of a library or a program.
fn is_root(name: &str) -> bool {
    name.ends_with("/src/lib.rs") || name.ends_with("/src/main.rs")
}

fn has_unsafe(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "unsafe",
        TokenTree::Group(group) => has_unsafe(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: (&str, &str) = ("crates/moue/src/lib.rs", "#![forbid(unsafe_code)]\n/// unsafe\nfn f() {}");
    const KERNEL: (&str, &str) = ("crates/engine/src/a.rs", "fn f() { if true { unsafe { g() } } }");

    fn checked(files: &[(&str, &str)], list: &str) -> Vec<String> {
        let sources = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        faults(&sources, list).unwrap()
    }

    #[test]
    fn listed_files_of_the_engine_may_have_unsafe_code() {
        assert!(checked(&[ROOT, KERNEL], "| `src/a.rs` | what | why |").is_empty());
    }

    #[test]
    fn the_list_is_complete_and_current() {
        assert!(checked(&[KERNEL], "| file |")[0].contains("is not listed"));
        assert!(checked(&[ROOT], "| `src/a.rs` | what | why |")[0].contains("has no unsafe code"));
    }

    #[test]
    fn other_crates_forbid_it() {
        assert!(checked(&[("crates/web/src/lib.rs", "fn f() {}")], "")[0].contains("lacks"));
        assert!(checked(&[("crates/web/src/a.rs", KERNEL.1)], "")[0].contains("only the engine"));
    }
}
