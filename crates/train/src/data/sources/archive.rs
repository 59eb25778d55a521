//! Reads the files of a source: a plain file, a gzip file, a folder, a zip or a tar archive,
//! distinguished by their first bytes, not by name.

use crate::data::error::DataError;
use moue::message::{at_path, io_reason};
use moue::walk::{Item, walk};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

/// Maximum bytes of the headers before an entry of a tar archive, which are read into memory.
const MOST_HEADER: u64 = 1 << 20;

/// Is called with each file's name inside the source and a reader, or why it cannot be opened. The
/// name of a folder that cannot be read ends in `/`.
pub type Visit<'a> = &'a mut dyn FnMut(&str, io::Result<&mut dyn Read>) -> Result<(), DataError>;

/// Calls `visit` with each file whose name is `wanted`: files of a folder and of a zip archive in
/// order of name, files of a tar archive in stored order.
pub fn for_each(path: &Path, wanted: &dyn Fn(&str) -> bool, visit: Visit<'_>) -> Result<(), DataError> {
    let io = |source| DataError::Read { path: path.to_owned(), source: at_path(path, source) };
    if path.is_dir() {
        return folder(path, wanted, visit);
    }
    let mut file = File::open(path).map_err(io)?;
    let mut magic = [0; 4];
    let read = file.read(&mut magic).map_err(io)?;
    file.rewind().map_err(io)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match &magic[..read] {
        [b'P', b'K', 3, 4] => zip(path, file, wanted, visit),
        [0x1f, 0x8b, ..] => {
            let unpacked = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
            stream(path, name.strip_suffix(".gz").unwrap_or(&name), unpacked, wanted, visit)
        }
        _ => stream(path, &name, file, wanted, visit),
    }
}

/// Files that operating systems add to archives.
pub fn is_litter(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}

fn folder(path: &Path, wanted: &dyn Fn(&str) -> bool, visit: Visit<'_>) -> Result<(), DataError> {
    for item in walk(path, usize::MAX) {
        let (at, file, is_folder) = match item {
            Item::File(at) => {
                let file = File::open(&at);
                (at, file, false)
            }
            Item::Other(_) => continue,
            Item::Unreadable(at, source) if at == path => return Err(DataError::Read { path: at, source }),
            Item::Unreadable(at, error) => {
                let is_folder = at.is_dir() && !at.is_symlink();
                (at, Err(error), is_folder)
            }
        };
        let name = name_inside(path, &at) + if is_folder { "/" } else { "" };
        if !is_litter(&name) && wanted(&name) {
            match file {
                Ok(mut file) => visit(&name, Ok(&mut file))?,
                Err(error) => visit(&name, Err(error))?,
            }
        }
    }
    Ok(())
}

/// The name of a file inside a folder, with `/` on every system. Bytes that are not UTF-8 are
/// replaced.
fn name_inside(folder: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(folder).unwrap_or(file);
    inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn zip(path: &Path, file: File, wanted: &dyn Fn(&str) -> bool, visit: Visit<'_>) -> Result<(), DataError> {
    let damaged =
        |error: zip::result::ZipError| DataError::Archive { path: path.to_owned(), reason: error.to_string() };
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let mut names: Vec<String> = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .filter(|name| !name.ends_with('/') && !is_litter(name))
        .collect();
    names.sort_unstable();
    for name in names.iter().filter(|name| wanted(name)) {
        let mut entry = archive.by_name(name).map_err(damaged)?;
        visit(name, Ok(&mut entry))?;
    }
    Ok(())
}

/// A tar archive, or else a single file.
fn stream(
    path: &Path,
    name: &str,
    mut reader: impl Read,
    wanted: &dyn Fn(&str) -> bool,
    visit: Visit<'_>,
) -> Result<(), DataError> {
    let damaged = |error: io::Error| DataError::Archive { path: path.to_owned(), reason: io_reason(&error) };
    let mut head = Vec::new();
    reader.by_ref().take(512).read_to_end(&mut head).map_err(damaged)?;
    let is_tar = head.get(257..262) == Some(b"ustar");
    let mut whole = Cursor::new(head).chain(reader);
    if !is_tar {
        return if wanted(name) { visit(name, Ok(&mut whole)) } else { Ok(()) };
    }
    let left = Cell::new(MOST_HEADER);
    let mut archive = tar::Archive::new(Limited { reader: whole, left: &left });
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        left.set(u64::MAX);
        // The holes of a sparse file would be read as zeros, of which a header may claim any number.
        if entry.header().entry_type().is_gnu_sparse() {
            left.set(entry.header().entry_size().unwrap_or(0).saturating_add(MOST_HEADER));
            continue;
        }
        let name = entry.path().map_err(damaged)?.to_string_lossy().trim_start_matches("./").to_owned();
        if entry.header().entry_type().is_file() && !is_litter(&name) && wanted(&name) {
            visit(&name, Ok(&mut entry))?;
        }
        io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
        left.set(MOST_HEADER);
    }
    Ok(())
}

/// A reader that fails when no bytes are left.
struct Limited<'a, R> {
    reader: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other(format!("its headers are larger than {} MB", MOST_HEADER >> 20)));
        }
        let read = self.reader.read(buffer)?;
        self.left.set(self.left.get().saturating_sub(read as u64));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The holes of this file are 2^62 bytes, which would be read for years.
    #[test]
    fn a_sparse_file_of_a_tar_archive_is_skipped() {
        let mut sparse = tar::Header::new_gnu();
        sparse.set_entry_type(tar::EntryType::GNUSparse);
        sparse.set_path("hole.png").unwrap();
        sparse.set_size(0);
        let gnu = sparse.as_gnu_mut().unwrap();
        gnu.set_real_size(1 << 62);
        gnu.sparse[0].set_offset(1 << 62);
        gnu.sparse[0].set_length(0);
        sparse.set_cksum();
        let mut plain = tar::Header::new_gnu();
        plain.set_path("plain.png").unwrap();
        plain.set_size(3);
        plain.set_cksum();
        let content = [b"abc".to_vec(), vec![0; 509 + 1024]].concat();
        let bytes = [&sparse.as_bytes()[..], plain.as_bytes(), &content].concat();
        let mut found = Vec::new();
        stream(Path::new("a.tar"), "a.tar", &bytes[..], &|_| true, &mut |name, reader| {
            let mut text = String::new();
            reader.unwrap().read_to_string(&mut text).unwrap();
            found.push(format!("{name} {text}"));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, ["plain.png abc"]);
    }
}
