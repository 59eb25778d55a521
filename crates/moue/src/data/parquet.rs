//! Data sets and tables as Parquet files.
//!
//! Read: files with an image column (a struct with `bytes`, as Hugging Face
//! writes it, or bytes alone) and a label column. Written: the table of
//! [`super::table`].

use super::folders::Folders;
use super::table::TableRow;
use super::{DataError, FER2013_CLASSES, ImageForm, Raw, Split};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names that a label column has.
const LABELS: [&str; 4] = ["label", "labels", "emotion", "class"];

/// The images of a Parquet file or of a folder of them; `None` where there is none.
pub(super) fn open(path: &Path, form: ImageForm, progress: &dyn Fn(usize)) -> Result<Option<Raw>, DataError> {
    let files = files(path)?;
    if files.is_empty() {
        return Ok(None);
    }
    let mut folders = Folders::new(form);
    for file in &files {
        // The crate asserts what a damaged file's metadata breaks; the folders are
        // thrown away with the error.
        let result = catch_unwind(AssertUnwindSafe(|| read(file, &mut folders, progress)));
        result.unwrap_or_else(|_| Err(damaged(file, &"its metadata contradicts itself")))?;
    }
    Ok(Some(folders.finish()))
}

fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| DataError::Read { path: path.to_owned(), source: error.into() })?;
        let named = entry.path().extension().is_some_and(|own| own.eq_ignore_ascii_case("parquet"));
        if named && entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> DataError {
    DataError::Archive { path: path.to_owned(), reason: reason.to_string() }
}

fn read(path: &Path, folders: &mut Folders, progress: &dyn Fn(usize)) -> Result<(), DataError> {
    let file = File::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let reader = SerializedFileReader::new(file).map_err(|error| damaged(path, &error))?;
    let schema = reader.metadata().file_metadata().schema();
    let columns: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let label = columns.iter().position(|name| LABELS.contains(&name.to_ascii_lowercase().as_str()));
    let Some(label) = label else {
        let found = format!("its columns are {}, none of which is called {}", columns.join(", "), LABELS.join(" or "));
        return Err(DataError::Unrecognised { path: path.to_owned(), found });
    };
    let names = class_names(&reader, columns[label]);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    // `train-00000-of-00001.parquet`
    let split = stem.split(['-', '_', '.']).next().filter(|part| Split::from_name(part).is_some());
    let rows = reader.get_row_iter(None).map_err(|error| damaged(path, &error))?;
    for (number, row) in rows.enumerate() {
        let row = row.map_err(|error| damaged(path, &error))?;
        let class = class_of(&row, label, &names);
        let bytes = row.get_column_iter().find_map(|(_, field)| bytes_of(field)).ok_or("it has no image bytes");
        let (class, bytes) = match class {
            Ok(class) => (class, bytes.map_err(str::to_owned)),
            Err(reason) => ("unknown".to_owned(), Err(reason)),
        };
        let place = split.map(|split| format!("{split}/")).unwrap_or_default();
        progress(folders.add(format!("{place}{class}/{stem}:{number}"), bytes));
    }
    Ok(())
}

/// An image file inside a column, or inside the `bytes` of a struct.
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

/// What the numbers in a label column mean: from Hugging Face's metadata, or
/// FER2013's ids where the column is called `emotion`.
fn class_names(reader: &SerializedFileReader<File>, column: &str) -> Option<Vec<String>> {
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

const SCHEMA: &str = "message table {
  REQUIRED BYTE_ARRAY id (UTF8);
  REQUIRED BYTE_ARRAY label (UTF8);
  REQUIRED BYTE_ARRAY split (UTF8);
  REQUIRED INT32 height;
  REQUIRED INT32 width;
  REQUIRED DOUBLE mean;
  REQUIRED DOUBLE deviation;
  REQUIRED BYTE_ARRAY hash (UTF8);
  OPTIONAL INT32 near_duplicates;
}";

/// The table as a Parquet file.
///
/// # Errors
/// A text, should the writer refuse.
pub fn to_parquet(rows: &[TableRow]) -> Result<Vec<u8>, String> {
    write(rows).map_err(|error| error.to_string())
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn write(rows: &[TableRow]) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    texts(&mut group, rows, |row| &row.id)?;
    texts(&mut group, rows, |row| &row.label)?;
    texts(&mut group, rows, |row| row.split)?;
    integers(&mut group, rows, |row| row.height)?;
    integers(&mut group, rows, |row| row.width)?;
    doubles(&mut group, rows, |row| row.mean)?;
    doubles(&mut group, rows, |row| row.deviation)?;
    texts(&mut group, rows, |row| &row.hash)?;
    let present: Vec<i16> = rows.iter().map(|row| i16::from(row.near_duplicates.is_some())).collect();
    let groups: Vec<i32> = rows.iter().filter_map(|row| row.near_duplicates).map(|number| number as i32).collect();
    if let Some(mut column) = group.next_column()? {
        column.typed::<Int32Type>().write_batch(&groups, Some(&present), None)?;
        column.close()?;
    }
    group.close()?;
    writer.into_inner()
}

fn texts(group: &mut Group<'_>, rows: &[TableRow], of: impl Fn(&TableRow) -> &str) -> Result<(), ParquetError> {
    let values: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(of(row))).collect();
    if let Some(mut column) = group.next_column()? {
        column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        column.close()?;
    }
    Ok(())
}

fn integers(group: &mut Group<'_>, rows: &[TableRow], of: impl Fn(&TableRow) -> u32) -> Result<(), ParquetError> {
    let values: Vec<i32> = rows.iter().map(|row| of(row) as i32).collect();
    if let Some(mut column) = group.next_column()? {
        column.typed::<Int32Type>().write_batch(&values, None, None)?;
        column.close()?;
    }
    Ok(())
}

fn doubles(group: &mut Group<'_>, rows: &[TableRow], of: impl Fn(&TableRow) -> f64) -> Result<(), ParquetError> {
    let values: Vec<f64> = rows.iter().map(of).collect();
    if let Some(mut column) = group.next_column()? {
        column.typed::<DoubleType>().write_batch(&values, None, None)?;
        column.close()?;
    }
    Ok(())
}
