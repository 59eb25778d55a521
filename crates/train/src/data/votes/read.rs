//! Reads a CSV of votes: a column for each class, and a row number or a file name of the image.

use super::protocol::OTHERS;
use crate::data::error::DataError;
use crate::data::image_key::ImageKey;
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The first bytes of a gzip file, and the most that are read of its content.
const GZIP: [u8; 2] = [0x1F, 0x8B];
const MOST_BYTES: u64 = 256 << 20;

/// Columns that are not votes, in lower case.
const ROW: &str = "row";
const NAMES: [&str; 7] = ["image name", "image", "file", "filename", "path", "name", "id"];
const USAGES: [&str; 2] = ["usage", "split"];

/// Votes on images.
#[derive(Clone, Debug, PartialEq)]
pub struct Votes {
    pub(super) path: PathBuf,
    /// The classes, in the order of the columns.
    pub(super) classes: Vec<String>,
    pub(super) rows: Vec<VoteRow>,
}

/// The votes on an image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VoteRow {
    pub image: ImageKey,
    /// The official split of the image, where the file names it.
    pub usage: Option<String>,
    /// Of each class, then `unknown`, then not a face.
    pub counts: Vec<f32>,
}

/// What a column contains.
enum Column {
    Row,
    Name,
    Usage,
    /// Index of its count.
    Votes(usize),
}

/// The class names that are used here for those of other sources, in lower case.
pub(super) fn canonical(name: &str) -> String {
    let name = name.trim().trim_start_matches('\u{feff}').to_lowercase();
    let known = match name.as_str() {
        "anger" => "angry",
        "happiness" => "happy",
        "sadness" => "sad",
        "surprised" => "surprise",
        "fearful" => "fear",
        "disgusted" => "disgust",
        "nf" | "not a face" | "not-a-face" | "not_a_face" | "non-face" => "nf",
        _ => return name,
    };
    known.to_owned()
}

impl Votes {
    /// Reads FER+'s `fer2013new.csv`, or another CSV, compressed with gzip or not, with a column of votes for each class. Its rows
    /// are about the image of the column `row`, of a column with file names (`Image name`, `file`,
    /// `path` …), or in the order of the data set.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a table of votes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let mut text = Vec::new();
        moue::fs::open(path)
            .and_then(|mut file| file.read_to_end(&mut text))
            .map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        if text.starts_with(&GZIP) {
            let mut unpacked = Vec::new();
            let read = GzDecoder::new(&*text).take(MOST_BYTES).read_to_end(&mut unpacked);
            read.map_err(|source| DataError::Read { path: path.to_owned(), source })?;
            text = unpacked;
        }
        Self::parse(path, &text).map_err(|reason| DataError::Votes { path: path.to_owned(), reason })
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, String> {
        let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let (columns, classes) = columns(table.byte_headers().map_err(|error| error.to_string())?)?;
        let mut rows = Vec::new();
        for (position, record) in table.byte_records().enumerate() {
            let record = record.map_err(|error| error.to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            let row = row(&columns, classes.len(), &record, position);
            rows.push(row.map_err(|reason| format!("row {position} (line {line}): {reason}"))?);
        }
        if rows.is_empty() {
            return Err("it has no rows".to_owned());
        }
        Ok(Self { path: path.to_owned(), classes, rows })
    }

    /// The classes that have a column, in its order.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The counts of a row: of each class, then `unknown`, then not a face.
    ///
    /// # Panics
    /// When the row is out of range.
    #[must_use]
    pub fn counts(&self, row: usize) -> &[f32] {
        &self.rows[row].counts
    }
}

/// The content of each column, and the classes.
fn columns(header: &csv::ByteRecord) -> Result<(Vec<Column>, Vec<String>), String> {
    let names: Vec<String> = header.iter().map(|name| canonical(&String::from_utf8_lossy(name))).collect();
    let is_other = |name: &str| {
        name == ROW || NAMES.contains(&name) || USAGES.contains(&name) || name == "unknown" || name == "nf"
    };
    let classes: Vec<String> = names.iter().filter(|name| !is_other(name)).cloned().collect();
    if let Some(number) = names.iter().find(|name| name.is_empty() || name.parse::<f64>().is_ok()) {
        return Err(format!(
            "its first line has a column named `{number}`; it must name the columns, as that of FER+'s fer2013new.csv \
             does: Usage, Image name, neutral, happiness, …"
        ));
    }
    if let Some(twice) = classes.iter().enumerate().find(|(i, class)| classes[..*i].contains(class)) {
        return Err(format!("two of its columns are votes for `{}`", twice.1));
    }
    if classes.len() < 2 {
        return Err(format!("it has columns of votes for {} classes, expected at least two", classes.len()));
    }
    let column = |name: &String| match name.as_str() {
        ROW => Column::Row,
        "unknown" => Column::Votes(classes.len()),
        "nf" => Column::Votes(classes.len() + 1),
        name if NAMES.contains(&name) => Column::Name,
        name if USAGES.contains(&name) => Column::Usage,
        name => Column::Votes(classes.iter().position(|class| class == name).unwrap_or_default()),
    };
    Ok((names.iter().map(column).collect(), classes))
}

fn row(columns: &[Column], classes: usize, record: &csv::ByteRecord, position: usize) -> Result<VoteRow, String> {
    let mut row = VoteRow { image: ImageKey::Row(position), usage: None, counts: vec![0.0; classes + OTHERS] };
    // A row number is preferred to a name.
    let mut numbered = false;
    for (column, field) in columns.iter().zip(record) {
        let text = String::from_utf8_lossy(field);
        match column {
            Column::Row => {
                let number = text.parse().map_err(|_| format!("`row` is `{text}`, expected a number from 0"))?;
                (row.image, numbered) = (ImageKey::Row(number), true);
            }
            Column::Name if numbered || text.is_empty() => {}
            Column::Name => row.image = fer_plus_row(&text).map_or_else(|| ImageKey::Name(text.into()), ImageKey::Row),
            Column::Usage => row.usage = Some(text.into_owned()),
            Column::Votes(index) => {
                let count = text.parse().ok().filter(|count: &f32| (0.0..=1e6).contains(count));
                row.counts[*index] = count.ok_or_else(|| format!("`{text}` is not a number of votes"))?;
            }
        }
    }
    Ok(row)
}

/// The row in FER2013 of one of FER+'s names: `fer0000123.png`.
fn fer_plus_row(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("fer")?.strip_suffix(".png")?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn parsed(text: &str) -> Result<Votes, String> {
        Votes::parse(Path::new("votes.csv"), text.as_bytes())
    }

    #[test]
    fn fer_plus_is_read_by_row() {
        let text =
            "Usage,Image name,neutral,happiness,unknown,NF\nTraining,fer0000007.png,4,6,0,0\nTraining,,0,0,0,10\n";
        let votes = parsed(text).unwrap();
        assert_eq!(votes.classes(), ["neutral", "happy"]);
        assert_eq!(votes.rows[0].image, ImageKey::Row(7));
        // FER+ has no name for an image without a face; its rows are in FER2013's order.
        assert_eq!(votes.rows[1].image, ImageKey::Row(1));
        assert_eq!((votes.counts(0), votes.counts(1)), (&[4.0, 6.0, 0.0, 0.0][..], &[0.0, 0.0, 0.0, 10.0][..]));
        assert_eq!(votes.rows[1].usage.as_deref(), Some("Training"));
    }

    #[test]
    fn rows_and_file_names_identify_images() {
        let by_row = parsed("sad,row,happy\n1,40,2\n").unwrap();
        assert_eq!((&by_row.rows[0].image, by_row.counts(0)), (&ImageKey::Row(40), &[1.0, 2.0, 0.0, 0.0][..]));
        let by_name = parsed("file, calm, proud\na/1.png, 3, 0\n").unwrap();
        assert_eq!(by_name.rows[0].image, ImageKey::Name("a/1.png".into()));
        assert_eq!(by_name.classes(), ["calm", "proud"]);
    }

    #[test]
    fn compressed_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes.csv.gz");
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        file.write_all(b"row,happy,sad\n3,1,2\n").unwrap();
        std::fs::write(&path, file.finish().unwrap()).unwrap();
        assert_eq!(Votes::open(&path).unwrap().rows[0].image, ImageKey::Row(3));
        std::fs::write(&path, GZIP).unwrap();
        assert!(Votes::open(&path).unwrap_err().to_string().starts_with("cannot read "));
    }

    #[test]
    fn other_tables_are_refused_with_the_place() {
        let refused = |text: &str, part: &str| {
            let message = parsed(text).unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        refused("emotion,pixels\n0,1 2 3 4\n", "row 0 (line 2): `1 2 3 4` is not a number of votes");
        refused("row,happy,sad\n0,1,2\nx,1,2\n", "row 1 (line 3): `row` is `x`");
        refused("row,happy,sad\n0,1,-2\n", "`-2` is not a number of votes");
        refused("fer0000000.png,4,0,0,1\n", "it must name the columns");
        refused("row,happy\n0,1\n", "votes for 1 classes");
        refused("row,happy,happiness\n0,1,1\n", "two of its columns are votes for `happy`");
        refused("row,happy,sad\n", "it has no rows");
        refused("row,happy,sad\n0,1\n", "record");
    }
}
