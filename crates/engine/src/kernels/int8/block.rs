//! The operands and the sums of a product of blocks, which `product` describes.

/// Bytes of a row that are multiplied together.
pub const WORD: usize = 4;

/// Columns of a vector.
pub const VECTOR: usize = 16;

/// Vectors of columns in a panel at most.
pub const VECTORS: usize = 4;

/// Columns of a panel at most.
pub const PANEL: usize = VECTORS * VECTOR;

/// Rows of a block at most.
pub const ROWS: usize = 8;

/// Rows of a block, by the number of vectors of columns: as many sums as fit into 32 registers.
pub const fn rows(vectors: usize) -> usize {
    if vectors == VECTORS { 6 } else { ROWS }
}

/// The sums of a block: [`PANEL`] columns for each row.
pub type Sums = [[i32; PANEL]; ROWS];

/// The rows of a block.
pub struct Block<'a> {
    pub bytes: &'a [u8],
    /// First byte of each row.
    pub starts: [usize; ROWS],
    /// Number of runs of a row, and bytes between their starts.
    pub runs: usize,
    pub run_stride: usize,
    /// Words of a run.
    pub run_words: usize,
}

impl Block<'_> {
    /// Whether all rows are inside of the bytes, and the columns as long as the rows.
    pub fn is_inside(&self, vectors: usize, columns: &[i8]) -> bool {
        let reach = (self.runs - 1) * self.run_stride + self.run_words * WORD;
        let rows = &self.starts[..rows(vectors)];
        rows.iter().all(|start| start + reach <= self.bytes.len())
            && columns.len() >= self.runs * self.run_words * WORD * vectors * VECTOR
    }
}
