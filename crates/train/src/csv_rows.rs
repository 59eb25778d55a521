//! Serializes rows as CSV.

use serde::{Serialize, Serializer};

/// Rows under a header of their fields' names; the header is written without rows too.
pub fn csv_rows<R: Serialize + Default>(rows: &[R]) -> Vec<u8> {
    if rows.is_empty() {
        // The writer derives the header from the first row.
        let mut text = csv_rows(&[R::default()]);
        text.truncate(text.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1));
        return text;
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // Writing plain fields to memory cannot fail.
        let _ = writer.serialize(row);
    }
    writer.into_inner().unwrap_or_default()
}

/// A number with a fixed number of decimals.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transparent))]
pub struct Decimals<const N: usize>(pub f64);

impl<const N: usize> Serialize for Decimals<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.N$}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Default)]
    struct Row {
        name: String,
        share: Decimals<2>,
        deviation: Option<Decimals<3>>,
    }

    #[test]
    fn the_header_is_written_without_rows() {
        assert_eq!(csv_rows::<Row>(&[]), b"name,share,deviation\n");
        let row = Row { name: "a, b".to_owned(), share: Decimals(1.0), deviation: None };
        let other = Row { name: String::new(), share: Decimals(0.125), deviation: Some(Decimals(f64::NAN)) };
        assert_eq!(csv_rows(&[row, other]), b"name,share,deviation\n\"a, b\",1.00,\n,0.12,NaN\n");
    }
}
