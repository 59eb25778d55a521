//! FER2013's CSV format: `emotion, pixels, Usage` in any order, one row for each image.

use super::archive;
use crate::data::dataset::{FER2013_CLASSES, ImageSpec, Split};
use crate::data::error::DataError;
use crate::data::raw::Raw;
use moue::image::to_pixels;
use std::io::Read;
use std::path::Path;

/// Maximum bytes of a row: more than a square image of 2048 pixels needs.
const MOST_BYTES: u64 = 16 << 20;

/// Whether a file name has the extension of a CSV table, compressed or not.
fn is_csv(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".csv") || name.ends_with(".txt")
}

/// The source's best CSV table, or `None` when it contains none.
pub fn open(path: &Path, form: ImageSpec, progress: &dyn Fn(usize)) -> Result<Option<Raw>, DataError> {
    let single = path.is_file();
    let mut best: Option<Table> = None;
    let wanted = |name: &str| is_csv(name) || (single && !name.contains('/') && !name.contains('.'));
    archive::for_each(path, &wanted, &mut |name, reader| {
        let reader = match reader {
            Ok(reader) => reader,
            // Other files of a folder of images may be unreadable.
            Err(_) if !single => return Ok(()),
            Err(source) => return Err(DataError::Read { path: path.join(name), source }),
        };
        if let Some(table) = read(path, reader, form, progress)? {
            // A table with splits is preferred.
            if best.as_ref().is_none_or(|best| table.has_usage && !best.has_usage) {
                best = Some(table);
            }
        }
        Ok(())
    })?;
    Ok(best.map(|table| table.raw))
}

struct Table {
    has_usage: bool,
    raw: Raw,
}

struct Columns {
    emotion: usize,
    pixels: usize,
    usage: Option<usize>,
}

impl Columns {
    fn find(header: &csv::ByteRecord) -> Option<Self> {
        let names: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase()).collect();
        let find =
            |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.trim_start_matches('\u{feff}')));
        Some(Self {
            emotion: find(&["emotion", "label"])?,
            pixels: find(&["pixels"])?,
            usage: find(&["usage", "split"]),
        })
    }
}

fn read(
    path: &Path,
    reader: &mut dyn Read,
    form: ImageSpec,
    progress: &dyn Fn(usize),
) -> Result<Option<Table>, DataError> {
    let damaged = |error: csv::Error| DataError::Archive { path: path.to_owned(), reason: error.to_string() };
    let mut rows =
        csv::ReaderBuilder::new().flexible(true).buffer_capacity(1 << 18).from_reader(reader.take(MOST_BYTES));
    let Ok(header) = rows.byte_headers() else { return Ok(None) };
    let Some(columns) = Columns::find(header) else { return Ok(None) };
    let mut table = Rows { form, size: None, names: Vec::new(), raw: Raw::empty(form.channels) };
    let mut record = csv::ByteRecord::new();
    let mut row = 0;
    loop {
        // An archive of a few megabytes may contain a row of gigabytes.
        rows.get_mut().set_limit(MOST_BYTES);
        let is_row = rows.read_byte_record(&mut record).map_err(damaged)?;
        if rows.get_ref().limit() == 0 {
            let reason = format!("row {row} is longer than {} MB", MOST_BYTES >> 20);
            return Err(DataError::Archive { path: path.to_owned(), reason });
        }
        if !is_row {
            break;
        }
        let line = record.position().map_or(0, csv::Position::line);
        if let Err(reason) = table.add(&columns, &record, row) {
            table.raw.broken.add(|| format!("row {row} (line {line}): {reason}"));
        }
        row += 1;
        if row % 1024 == 0 {
            progress(row);
        }
    }
    Ok(Some(Table { has_usage: columns.usage.is_some(), raw: table.finish() }))
}

struct Rows {
    form: ImageSpec,
    /// Side of the images, set by the first valid row.
    size: Option<usize>,
    /// Classes in order of first occurrence.
    names: Vec<String>,
    raw: Raw,
}

impl Rows {
    fn add(&mut self, columns: &Columns, record: &csv::ByteRecord, row: usize) -> Result<(), String> {
        let field =
            |index: usize, name: &str| record.get(index).ok_or_else(|| format!("the field `{name}` is missing"));
        let class = class_name(field(columns.emotion, "emotion")?)?;
        let (split, usage) = match columns.usage {
            None => (None, None),
            Some(index) => {
                let usage = String::from_utf8_lossy(field(index, "Usage")?).trim().to_owned();
                let split = Split::from_name(&usage).ok_or_else(|| {
                    format!("Usage is `{}`, expected Training, PublicTest or PrivateTest", shorten(&usage))
                })?;
                (Some(split), Some(usage))
            }
        };
        let pixels = parse_pixels(field(columns.pixels, "pixels")?)?;
        let side = pixels.len().isqrt();
        if side == 0 || side * side != pixels.len() {
            return Err(format!("{} pixel values are not a square image (48x48 has 2304)", pixels.len()));
        }
        if side != *self.size.get_or_insert(side) {
            let expected = self.size.unwrap_or(side).pow(2);
            return Err(format!("{} pixel values, but the previous rows have {expected}", pixels.len()));
        }
        let label = Raw::label_of(&mut self.names, &class);
        let size = self.form.size.unwrap_or([side, side]);
        self.raw.size = size;
        self.push_pixels(&pixels, side, size);
        self.raw.labels.push(label);
        self.raw.splits.push(split);
        self.raw.ids.push(row.to_string());
        self.raw.sizes.push([side as u32; 2]);
        if let (Some(split), Some(usage)) = (split, usage) {
            self.raw.split_names[split as usize].get_or_insert(usage);
        }
        Ok(())
    }

    fn push_pixels(&mut self, pixels: &[u8], side: usize, size: [usize; 2]) {
        if size == [side, side] {
            for &value in pixels {
                self.raw.pixels.extend(std::iter::repeat_n(value, self.raw.channels));
            }
            return;
        }
        let side = side as u32;
        if let Some(image) = image::GrayImage::from_raw(side, side, pixels.to_vec()) {
            self.raw.pixels.extend(to_pixels(&image.into(), size, self.raw.channels));
        }
    }

    fn finish(mut self) -> Raw {
        self.raw.sort_classes(&self.names);
        self.raw
    }
}

/// A FER2013 id (0–6), or a class name.
fn class_name(field: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(field).trim().to_owned();
    if let Ok(id) = text.parse::<usize>() {
        let name = FER2013_CLASSES.get(id).ok_or_else(|| format!("emotion is {id}, expected 0 to 6"))?;
        return Ok((*name).to_owned());
    }
    let plausible = !text.is_empty() && text.len() <= 40 && !text.bytes().next().is_some_and(|b| b.is_ascii_digit());
    if plausible { Ok(text) } else { Err(format!("emotion is `{}`, expected 0 to 6 or a class name", shorten(&text))) }
}

/// Whole numbers from 0 to 255, separated by white space.
fn parse_pixels(field: &[u8]) -> Result<Vec<u8>, String> {
    field
        .split(u8::is_ascii_whitespace)
        .filter(|token| !token.is_empty())
        .enumerate()
        .map(|(i, token)| {
            let add = |value: u32, digit: &u8| digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0'));
            let value = if token.len() <= 3 { token.iter().try_fold(0, add) } else { None };
            value.and_then(|value| u8::try_from(value).ok()).ok_or_else(|| {
                format!("pixel {i} is `{}`, expected 0 to 255", shorten(&String::from_utf8_lossy(token)))
            })
        })
        .collect()
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 20 { text.to_owned() } else { text.chars().take(20).chain(['…']).collect() }
}
