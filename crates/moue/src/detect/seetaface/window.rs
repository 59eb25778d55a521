//! What all stages of the cascade look at.

/// Side of the window that everything is judged in.
pub const WINDOW: usize = 40;

/// Columns and rows from one window to the next.
pub const STEP: usize = 4;

/// A grey picture, row by row.
#[derive(Clone, Copy)]
pub struct Grey<'a> {
    /// 0–255.
    pub pixels: &'a [u8],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}
