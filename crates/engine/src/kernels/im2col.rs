//! Convolution as matrix products over patches, for any kernel and stride.
//!
//! All output positions of a batch are the rows of one tall matrix. A task takes a number of
//! consecutive rows, gathers their patches into scratch of its thread that fits in the cache, and
//! multiplies. The input's gradient is gathered in the same way, from the output's gradient, so
//! that no two tasks write to the same position. `convolution` selects this algorithm; `gemm`
//! computes the product.

use super::disjoint::SharedMut;
use super::epilogue::Epilogue;
use super::gemm::{self, Destination, Matrix, gemm, gemm_raw};
use super::window::Window;
use super::{isa, reduce};
use crate::buffer::Buffer;
use rayon::prelude::*;
use std::cell::RefCell;

/// Values of scratch that one task gathers, half a MiB, unless that would make
/// fewer than [`FEWEST_ROWS`].
const SCRATCH: usize = 128 * 1024;

/// Minimum rows for which reading the whole of a large kernel is efficient.
const FEWEST_ROWS: usize = 96;

/// Number of tasks for the rows of a single image, so that threads have equal work.
const EVEN_TASKS: usize = 16;

/// Number of tasks below which the filters are divided as well.
const FEW_TASKS: usize = 4;

/// Rows up to which the kernel's gradient of a pointwise convolution is divided
/// by channels rather than by rows.
const FEW_ROWS: usize = 4096;

/// Minimum multiply-adds of a task.
const TASK_MACS: usize = 512 * 1024;

thread_local! {
    static PATCHES: RefCell<[Buffer; 2]> = RefCell::new([Buffer::default(), Buffer::default()]);
}

/// Rows that one task multiplies, from the length of a row's patch.
fn rows_per_task(patch: usize) -> usize {
    (SCRATCH / patch.max(1)).clamp(FEWEST_ROWS, 504) / 12 * 12
}

/// Packs a kernel.
pub fn prepare(window: &Window, filters: usize, kernel: &[f32], prepared: &mut Buffer) {
    let patch = window.patch_len();
    prepared.resize(gemm::packed_len(patch, filters));
    gemm::pack(Matrix::rows(kernel, filters), patch, filters, prepared);
}

/// `y = epilogue(x ∗ kernel)`.
pub fn forward(window: &Window, filters: usize, x: &[f32], prepared: &[f32], epilogue: &Epilogue<'_>, y: &mut [f32]) {
    let patch = window.patch_len();
    let total = y.len() / filters;
    let rows = rows_per_task(patch).min(total.div_ceil(EVEN_TASKS).next_multiple_of(12).max(FEWEST_ROWS));
    let groups = total.div_ceil(rows);
    let width = gemm::panel_width();
    let panels = filters.div_ceil(width);
    // Few rows, as in a dense layer or a single image: the filters are divided too.
    let worth = total * patch * filters / TASK_MACS;
    let parts = FEW_TASKS.div_ceil(groups.max(1)).min(worth).clamp(1, panels);
    if parts == 1 {
        y.par_chunks_mut(rows * filters).enumerate().for_each(|(task, y)| {
            let count = y.len() / filters;
            with_patches(window, x, task * rows, count, |patches| {
                gemm(y, patches, prepared, count, patch, filters, false);
            });
            epilogue.finish(y, task * rows, filters);
        });
        return;
    }
    let columns = panels.div_ceil(parts) * width;
    let shared = SharedMut::new(y);
    (0..groups * filters.div_ceil(columns)).into_par_iter().for_each(|task| {
        let (row, column) = (task % groups * rows, task / groups * columns);
        let (count, columns) = (rows.min(total - row), columns.min(filters - column));
        with_patches(window, x, row, count, |patches| {
            let data = shared.pointer(row * filters + column, (count - 1) * filters + columns);
            let c = Destination { data, row_stride: filters };
            // SAFETY: each task writes its own columns of its own rows.
            #[allow(unsafe_code)]
            unsafe {
                gemm_raw(c, patches, &prepared[column * patch..], count, patch, columns, false);
            }
        });
    });
    epilogue.finish(y, 0, filters);
}

/// Computes `dx` from `dy`, one class of input positions after the other: with stride `s`,
/// positions with the same remainder modulo `s` have the same taps.
pub fn backward_input(
    window: &Window,
    filters: usize,
    dy: &[f32],
    kernel: &[f32],
    turned: &mut Buffer,
    prepared: &mut Buffer,
    dx: &mut [f32],
) {
    let channels = window.input.channels;
    let [down, across] = window.strides;
    let dx = SharedMut::new(dx);
    for class in 0..down * across {
        let rest = [class / across, class % across];
        let places = [0, 1].map(|axis| Places::new(window, axis, rest[axis]));
        let [taps_down, taps_across] = places.map(|places| places.taps);
        let patch = taps_down * taps_across * filters;
        turned.resize(patch * channels);
        for (tap, to) in turned.chunks_exact_mut(filters * channels).enumerate() {
            let row = rest[0] + tap / taps_across.max(1) * down;
            let column = rest[1] + tap % taps_across.max(1) * across;
            let from = &kernel[(row * window.size[1] + column) * channels * filters..][..channels * filters];
            for (c, from) in from.chunks_exact(filters).enumerate() {
                for (f, &value) in from.iter().enumerate() {
                    to[f * channels + c] = value;
                }
            }
        }
        prepared.resize(gemm::packed_len(patch, channels));
        gemm::pack(Matrix::rows(turned, channels), patch, channels, prepared);
        let per_image = places[0].count * places[1].count;
        let total = dy.len() / (window.positions() * filters) * per_image;
        let rows = rows_per_task(patch + channels);
        (0..total.div_ceil(rows)).into_par_iter().for_each(|task| {
            let first = task * rows;
            let count = rows.min(total - first);
            PATCHES.with_borrow_mut(|[patches, products]| {
                let patches = patches.grown(count * patch);
                let products = products.grown(count * channels);
                for (i, row) in patches.chunks_exact_mut(patch.max(1)).enumerate() {
                    gather_gradients(window, filters, &places, dy, first + i, row);
                }
                gemm(products, Matrix::rows(patches, patch), prepared, count, patch, channels, false);
                for (i, row) in products.chunks_exact(channels).enumerate() {
                    let (image, place) = ((first + i) / per_image, (first + i) % per_image);
                    let y = places[0].first + place / places[1].count * down;
                    let x = places[1].first + place % places[1].count * across;
                    let position = (image * window.input.height + y) * window.input.width + x;
                    // SAFETY: every input position belongs to one row of one class.
                    #[allow(unsafe_code)]
                    unsafe { dx.slice(position * channels, channels) }.copy_from_slice(row);
                }
            });
        });
    }
}

/// The input positions along an axis with the taps `rest, rest + stride, …`.
#[derive(Clone, Copy)]
struct Places {
    first: usize,
    count: usize,
    taps: usize,
}

impl Places {
    fn new(window: &Window, axis: usize, rest: usize) -> Self {
        let extent = [window.input.height, window.input.width][axis];
        let stride = window.strides[axis];
        let first = (rest + stride - window.before[axis] % stride) % stride;
        Self {
            first,
            count: extent.saturating_sub(first).div_ceil(stride),
            taps: window.size[axis].saturating_sub(rest).div_ceil(stride),
        }
    }
}

/// For one input position of a class, the output gradients for each of its taps, zeros where there
/// are none.
fn gather_gradients(window: &Window, filters: usize, places: &[Places; 2], dy: &[f32], row: usize, patch: &mut [f32]) {
    let per_image = places[0].count * places[1].count;
    let (image, place) = (row / per_image, row % per_image);
    let image = &dy[image * window.positions() * filters..];
    let at = [place / places[1].count, place % places[1].count];
    // The output for tap 0 of the class; each further tap is one before.
    let nearest = [0, 1].map(|axis| {
        (places[axis].first + at[axis] * window.strides[axis] + window.before[axis]) / window.strides[axis]
    });
    let output = |axis: usize, tap: usize| nearest[axis].checked_sub(tap).filter(|&o| o < window.output[axis]);
    for (tap, to) in patch.chunks_exact_mut(filters).enumerate() {
        match (output(0, tap / places[1].taps), output(1, tap % places[1].taps)) {
            (Some(y), Some(x)) => to.copy_from_slice(&image[(y * window.output[1] + x) * filters..][..filters]),
            _ => to.fill(0.0),
        }
    }
}

/// Computes the kernel's gradient from `x` and `dy`; overwrites `dkernel`.
pub fn backward_kernel(
    window: &Window,
    filters: usize,
    x: &[f32],
    dy: &[f32],
    scratch: &mut Buffer,
    dkernel: &mut [f32],
) {
    let patch = window.patch_len();
    let total = dy.len() / filters;
    if window.is_pointwise() && total <= FEW_ROWS {
        let packed = scratch.grown(gemm::packed_len(total, filters));
        gemm::pack(Matrix::rows(dy, filters), total, filters, packed);
        let inputs = TASK_MACS.div_ceil((total * filters).max(1)).next_multiple_of(12);
        dkernel.par_chunks_mut(inputs * filters).enumerate().for_each(|(task, sums)| {
            let x = Matrix::transposed(&x[task * inputs..], patch);
            gemm(sums, x, packed, sums.len() / filters, total, filters, false);
        });
        return;
    }
    let rows = rows_per_task(patch);
    let chunk = reduce::chunk_rows(total).next_multiple_of(rows);
    let partial = scratch.grown(total.div_ceil(chunk) * dkernel.len());
    partial.par_chunks_mut(dkernel.len()).enumerate().for_each(|(i, sum)| {
        let end = ((i + 1) * chunk).min(total);
        for first in (i * chunk..end).step_by(rows) {
            let count = rows.min(end - first);
            with_patches_and_scratch(window, x, first, count, |patches, packed| {
                let packed = packed.grown(gemm::packed_len(count, filters));
                gemm::pack(Matrix::rows(&dy[first * filters..], filters), count, filters, packed);
                gemm(sum, patches.transpose(), packed, patch, count, filters, first > i * chunk);
            });
        }
    });
    reduce::add_up(partial, dkernel);
}

/// Calls `run` with the patches `[count, patch]` of `count` output positions from `first` on.
pub(super) fn with_patches(window: &Window, x: &[f32], first: usize, count: usize, run: impl FnOnce(Matrix<'_>)) {
    with_patches_and_scratch(window, x, first, count, |patches, _| run(patches));
}

/// Calls `run` with the patches `[count, patch]` of `count` output positions from `first` on, and
/// with another buffer of the thread as scratch.
fn with_patches_and_scratch(
    window: &Window,
    x: &[f32],
    first: usize,
    count: usize,
    run: impl FnOnce(Matrix<'_>, &mut Buffer),
) {
    let patch = window.patch_len();
    PATCHES.with_borrow_mut(|[patches, other]| {
        if window.is_pointwise() {
            return run(Matrix::rows(&x[first * patch..(first + count) * patch], patch), other);
        }
        let patches = patches.grown(count * patch);
        if window.input.channels == 1 {
            isa::dispatch(
                #[inline(always)]
                || gather_lines(window, x, first, count, patches),
            );
            run(Matrix::transposed(patches, count), other);
        } else {
            for (i, row) in patches.chunks_exact_mut(patch).enumerate() {
                gather(window, x, first + i, row);
            }
            run(Matrix::rows(patches, patch), other);
        }
    });
}

/// The patch under one output position, zeros outside the map.
pub(super) fn gather(window: &Window, x: &[f32], row: usize, patch: &mut [f32]) {
    let (image, position) = (row / window.positions(), row % window.positions());
    let (top, skipped_rows, height) = window.covered(0, position / window.output[1]);
    let (left, skipped, width) = window.covered(1, position % window.output[1]);
    let channels = window.input.channels;
    let line = window.size[1] * channels;
    if height < window.size[0] || width < window.size[1] {
        patch.fill(0.0);
    }
    let image = &x[image * window.input.len()..(image + 1) * window.input.len()];
    for k in 0..height {
        let to = (skipped_rows + k) * line + skipped * channels;
        let from = ((top + k) * window.input.width + left) * channels;
        patch[to..to + width * channels].copy_from_slice(&image[from..from + width * channels]);
    }
}

/// The patches of images with one channel, transposed to `[patch, count]`: for
/// each tap a shifted copy of the image's lines.
#[inline(always)]
fn gather_lines(window: &Window, x: &[f32], first: usize, count: usize, patches: &mut [f32]) {
    let (height, width) = (window.input.height, window.input.width);
    let [down, across] = window.strides;
    for (tap, to) in patches.chunks_exact_mut(count).enumerate() {
        let (tap_row, tap_column) = (tap / window.size[1], tap % window.size[1]);
        let mut done = 0;
        while done < count {
            let row = first + done;
            let (image, position) = (row / window.positions(), row % window.positions());
            let (line, start) = (position / window.output[1], position % window.output[1]);
            let run = (window.output[1] - start).min(count - done);
            let to = &mut to[done..done + run];
            done += run;
            let Some(y) = (line * down + tap_row).checked_sub(window.before[0]).filter(|&y| y < height) else {
                to.fill(0.0);
                continue;
            };
            let from = &x[(image * height + y) * width..][..width];
            // Input column of the first output, shifted by the padding on the left.
            let shifted = start * across + tap_column;
            let empty = window.before[1].saturating_sub(shifted).div_ceil(across).min(run);
            let begin = (shifted + empty * across).saturating_sub(window.before[1]);
            let from = from.get(begin..).unwrap_or_default();
            let full = from.len().div_ceil(across).min(run - empty);
            to[..empty].fill(0.0);
            to[empty + full..].fill(0.0);
            let to = &mut to[empty..empty + full];
            if across == 1 {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            } else {
                to.iter_mut().zip(from.iter().step_by(across)).for_each(|(to, from)| *to = *from);
            }
        }
    }
}
