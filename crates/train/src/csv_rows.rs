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
        let text = format!("{:.N$}", self.0);
        // A small negative number is written as 0, too.
        let zero = text.strip_prefix('-').filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0' | b'.')));
        serializer.serialize_str(zero.unwrap_or(&text))
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
    fn a_small_negative_number_has_no_sign() {
        let row = |share| csv_rows(&[Row { share: Decimals(share), ..Row::default() }]);
        assert_eq!((row(-1e-9), row(-0.5)), (row(0.0), b"name,share,deviation\n,-0.50,\n".to_vec()));
    }

    #[test]
    fn the_header_is_written_without_rows() {
        assert_eq!(csv_rows::<Row>(&[]), b"name,share,deviation\n");
        let row = Row { name: "a, b".to_owned(), share: Decimals(1.0), deviation: None };
        let other = Row { name: String::new(), share: Decimals(0.125), deviation: Some(Decimals(f64::NAN)) };
        assert_eq!(csv_rows(&[row, other]), b"name,share,deviation\n\"a, b\",1.00,\n,0.12,NaN\n");
    }
}
