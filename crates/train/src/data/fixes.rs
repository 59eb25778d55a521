//! Fixes: corrections of labels and images that a person has decided on, as the page of an audit exports them.
//!
//! A CSV with a column `row` or `file`, `action` (`keep`, `relabel` or `drop`) and `label`, the new one. They are
//! applied to a data set in `fixing`.

use super::image_key::ImageKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of the column with file names.
const NAMES: [&str; 5] = ["file", "path", "filename", "image", "id"];

/// What to do with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FixAction {
    /// Its label is correct: nothing is changed.
    Keep,
    /// It gets another label.
    Relabel,
    /// It is removed.
    Drop,
}

/// A fix of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Row or path of the image, as the file has it.
    pub key: String,
    /// What to do.
    pub action: FixAction,
    /// The new label.
    pub label: Option<String>,
}

/// Fixes that were applied to a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedFixes {
    /// SHA-256 of the file.
    pub hash: String,
    /// All fixes, in the order of the file.
    pub fixes: Vec<Fix>,
    /// The fixes of the remaining images, by their id: an index of `fixes`, and the label before.
    pub by_id: BTreeMap<String, (usize, String)>,
    /// Number of images with a new label.
    pub relabeled: usize,
    /// Number of removed images.
    pub dropped: usize,
}

/// The rows of a file of fixes.
///
/// # Errors
/// When it is not a table of fixes.
pub fn parse(bytes: &[u8]) -> Result<Vec<(ImageKey, Fix)>, String> {
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = table.byte_headers().map_err(|error| error.to_string())?;
    let names: Vec<String> = header
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').to_ascii_lowercase())
        .collect();
    let column = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let (row, name) = (column(&["row"]), column(&NAMES));
    let Some(action) = column(&["action"]) else {
        return Err(format!("it has no column `action` (it has {})", names.join(", ")));
    };
    if row.is_none() && name.is_none() {
        return Err(format!("it has no column `row` or `file` (it has {})", names.join(", ")));
    }
    let label = column(&["label"]);
    let mut rows = Vec::new();
    for (number, record) in table.byte_records().enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        let text = |column: Option<usize>| column.and_then(|at| record.get(at)).map(String::from_utf8_lossy);
        let own_row = text(row).filter(|text| !text.is_empty());
        let key = match own_row {
            Some(text) => {
                let row = text.parse().map_err(|_| format!("row {number}: `{text}` is not a row number"))?;
                ImageKey::Row(row)
            }
            None => match text(name).filter(|text| !text.is_empty()) {
                Some(name) => ImageKey::Name(name.into_owned()),
                None => return Err(format!("row {number} names no image")),
            },
        };
        let written = text(Some(action)).unwrap_or_default();
        let action = match written.to_ascii_lowercase().as_str() {
            "keep" => FixAction::Keep,
            "relabel" => FixAction::Relabel,
            "drop" => FixAction::Drop,
            _ => return Err(format!("row {number}: the action `{written}` is not keep, relabel or drop")),
        };
        let label = text(label).filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned);
        if action == FixAction::Relabel && label.is_none() {
            return Err(format!("row {number} relabels {key}, but has no label"));
        }
        let text = match &key {
            ImageKey::Row(row) => row.to_string(),
            ImageKey::Name(name) => name.clone(),
        };
        rows.push((key, Fix { key: text, action, label }));
    }
    Ok(rows)
}
