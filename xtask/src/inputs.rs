//! The sources of the built page, as one hash that is stored with it.

use crate::shared::{dist, root};
use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;
use walkdir::WalkDir;

/// Files and folders that the page and its module are built from. Of the library, only those that a prediction uses:
/// other changes do not affect the module's predictions.
const INPUTS: [&str; 19] = [
    "crates/web/page",
    "crates/web/src",
    "crates/web/Cargo.toml",
    "crates/web/package-lock.json",
    "crates/web/tsconfig.json",
    "crates/engine/Cargo.toml",
    "crates/engine/src",
    "crates/moue/Cargo.toml",
    "crates/moue/src/classifier.rs",
    "crates/moue/src/detect",
    "crates/moue/src/explain.rs",
    "crates/moue/src/image",
    "crates/moue/src/model",
    "crates/moue/src/predict",
    "crates/moue/src/prediction.rs",
    "crates/moue/src/render",
    "crates/moue/models/tiny.safetensors",
    "xtask/src/inputs.rs",
    "xtask/src/web.rs",
];

/// The file with the hash, in the folder of the page.
pub const RECORD: &str = "inputs.sha256";

/// The hash of the paths and contents of all inputs.
pub fn hash() -> anyhow::Result<String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for input in INPUTS {
        for entry in WalkDir::new(root().join(input)) {
            let entry = entry.with_context(|| format!("{input} cannot be read"))?;
            if entry.file_type().is_file() {
                files.push(entry.into_path());
            }
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
        let content = fs::read(&file).with_context(|| file.display().to_string())?;
        hash.update(format!("{name} {}\n", content.len()));
        hash.update(content);
    }
    Ok(base16ct::lower::encode_string(&hash.finalize()))
}

/// Checks that the page was built from the current sources.
pub fn check() -> anyhow::Result<()> {
    let record = fs::read_to_string(dist().join(RECORD)).context("the page has not been built")?;
    ensure!(
        record.trim() == hash()?,
        "crates/server/dist was built from other sources: run `cargo xtask web` (see CONTRIBUTING.md)"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_built_from_these_sources() {
        super::check().unwrap();
    }
}
