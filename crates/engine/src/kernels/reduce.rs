//! Sums over the rows of a `[rows, channels]` matrix.
//!
//! Rows are cut into at most [`CHUNKS`] chunks by their number alone, each chunk
//! is summed in f64, and the chunks' sums are added in order: the same bits for
//! any number of threads.

use rayon::prelude::*;

/// Most chunks that a sum over rows is cut into.
pub const CHUNKS: usize = 16;

/// Rows in one chunk.
pub fn chunk_rows(rows: usize) -> usize {
    rows.div_ceil(CHUNKS).max(1)
}

/// Sums `term(row, sums)` over all rows. `sums` holds `width` numbers; `partial`
/// is scratch that keeps its memory between calls.
pub fn over_rows<F>(rows: usize, width: usize, partial: &mut Vec<f64>, sums: &mut [f64], term: F)
where
    F: Fn(usize, &mut [f64]) + Sync,
{
    let chunk = chunk_rows(rows);
    let chunks = rows.div_ceil(chunk);
    partial.clear();
    partial.resize(chunks * width, 0.0);
    partial.par_chunks_mut(width.max(1)).enumerate().for_each(|(i, sums)| {
        for row in i * chunk..((i + 1) * chunk).min(rows) {
            term(row, sums);
        }
    });
    sums.fill(0.0);
    for part in partial.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
}
