//! Sums over the rows of a `[rows, channels]` matrix, and over parts of equal length.
//!
//! Rows are divided into at most [`CHUNKS`] chunks, by their number alone; each chunk is summed in
//! f64, and the sums of the chunks are added in order: the result is bit-identical for any number
//! of threads. Layers sum over processes.

use super::element::Element;
use super::isa;
use rayon::prelude::*;
use std::ops::Range;

/// Values per task.
const TASK: usize = 4096;

/// Rows that may be added in f32 before they are added to a sum in f64.
pub const GROUP: usize = 8;

/// Maximum number of chunks of a sum over rows.
pub const CHUNKS: usize = 16;

/// Rows in one chunk.
pub fn chunk_rows(rows: usize) -> usize {
    rows.div_ceil(CHUNKS).max(1)
}

/// Sums `width` quantities over all rows into `sums`. `term(rows, sums)` adds the rows of a chunk,
/// which begin at a multiple of [`GROUP`]; `partial` is scratch that keeps its memory between
/// calls.
pub fn over_rows<F>(rows: usize, width: usize, partial: &mut Vec<f64>, sums: &mut [f64], term: F)
where
    F: Fn(Range<usize>, &mut [f64]) + Sync,
{
    let chunk = chunk_rows(rows).next_multiple_of(GROUP);
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

/// The sum of parts of equal length, in their order, rounded once.
pub fn add_up(parts: &[f32], sum: &mut [f32]) {
    /// Sums that stay in registers.
    const LANES: usize = 32;
    let width = sum.len();
    sum.par_chunks_mut(TASK).enumerate().for_each(|(i, sum)| {
        isa::dispatch(
            #[inline(always)]
            || {
                for (j, sum) in sum.chunks_mut(LANES).enumerate() {
                    let mut lanes = [0.0f64; LANES];
                    for part in parts.chunks_exact(width) {
                        let part = &part[i * TASK + j * LANES..][..sum.len()];
                        lanes.iter_mut().zip(part).for_each(|(lane, &part)| *lane += f64::from(part));
                    }
                    sum.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum = lane as f32);
                }
            },
        );
    });
}

/// Adds parts of equal length to sums, in their order.
pub fn add_to(parts: &[f32], sums: &mut [f64]) {
    let width = sums.len();
    sums.par_chunks_mut(TASK).enumerate().for_each(|(i, sums)| {
        isa::dispatch(
            #[inline(always)]
            || {
                for part in parts.chunks_exact(width) {
                    let part = &part[i * TASK..][..sums.len()];
                    sums.iter_mut().zip(part).for_each(|(sum, &part)| *sum += f64::from(part));
                }
            },
        );
    });
}

/// The sums rounded to f32.
pub fn round(sums: &[f64], rounded: &mut [f32]) {
    rounded.par_chunks_mut(TASK).zip(sums.par_chunks(TASK)).for_each(|(rounded, sums)| {
        rounded.iter_mut().zip(sums).for_each(|(rounded, &sum)| *rounded = sum as f32);
    });
}

/// The sum of each column of `dy` `[rows, channels]`: the gradient of a bias.
pub fn sum_rows<E: Element>(dy: &[E], channels: usize, partial: &mut Vec<f64>, sums: &mut Vec<f64>) {
    sums.resize(channels, 0.0);
    over_rows(dy.len() / channels, channels, partial, sums, |rows, sums| {
        let dy = &dy[rows.start * channels..rows.end * channels];
        isa::dispatch(
            #[inline(always)]
            || {
                for row in dy.chunks_exact(channels) {
                    sums.iter_mut().zip(row).for_each(|(sum, g)| *sum += f64::from(g.widen()));
                }
            },
        );
    });
}
