//! Writes the table of [`super::table`] as Parquet.

use super::table::TableRow;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

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
/// When the Parquet writer fails.
pub fn to_parquet(rows: &[TableRow]) -> Result<Vec<u8>, ParquetTableError> {
    Ok(write(rows)?)
}

/// An error of the Parquet writer.
#[derive(Debug, thiserror::Error)]
#[error("the table cannot be written as Parquet: {0}")]
pub struct ParquetTableError(#[from] ParquetError);

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
