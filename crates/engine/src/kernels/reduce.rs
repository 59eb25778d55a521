//! Sums over the rows of a `[rows, channels]` matrix.
//!
//! Rows are cut into at most [`CHUNKS`] chunks by their number alone, each chunk
//! is summed in f64, and the chunks' sums are added in order: the same bits for
//! any number of threads.

use super::isa;
use rayon::prelude::*;
use std::ops::Range;

/// Most chunks that a sum over rows is cut into.
pub const CHUNKS: usize = 16;

/// Rows in one chunk.
pub fn chunk_rows(rows: usize) -> usize {
    rows.div_ceil(CHUNKS).max(1)
}

/// Sums `width` quantities over all rows into `sums`. `term(rows, sums)` adds a
/// chunk's rows; `partial` is scratch that keeps its memory between calls.
pub fn over_rows<F>(rows: usize, width: usize, partial: &mut Vec<f64>, sums: &mut [f64], term: F)
where
    F: Fn(Range<usize>, &mut [f64]) + Sync,
{
    let chunk = chunk_rows(rows);
    let chunks = rows.div_ceil(chunk);
    partial.clear();
    partial.resize(chunks * width, 0.0);
    partial.par_chunks_mut(width.max(1)).enumerate().for_each(|(i, sums)| {
        term(i * chunk..((i + 1) * chunk).min(rows), sums);
    });
    sums.fill(0.0);
    for part in partial.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
}

/// The sum of equally long parts, in their order.
pub fn add_up(parts: &[f32], sum: &mut [f32]) {
    const TASK: usize = 4096;
    let width = sum.len();
    sum.par_chunks_mut(TASK).enumerate().for_each(|(i, sum)| {
        sum.fill(0.0);
        for part in parts.chunks_exact(width) {
            let part = &part[i * TASK..][..sum.len()];
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    });
}

/// Each column's sum of `dy` `[rows, channels]`: the gradient of a bias.
pub fn sum_rows(dy: &[f32], partial: &mut Vec<f64>, gradient: &mut [f32]) {
    let channels = gradient.len();
    let sums = partial;
    let rows = dy.len() / channels;
    let chunk = chunk_rows(rows);
    sums.clear();
    sums.resize(rows.div_ceil(chunk) * channels, 0.0);
    sums.par_chunks_mut(channels).zip(dy.par_chunks(chunk * channels)).for_each(|(sums, dy)| {
        isa::dispatch(
            #[inline(always)]
            || {
                for row in dy.chunks_exact(channels) {
                    sums.iter_mut().zip(row).for_each(|(sum, &g)| *sum += f64::from(g));
                }
            },
        );
    });
    for (c, gradient) in gradient.iter_mut().enumerate() {
        *gradient = sums.iter().skip(c).step_by(channels).sum::<f64>() as f32;
    }
}
