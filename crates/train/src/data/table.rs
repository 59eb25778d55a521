//! A data set as a table with one row for each image, for spreadsheets and notebooks.

use super::dataset::Dataset;
use super::duplicates::near_duplicates;
use super::statistics::mean_and_deviation;
use crate::csv_rows::{Decimals, csv_rows};
use base16ct::lower::encode_string as hex;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableRow {
    /// Row number (from 0) or path in the source.
    pub id: String,
    /// The image's class.
    pub label: String,
    /// `train`, `validation` or `test`.
    pub split: &'static str,
    /// Height in the source.
    pub height: u32,
    /// Width in the source.
    pub width: u32,
    /// Mean of the pixels, 0–255.
    pub mean: f64,
    /// Standard deviation of the pixels.
    pub deviation: f64,
    /// First digits of the SHA-256 over the pixels, in hexadecimal.
    pub hash: String,
    /// Number of the image's group of near-duplicates, from 1.
    pub near_duplicates: Option<u32>,
}

/// One row for each image, in the order of the source.
#[must_use]
pub fn rows(dataset: &Dataset) -> Vec<TableRow> {
    let mut group = vec![None; dataset.len()];
    for (number, members) in (1..).zip(near_duplicates(dataset)) {
        members.into_iter().for_each(|index| group[index] = Some(number));
    }
    let row = |index: usize| {
        let image = dataset.image(index);
        let (mean, deviation) = mean_and_deviation(image);
        let [height, width] = dataset.sizes[index];
        TableRow {
            id: dataset.ids[index].clone(),
            label: dataset.classes[dataset.labels[index] as usize].clone(),
            split: dataset.splits[index].name(),
            height,
            width,
            mean,
            deviation,
            hash: hex(&Sha256::digest(image)[..8]),
            near_duplicates: group[index],
        }
    };
    (0..dataset.len()).into_par_iter().map(row).collect()
}

/// The table as CSV, with a header.
#[must_use]
pub fn to_csv(rows: &[TableRow]) -> Vec<u8> {
    csv_rows(&rows.iter().map(CsvRow::from).collect::<Vec<_>>())
}

/// A row of the CSV table: one image.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CsvRow<'a> {
    /// Row number (from 0) or path in the source.
    id: &'a str,
    /// The image's class.
    label: &'a str,
    /// `train`, `validation` or `test`.
    split: &'a str,
    /// Height in the source, in pixels.
    height: u32,
    /// Width in the source, in pixels.
    width: u32,
    /// Mean of the pixels, 0–255, with 3 decimals.
    mean: Decimals<3>,
    /// Standard deviation of the pixels, with 3 decimals.
    deviation: Decimals<3>,
    /// First 16 digits of the SHA-256 over the pixels, in hexadecimal.
    hash: &'a str,
    /// Number of the image's group of near-duplicates, from 1; empty for an image without any.
    near_duplicates: Option<u32>,
}

impl<'a> From<&'a TableRow> for CsvRow<'a> {
    fn from(row: &'a TableRow) -> Self {
        Self {
            id: &row.id,
            label: &row.label,
            split: row.split,
            height: row.height,
            width: row.width,
            mean: Decimals(row.mean),
            deviation: Decimals(row.deviation),
            hash: &row.hash,
            near_duplicates: row.near_duplicates,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_csv_format_is_stable() {
        let row = TableRow {
            id: "train/happy/a,b.png".to_owned(),
            label: "happy".to_owned(),
            split: "train",
            height: 48,
            width: 40,
            mean: 127.0,
            deviation: 1.0 / 3.0,
            hash: "00ff".to_owned(),
            near_duplicates: None,
        };
        let other = TableRow { id: "7".to_owned(), near_duplicates: Some(12), ..row.clone() };
        let header = "id,label,split,height,width,mean,deviation,hash,near_duplicates\n";
        let lines = "\"train/happy/a,b.png\",happy,train,48,40,127.000,0.333,00ff,\n\
            7,happy,train,48,40,127.000,0.333,00ff,12\n";
        assert_eq!(String::from_utf8(to_csv(&[row, other])).unwrap(), format!("{header}{lines}"));
        assert_eq!(to_csv(&[]), header.as_bytes());
    }
}
