//! Files that commands write.

use crate::error::UsageError;
use anyhow::Context;
use moue::fs::write_atomically;
use std::path::Path;

/// Returns the format that the file extension selects.
pub fn extension<'a>(out: &Path, forms: &[&'a str]) -> Result<&'a str, UsageError> {
    let own = out.extension().map(|own| own.to_string_lossy().to_ascii_lowercase());
    forms.iter().copied().find(|form| own.as_deref() == Some(form)).ok_or_else(|| {
        let forms = forms.iter().map(|form| format!(".{form}")).collect::<Vec<_>>().join(" or ");
        UsageError(format!("--out {} must end in {forms}", out.display()))
    })
}

/// Writes a file, and its folder if that is missing.
pub fn save(out: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    write_atomically(out, bytes).with_context(|| format!("cannot write {}", out.display()))
}
