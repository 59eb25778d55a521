//! Depthwise convolution: one filter for each channel. Kernels are `[height, width, channels]`.
//!
//! It is computed directly, since no products are shared; convolutions that sum over channels are
//! in `convolution`.

use super::epilogue::Epilogue;
use super::window::Window;
use super::{isa, reduce};
use crate::tensor::Buffer;
use rayon::prelude::*;

/// `y = epilogue(x ∗ kernel)`; `x` `[N, H, W, C]`, `y` `[N, OH, OW, C]`.
pub fn forward(window: &Window, x: &[f32], kernel: &[f32], epilogue: &Epilogue<'_>, y: &mut [f32]) {
    let channels = window.input.channels;
    // One line of the output is one task, so that a single image uses all threads.
    let line = window.output[1] * channels;
    y.par_chunks_mut(line).enumerate().for_each(|(task, y)| {
        let (image, row) = (task / window.output[0], task % window.output[0]);
        let x = &x[image * window.input.len()..][..window.input.len()];
        isa::dispatch(
            #[inline(always)]
            || {
                for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                    y.fill(0.0);
                    for_taps(window, row * window.output[1] + column, |tap, at| {
                        let kernel = &kernel[tap * channels..][..channels];
                        let x = &x[at * channels..][..channels];
                        y.iter_mut().zip(x).zip(kernel).for_each(|((y, x), w)| *y += x * w);
                    });
                }
            },
        );
        epilogue.finish(y, task * window.output[1], channels);
    });
}

/// Computes `dx` from `dy`; overwrites `dx`.
pub fn backward_input(window: &Window, dy: &[f32], kernel: &[f32], dx: &mut [f32]) {
    let channels = window.input.channels;
    dx.par_chunks_mut(window.input.len()).zip(dy.par_chunks(window.positions() * channels)).for_each(|(dx, dy)| {
        isa::dispatch(
            #[inline(always)]
            || {
                dx.fill(0.0);
                for (position, dy) in dy.chunks_exact(channels).enumerate() {
                    for_taps(window, position, |tap, at| {
                        let kernel = &kernel[tap * channels..][..channels];
                        let dx = &mut dx[at * channels..][..channels];
                        dx.iter_mut().zip(dy).zip(kernel).for_each(|((dx, g), w)| *dx += g * w);
                    });
                }
            },
        );
    });
}

/// Computes the kernel's gradient from `x` and `dy`; overwrites `dkernel`. Images are summed in at
/// most [`reduce::CHUNKS`] chunks, which are added in order.
pub fn backward_kernel(window: &Window, x: &[f32], dy: &[f32], scratch: &mut Buffer, dkernel: &mut [f32]) {
    let channels = window.input.channels;
    let (input, output) = (window.input.len(), window.positions() * channels);
    let chunk = reduce::chunk_rows(dy.len() / output);
    let parts = (dy.len() / output).div_ceil(chunk);
    let len = parts * dkernel.len();
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    let images = x.par_chunks(chunk * input).zip(dy.par_chunks(chunk * output));
    scratch[..len].par_chunks_mut(dkernel.len()).zip(images).for_each(|(sums, (x, dy))| {
        isa::dispatch(
            #[inline(always)]
            || {
                sums.fill(0.0);
                for (x, dy) in x.chunks_exact(input).zip(dy.chunks_exact(output)) {
                    for (position, dy) in dy.chunks_exact(channels).enumerate() {
                        for_taps(window, position, |tap, at| {
                            let sums = &mut sums[tap * channels..][..channels];
                            let x = &x[at * channels..][..channels];
                            sums.iter_mut().zip(x).zip(dy).for_each(|((sum, x), g)| *sum += x * g);
                        });
                    }
                }
            },
        );
    });
    reduce::add_up(&scratch[..len], dkernel);
}

/// Calls `visit(tap, input position)` for each tap of a window inside the map.
#[inline(always)]
fn for_taps(window: &Window, position: usize, mut visit: impl FnMut(usize, usize)) {
    let (top, skipped_rows, height) = window.covered(0, position / window.output[1]);
    let (left, skipped, width) = window.covered(1, position % window.output[1]);
    for row in 0..height {
        for column in 0..width {
            let tap = (skipped_rows + row) * window.size[1] + skipped + column;
            visit(tap, (top + row) * window.input.width + left + column);
        }
    }
}
