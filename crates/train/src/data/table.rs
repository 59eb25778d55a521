//! A data set as a table, one row for each image, for people who open it in
//! a spreadsheet or a notebook.

use super::dataset::Dataset;
use super::duplicates::near_duplicates;
use base16ct::lower::encode_string as hex;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// An image as a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableRow {
    /// Row number (from 0) or path in the source.
    pub id: String,
    /// Its class.
    pub label: String,
    /// `train`, `validation` or `test`.
    pub split: &'static str,
    /// In the source.
    pub height: u32,
    /// In the source.
    pub width: u32,
    /// Of the pixels, 0–255.
    pub mean: f64,
    /// Standard deviation of the pixels.
    pub deviation: f64,
    /// Start of the SHA-256 over the pixels, in hexadecimal.
    pub hash: String,
    /// Number of the group of near-duplicates it belongs to, from 1.
    pub near_duplicates: Option<u32>,
}

/// Names of the columns.
pub const COLUMNS: [&str; 9] =
    ["id", "label", "split", "height", "width", "mean", "deviation", "hash", "near_duplicates"];

/// A row for each image, in the order of the source.
#[must_use]
pub fn rows(dataset: &Dataset) -> Vec<TableRow> {
    let mut group = vec![None; dataset.len()];
    for (number, members) in (1..).zip(near_duplicates(dataset)) {
        members.into_iter().for_each(|index| group[index] = Some(number));
    }
    let row = |index: usize| {
        let image = dataset.image(index);
        let sum: u64 = image.iter().map(|&value| u64::from(value)).sum();
        let squares: u64 = image.iter().map(|&value| u64::from(value) * u64::from(value)).sum();
        let count = image.len().max(1) as f64;
        let mean = sum as f64 / count;
        let [height, width] = dataset.sizes[index];
        TableRow {
            id: dataset.ids[index].clone(),
            label: dataset.classes[dataset.labels[index] as usize].clone(),
            split: dataset.splits[index].name(),
            height,
            width,
            mean,
            deviation: (squares as f64 / count - mean * mean).max(0.0).sqrt(),
            hash: hex(&Sha256::digest(image)[..8]),
            near_duplicates: group[index],
        }
    };
    (0..dataset.len()).into_par_iter().map(row).collect()
}

/// The table as CSV, with a header.
#[must_use]
pub fn to_csv(rows: &[TableRow]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let _ = writer.write_record(COLUMNS);
    for row in rows {
        let [height, width] = [row.height, row.width].map(|extent| extent.to_string());
        let [mean, deviation] = [row.mean, row.deviation].map(|value| format!("{value:.3}"));
        let group = row.near_duplicates.map(|number| number.to_string()).unwrap_or_default();
        let record =
            [&row.id, &row.label, row.split, &height, &width, &mean, &deviation, row.hash.as_str(), group.as_str()];
        let _ = writer.write_record(record);
    }
    writer.into_inner().unwrap_or_default()
}
