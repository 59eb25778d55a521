//! Plain-text tables: columns two spaces apart, without borders.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// A table whose first column is flush left and whose others are flush right.
pub fn table(rows: &[Vec<String>]) -> String {
    aligned(rows, |column| column == 0)
}

/// A table whose first and last columns are flush left and whose others are flush right.
pub fn table_with_text(rows: &[Vec<String>]) -> String {
    let last = rows.iter().map(Vec::len).max().unwrap_or(0).saturating_sub(1);
    aligned(rows, |column| column == 0 || column == last)
}

fn aligned(rows: &[Vec<String>], is_left: impl Fn(usize) -> bool) -> String {
    let mut table = Table::new();
    // Widths come from the cells alone, not from the terminal: output for a file or a pipe is the same.
    table.load_style(NOTHING).add_rows(rows);
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if number == 0 { 0 } else { 2 }, 0));
        column.set_cell_alignment(if is_left(number) { CellAlignment::Left } else { CellAlignment::Right });
    }
    // An empty table has no line.
    table.trim_fmt().lines().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn columns_line_up_without_trailing_spaces() {
        let cells = rows(&[&["", "train", "test"], &["  sad", "1", ""], &["happy", "1,024"], &["all"]]);
        assert_eq!(table(&cells), "       train  test\n  sad      1\nhappy  1,024\nall\n");
        assert_eq!(table(&[]), "");
    }

    /// Two columns of a terminal for each Chinese character, none for a combining accent.
    #[test]
    fn wide_characters_count_as_they_are_shown() {
        let cells = rows(&[&["高兴", "1"], &["sad", "23"], &["e\u{301}", "4"]]);
        assert_eq!(table(&cells), "高兴   1\nsad   23\ne\u{301}      4\n");
    }

    #[test]
    fn text_stays_flush_left() {
        let cells = rows(&[&["preset", "size", ""], &["small", "9", "Six convolutions."], &["a", "10", "█"]]);
        assert_eq!(table_with_text(&cells), "preset  size\nsmall      9  Six convolutions.\na         10  █\n");
    }
}
