//! Files that a person names, opened with errors that suggest similar names, and atomic writes.
//! Every file that is replaced is written by this module.

use crate::message::at_path;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Opens a file. The error for a missing file suggests a file with a similar name.
///
/// # Errors
/// When the file cannot be opened.
pub fn open(path: impl AsRef<Path>) -> std::io::Result<File> {
    let path = path.as_ref();
    File::open(path).map_err(|error| at_path(path, error))
}

/// The bytes of a file, opened with [`open`].
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The beginning of the names of temporary files.
const TEMPORARY: &str = ".moue-";

/// Whether this is the temporary file of an [`AtomicFile`].
#[must_use]
pub fn is_temporary(path: impl AsRef<Path>) -> bool {
    path.as_ref().file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY))
}

/// Removes the temporary files that a killed process has left in a folder. The folder must be one that no other process
/// writes. Errors are ignored: a file that remains is not read.
pub fn remove_temporary_files(folder: impl AsRef<Path>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| is_temporary(path)) {
        let _ = std::fs::remove_file(path);
    }
}

/// A file that replaces another one when it is complete: it is written to a temporary file in the
/// same folder, which [`finish`](Self::finish) renames. Without that, nothing changes.
pub struct AtomicFile {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts to write the file.
    ///
    /// # Errors
    /// When the folder cannot be written, or the path is something other than a file.
    pub fn create(path: impl AsRef<Path>) -> std::io::Result<Self> {
        let path = path.as_ref();
        // A device such as /dev/null would be replaced.
        if path.exists() && !path.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        // The file is replaced, not the link to it.
        let path = if path.is_symlink() { path.canonicalize()? } else { path.to_owned() };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.exists() {
            let reason = format!("the folder {} does not exist", folder.display());
            return Err(std::io::Error::new(std::io::ErrorKind::NotFound, reason));
        }
        Ok(Self { file: tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?, path })
    }

    /// The path of the temporary file, for a program that writes it.
    #[must_use]
    pub fn temporary_path(&self) -> &Path {
        self.file.path()
    }

    /// Writes what there is of an incomplete file to the path with `.partial` at its end, and returns
    /// that path. The file itself does not change.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish_partial(mut self) -> std::io::Result<PathBuf> {
        self.path.as_mut_os_string().push(".partial");
        self.finish()
    }

    /// Completes the file, and returns its path.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> std::io::Result<PathBuf> {
        self.file.as_file().sync_data()?;
        // Temporary files are private; the final file gets the usual permissions.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            self.file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        self.file.persist(&self.path).map_err(|error| error.error)?;
        Ok(self.path)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file atomically, as an [`AtomicFile`].
///
/// # Errors
/// When the folder cannot be written.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_file_does_not_replace_a_complete_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("out.csv");
        write_atomically(&path, b"complete").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"incomplete").unwrap();
        let partial = file.finish_partial().unwrap();
        assert_eq!(partial, place.path().join("out.csv.partial"));
        assert_eq!((read(&path).unwrap(), read(&partial).unwrap()), (b"complete".to_vec(), b"incomplete".to_vec()));
    }

    #[test]
    fn temporary_files_can_be_removed() {
        let place = tempfile::tempdir().unwrap();
        let complete = place.path().join("out.csv");
        write_atomically(&complete, b"complete").unwrap();
        let killed = AtomicFile::create(place.path().join("out.csv")).unwrap();
        std::fs::write(killed.temporary_path(), b"by another program").unwrap();
        assert!(is_temporary(killed.temporary_path()) && !is_temporary(&complete));
        remove_temporary_files(place.path());
        assert!(!killed.temporary_path().exists() && complete.exists());
        remove_temporary_files(place.path().join("missing"));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let place = tempfile::tempdir().unwrap();
        let error = write_atomically(place.path().join("none/out.csv"), b"x").unwrap_err().to_string();
        assert_eq!(error, format!("the folder {} does not exist", place.path().join("none").display()));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed() {
        let place = tempfile::tempdir().unwrap();
        let (path, link) = (place.path().join("out.csv"), place.path().join("link.csv"));
        write_atomically(&path, b"old").unwrap();
        std::os::unix::fs::symlink("out.csv", &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(read(&path).unwrap(), b"new");
    }
}
