//! The rows of the table that [`super::faces`] writes, as they are read again to resume.

/// A row: a face, or a photo without one.
pub struct Record(csv::StringRecord);

impl Record {
    /// All fields.
    pub fn fields(&self) -> &csv::StringRecord {
        &self.0
    }

    /// Path of the photo.
    pub fn source(&self) -> &str {
        self.0.get(0).unwrap_or_default()
    }

    /// File of the face; empty for a photo without one.
    pub fn file(&self) -> &str {
        self.0.get(1).unwrap_or_default()
    }

    /// Why the photo cannot be read; empty otherwise.
    pub fn error(&self) -> &str {
        self.0.iter().next_back().unwrap_or_default()
    }
}

/// The rows of a table without those of the last photo if they may be incomplete: the photo is cut again. They may be
/// where the last line is incomplete, and where the photo has several faces, whose files are numbered.
pub fn complete(bytes: &[u8]) -> Vec<Record> {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let mut reader = csv::Reader::from_reader(&bytes[..end]);
    let mut rows: Vec<Record> = reader.records().map_while(Result::ok).map(Record).collect();
    let Some(last) = rows.last().map(|row| row.source().to_owned()) else { return rows };
    let of_last = |row: &Record| row.source() == last;
    if end < bytes.len() || rows.iter().any(|row| of_last(row) && row.file().ends_with("-1.png")) {
        rows.retain(|row| !of_last(row));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_may_be_incomplete_are_dropped() {
        let remaining = |text: &str| {
            let rows = complete(format!("source,file,error\na.png,a.png,\n{text}").as_bytes());
            rows.iter().map(|row| row.file().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(remaining("b.png,b.png,\n"), ["a.png", "b.png"]);
        assert_eq!(remaining("b.png,b.png,\nc.png,c.p"), ["a.png"]);
        assert_eq!(remaining("b.png,b-1.png,\n"), ["a.png"]);
        assert_eq!(remaining("b.png,b-1.png,\nb.png,b-2.png,\n"), ["a.png"]);
        assert!(complete(b"").is_empty());
    }
}
