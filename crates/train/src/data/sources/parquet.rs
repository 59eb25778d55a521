//! Data sets in Parquet files: an image column (a struct with `bytes`, as Hugging Face writes it,
//! or plain bytes) and a label column.

use super::folders::Folders;
use crate::data::dataset::{FER2013_CLASSES, ImageSpec, Split};
use crate::data::error::DataError;
use crate::data::raw::Raw;
use bytes::Bytes;
use moue::walk::{Item, walk};
use parquet::column::page::Page;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::Value;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Names of a label column.
const LABELS: [&str; 4] = ["label", "labels", "emotion", "class"];

/// The images of a Parquet file or of a folder of them; `None` where there is none.
pub fn open(path: &Path, form: ImageSpec, progress: &dyn Fn(usize)) -> Result<Option<Raw>, DataError> {
    let (files, unreadable) = files(path)?;
    if files.is_empty() {
        return Ok(None);
    }
    let mut folders = Folders::new(form, false);
    for file in &files {
        // The parquet crate panics on some damaged metadata; the partial result is discarded with
        // the error.
        let result = catch_unwind(AssertUnwindSafe(|| read(file, &mut folders, progress)));
        result.unwrap_or_else(|_| Err(damaged(file, &"its metadata is inconsistent")))?;
    }
    let mut raw = folders.finish();
    let missing =
        |folder: PathBuf| format!("the folder {} cannot be read, so its images are missing", folder.display());
    raw.unused.extend(unreadable.into_iter().map(missing));
    Ok(Some(raw))
}

/// The Parquet files, and the folders that cannot be read.
fn files(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), DataError> {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for item in walk(path, usize::MAX) {
        let named = |file: &Path| file.extension().is_some_and(|own| own.eq_ignore_ascii_case("parquet"));
        match item {
            Item::File(file) if named(&file) => files.push(file),
            Item::Unreadable(file, source) if named(&file) || file == path => {
                return Err(DataError::Read { path: file, source });
            }
            Item::Unreadable(folder, _) if folder.is_dir() => unreadable.push(folder),
            _ => {}
        }
    }
    Ok((files, unreadable))
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> DataError {
    DataError::Archive { path: path.to_owned(), reason: reason.to_string() }
}

fn read(path: &Path, folders: &mut Folders, progress: &dyn Fn(usize)) -> Result<(), DataError> {
    let file = File::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let reader = SerializedFileReader::new(Chunks(file)).map_err(|error| damaged(path, &error))?;
    let schema = reader.metadata().file_metadata().schema();
    let columns: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let label = columns.iter().position(|name| LABELS.contains(&name.to_ascii_lowercase().as_str()));
    let Some(label) = label else {
        let found =
            format!("its columns are {}, but a label column ({}) is missing", columns.join(", "), LABELS.join(" or "));
        return Err(DataError::Unrecognized { path: path.to_owned(), found });
    };
    let names = class_names(&reader, columns[label]);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    // `train-00000-of-00001.parquet`
    let split = stem.split(['-', '_', '.']).next().filter(|part| Split::from_name(part).is_some());
    check_dictionaries(&reader).map_err(|error| damaged(path, &error))?;
    let rows = reader.get_row_iter(None).map_err(|error| damaged(path, &error))?;
    for (number, row) in rows.enumerate() {
        let row = row.map_err(|error| damaged(path, &error))?;
        let class = class_of(&row, label, &names);
        let bytes =
            row.get_column_iter().find_map(|(_, field)| bytes_of(field)).ok_or("it has no image column with bytes");
        let (class, bytes) = match class {
            Ok(class) => (class, bytes.map_err(str::to_owned)),
            Err(reason) => ("unknown".to_owned(), Err(reason)),
        };
        let place = split.map(|split| format!("{split}/")).unwrap_or_default();
        progress(folders.add(format!("{place}{class}/{stem}:{number}"), bytes));
    }
    Ok(())
}

/// Checks that no column has a dictionary of more values than its page can hold: the crate `parquet` reserves memory for as
/// many as a damaged header says.
fn check_dictionaries(reader: &SerializedFileReader<Chunks>) -> Result<(), ParquetError> {
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        for column in 0..group.num_columns() {
            let mut pages = group.get_column_page_reader(column)?;
            // A dictionary is the first page.
            if !pages.peek_next_page()?.is_some_and(|page| page.is_dict) {
                continue;
            }
            if let Some(Page::DictionaryPage { buf, num_values, .. }) = pages.get_next_page()?
                && num_values as usize > 8 * buf.len()
            {
                let reason = format!("a dictionary of {} bytes cannot have {num_values} values", buf.len());
                return Err(ParquetError::General(reason));
            }
        }
    }
    Ok(())
}

/// A file whose end is an error. The crate `parquet` skips a list in a damaged page header item by item, also after
/// the end of the file, which takes hours; and it reserves the memory for a damaged length.
struct Chunks(File);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Chunks {
    type T = Whole<<File as ChunkReader>::T>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.0.get_read(start).map(Whole)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.saturating_add(length as u64) > self.len() {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} are not in the file")));
        }
        self.0.get_bytes(start, length)
    }
}

/// A reader that fails at its end.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// An image file in a column of bytes, or in the `bytes` of a struct.
fn bytes_of(field: &Field) -> Option<Vec<u8>> {
    match field {
        Field::Bytes(bytes) => Some(bytes.data().to_vec()),
        Field::Group(group) => group.get_column_iter().find_map(|(name, field)| match field {
            Field::Bytes(bytes) if name == "bytes" => Some(bytes.data().to_vec()),
            _ => None,
        }),
        _ => None,
    }
}

fn class_of(row: &Row, column: usize, names: &Option<Vec<String>>) -> Result<String, String> {
    let field = row.get_column_iter().nth(column).map(|(_, field)| field);
    let id = match field {
        Some(Field::Str(name)) if !name.trim().is_empty() => return Ok(name.trim().replace('/', "-")),
        Some(Field::Byte(id)) => i64::from(*id),
        Some(Field::Short(id)) => i64::from(*id),
        Some(Field::Int(id)) => i64::from(*id),
        Some(Field::Long(id)) => *id,
        Some(Field::UByte(id)) => i64::from(*id),
        Some(Field::UShort(id)) => i64::from(*id),
        Some(Field::UInt(id)) => i64::from(*id),
        other => return Err(format!("its label is {}", other.map_or("missing".into(), ToString::to_string))),
    };
    match names {
        None => Ok(id.to_string()),
        Some(names) => {
            let name = usize::try_from(id).ok().and_then(|id| names.get(id));
            name.cloned().ok_or_else(|| format!("its label is {id}, expected 0 to {}", names.len() - 1))
        }
    }
}

/// Class names for the ids in a label column: from Hugging Face's metadata, or FER2013's where the
/// column is named `emotion`.
fn class_names(reader: &impl FileReader, column: &str) -> Option<Vec<String>> {
    let metadata = reader.metadata().file_metadata().key_value_metadata();
    let entry = metadata.into_iter().flatten().find(|entry| entry.key == "huggingface");
    let document: Option<Value> = entry.and_then(|entry| serde_json::from_str(entry.value.as_deref()?).ok());
    let listed = document.and_then(|document| {
        let names = document.get("info")?.get("features")?.get(column)?.get("names")?.as_array()?.clone();
        names.iter().map(|name| Some(name.as_str()?.replace('/', "-"))).collect::<Option<Vec<_>>>()
    });
    listed
        .filter(|names| !names.is_empty())
        .or_else(|| column.eq_ignore_ascii_case("emotion").then(|| FER2013_CLASSES.map(str::to_owned).to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_that_its_page_cannot_hold_is_an_error() {
        // Its header states 2.5 · 10⁸ values of 8 bytes.
        let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/parquet/dictionary");
        if !seed.exists() {
            return eprintln!("SKIPPED: {} is missing outside of the repository", seed.display());
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("train.parquet");
        std::fs::copy(seed, &file).unwrap();
        let spec = ImageSpec::of_input([8, 8, 1]);
        match open(&file, spec, &|_| {}) {
            Err(error) => assert!(error.to_string().contains("a dictionary of"), "{error}"),
            Ok(_) => panic!("the file was read"),
        }
    }
}
