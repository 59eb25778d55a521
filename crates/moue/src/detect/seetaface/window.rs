//! The window and the picture, used by all stages of the cascade.

/// Side of the window.
pub const WINDOW: usize = 40;

/// Stride of the window in columns and rows.
pub const STEP: usize = 4;

/// A gray picture, row by row.
#[derive(Clone, Copy)]
pub struct Grey<'a> {
    /// Pixels, 0–255.
    pub pixels: &'a [u8],
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}
