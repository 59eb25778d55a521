//! The command blocks of the README and the book.

use std::fs;
use std::path::{Path, PathBuf};

/// A fenced block of a page.
#[derive(Debug)]
pub struct Block {
    /// The page, relative to the repository.
    pub page: String,
    /// The line of its first fence, from 1.
    pub line: usize,
    /// The words after the fence: the language, and what the block needs.
    pub info: Vec<String>,
    pub text: String,
}

impl Block {
    /// Whether it has this language and this need; `""` for none.
    pub fn is(&self, language: &str, need: &str) -> bool {
        let need = (!need.is_empty()).then_some(need);
        self.info.first().is_some_and(|word| word == language) && self.info.get(1).map(String::as_str) == need
    }

    pub fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

/// The repository, or `None` where the crate is outside it.
pub fn repository() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.parent()?;
    root.join("docs/book.toml").exists().then(|| root.to_owned())
}

/// The blocks of each page that has some, in the order of pages and lines.
pub fn pages(repository: &Path) -> Vec<Vec<Block>> {
    let mut files = vec![repository.join("README.md"), repository.join("crates/cli/README.md")];
    let mut folders = vec![repository.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    files.sort();
    let page = |path: &PathBuf| {
        let name = path.strip_prefix(repository).unwrap().display().to_string();
        blocks(&name, &fs::read_to_string(path).unwrap())
    };
    files.iter().map(page).filter(|blocks| !blocks.is_empty()).collect()
}

fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => {
                let info = info.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
                open = Some(Block { page: page.to_owned(), line: number + 1, info, text: String::new() });
            }
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: the last block has no end");
    blocks
}
