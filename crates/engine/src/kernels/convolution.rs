//! Convolution as matrix products over patches, in its three directions.
//!
//! All output positions of a batch are the rows of one tall matrix. A task takes
//! a fixed number of consecutive rows, gathers their patches (`im2col`) into
//! scratch of its thread that fits in the cache, and multiplies. The input's
//! gradient is gathered in the same way, from the output's gradient, so that no
//! two tasks write to the same place.

use super::gemm::{Matrix, gemm};
use super::reduce;
use super::window::Window;
use crate::Activation;
use crate::tensor::{Buffer, zeros};
use rayon::prelude::*;
use std::cell::RefCell;

/// Values of scratch that one task may gather: 1 MiB, half of a usual L2.
const SCRATCH: usize = 256 * 1024;

thread_local! {
    static PATCHES: RefCell<Buffer> = RefCell::new(zeros(0));
}

/// Rows that one task multiplies, from the length of a row's patch.
fn rows_per_task(patch: usize) -> usize {
    (SCRATCH / patch.max(1)).clamp(16, 512)
}

/// A convolution's geometry with its number of filters. Filters are
/// `[kernel height, kernel width, channels, filters]`.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    pub window: Window,
    pub filters: usize,
}

impl Convolution {
    /// Floating-point multiply-adds for one image.
    pub fn macs(&self) -> usize {
        self.window.positions() * self.window.patch_len() * self.filters
    }

    /// `y = activation(x ∗ kernel + bias)`. `x` is `[N, H, W, C]`, `y`
    /// `[N, OH, OW, F]`.
    pub fn forward(&self, x: &[f32], kernel: &[f32], bias: Option<&[f32]>, activation: Activation, y: &mut [f32]) {
        let (window, filters) = (&self.window, self.filters);
        let patch = window.patch_len();
        let rows = rows_per_task(patch);
        y.par_chunks_mut(rows * filters).enumerate().for_each(|(task, y)| {
            let count = y.len() / filters;
            if let Some(bias) = bias {
                y.chunks_exact_mut(filters).for_each(|row| row.copy_from_slice(bias));
            }
            self.with_patches(x, task * rows, count, |patches| {
                gemm(
                    y,
                    Matrix::rows(patches, patch),
                    Matrix::rows(kernel, filters),
                    count,
                    patch,
                    filters,
                    bias.is_some(),
                );
            });
            activation.apply(y, filters);
        });
    }

    /// `dx` from `dy`; overwrites `dx`. `transposed` is scratch for the filters
    /// with input and output channels exchanged.
    pub fn backward_input(&self, dy: &[f32], kernel: &[f32], transposed: &mut Vec<f32>, dx: &mut [f32]) {
        let (channels, filters) = (self.window.input.channels, self.filters);
        let taps = self.window.size[0] * self.window.size[1];
        transposed.resize(kernel.len(), 0.0);
        for (to, from) in transposed.chunks_exact_mut(channels * filters).zip(kernel.chunks_exact(channels * filters)) {
            for f in 0..filters {
                for c in 0..channels {
                    to[f * channels + c] = from[c * filters + f];
                }
            }
        }
        let patch = taps * filters;
        let rows = rows_per_task(patch);
        dx.par_chunks_mut(rows * channels).enumerate().for_each(|(task, dx)| {
            let count = dx.len() / channels;
            let mut run = |patches: &[f32]| {
                let (a, b) = (Matrix::rows(patches, patch), Matrix::rows(transposed, channels));
                gemm(dx, a, b, count, patch, channels, false);
            };
            if self.window.is_pointwise() {
                let first = task * rows * filters;
                run(&dy[first..first + count * filters]);
            } else {
                with_scratch(count * patch, |patches| {
                    for (i, row) in patches.chunks_exact_mut(patch).enumerate() {
                        self.gather_gradients(dy, task * rows + i, row);
                    }
                    run(patches);
                });
            }
        });
    }

    /// The kernel's gradient from `x` and `dy`; overwrites `dkernel`. `partial`
    /// is scratch for the sums of the chunks.
    pub fn backward_kernel(&self, x: &[f32], dy: &[f32], partial: &mut Vec<f32>, dkernel: &mut [f32]) {
        let (patch, filters) = (self.window.patch_len(), self.filters);
        let total = dy.len() / filters;
        let rows = rows_per_task(patch);
        let chunk = reduce::chunk_rows(total).next_multiple_of(rows);
        let chunks = total.div_ceil(chunk);
        partial.resize(chunks * dkernel.len(), 0.0);
        partial.par_chunks_mut(dkernel.len()).enumerate().for_each(|(i, sum)| {
            let end = ((i + 1) * chunk).min(total);
            for first in (i * chunk..end).step_by(rows) {
                let count = rows.min(end - first);
                self.with_patches(x, first, count, |patches| {
                    let gradients = &dy[first * filters..(first + count) * filters];
                    let (a, b) = (Matrix::transposed(patches, patch), Matrix::rows(gradients, filters));
                    gemm(sum, a, b, patch, count, filters, first > i * chunk);
                });
            }
        });
        let width = dkernel.len();
        dkernel.par_chunks_mut(4096).enumerate().for_each(|(i, out)| {
            out.fill(0.0);
            for part in partial.chunks_exact(width) {
                let part = &part[i * 4096..i * 4096 + out.len()];
                out.iter_mut().zip(part).for_each(|(out, part)| *out += part);
            }
        });
    }

    /// Hands the patches of `count` output positions from `first` on to `run`.
    fn with_patches(&self, x: &[f32], first: usize, count: usize, run: impl FnOnce(&[f32])) {
        let patch = self.window.patch_len();
        if self.window.is_pointwise() {
            run(&x[first * patch..(first + count) * patch]);
        } else {
            with_scratch(count * patch, |patches| {
                for (i, row) in patches.chunks_exact_mut(patch).enumerate() {
                    self.gather(x, first + i, row);
                }
                run(patches);
            });
        }
    }

    /// The patch under one output position, zeros where it leaves the map.
    fn gather(&self, x: &[f32], row: usize, patch: &mut [f32]) {
        let window = &self.window;
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

    /// For one input position, the output gradients that each tap of the kernel
    /// carries to it, zeros where there are none.
    fn gather_gradients(&self, dy: &[f32], row: usize, patch: &mut [f32]) {
        let (window, filters) = (&self.window, self.filters);
        let (image, position) = (row / window.input.positions(), row % window.input.positions());
        let image = &dy[image * window.positions() * filters..];
        let at = [position / window.input.width, position % window.input.width];
        let output = |axis: usize, tap: usize| {
            let offset = (at[axis] + window.before[axis]).checked_sub(tap)?;
            let index = offset / window.strides[axis];
            (offset % window.strides[axis] == 0 && index < window.output[axis]).then_some(index)
        };
        for (tap, to) in patch.chunks_exact_mut(filters).enumerate() {
            match (output(0, tap / window.size[1]), output(1, tap % window.size[1])) {
                (Some(y), Some(x)) => {
                    let from = (y * window.output[1] + x) * filters;
                    to.copy_from_slice(&image[from..from + filters]);
                }
                _ => to.fill(0.0),
            }
        }
    }
}

fn with_scratch(len: usize, run: impl FnOnce(&mut [f32])) {
    PATCHES.with_borrow_mut(|buffer| {
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        run(&mut buffer[..len]);
    });
}
