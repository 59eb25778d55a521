//! Depthwise convolution: one filter for each channel. Kernels are `[height, width, channels]`.
//!
//! It is computed directly, since no products are shared; convolutions that sum over channels are
//! in `convolution`. The usual kernel, 3 × 3 with stride 1, has a loop of its own that keeps the
//! kernel in registers and reads every input once for several outputs.

use super::epilogue::Epilogue;
use super::isa::{self, load, store};
use super::reduce;
use super::window::Window;
use crate::buffer::Buffer;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Outputs that the loop for 3 × 3 kernels computes together.
const TOGETHER: usize = 4;

/// `y = epilogue(x ∗ kernel)`; `x` `[N, H, W, C]`, `y` `[N, OH, OW, C]`.
pub fn forward(window: &Window, x: &[f32], kernel: &[f32], epilogue: &Epilogue<'_>, y: &mut [f32]) {
    let channels = window.input.channels;
    // One line of the output is one task, so that a single image uses all threads.
    let line = window.output[1] * channels;
    y.par_chunks_mut(line).enumerate().for_each(|(task, y)| {
        let (image, row) = (task / window.output[0], task % window.output[0]);
        let x = &x[image * window.input.len()..][..window.input.len()];
        if window.size == [3, 3] && window.strides == [1, 1] {
            isa::dispatch(Line { window, x, kernel, row, y });
            return epilogue.finish(y, task * window.output[1], channels);
        }
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

/// One line of the output of a 3 × 3 kernel with stride 1.
struct Line<'a> {
    window: &'a Window,
    /// One image.
    x: &'a [f32],
    kernel: &'a [f32],
    row: usize,
    y: &'a mut [f32],
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.window.covered(0, self.row).2 {
            0 => self.y.fill(0.0),
            1 => self.rows::<S, 1>(simd),
            2 => self.rows::<S, 2>(simd),
            _ => self.rows::<S, 3>(simd),
        }
    }
}

impl Line<'_> {
    /// The line, where `ROWS` rows of the kernel are inside the map.
    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize>(self, simd: S) {
        let Self { window, x, kernel, row, y } = self;
        let (width, channels, left) = (window.input.width, window.input.channels, window.before[1]);
        let (top, skipped, _) = window.covered(0, row);
        let line = width * channels;
        let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &x[(top + r) * line..][..line]);
        let columns = y.len() / channels;
        // Outputs whose three columns are all inside the map.
        let inside = left.min(columns)..(width + left).saturating_sub(2).clamp(left.min(columns), columns);
        for first in (0..channels).step_by(S::F32_LANES) {
            let end = channels.min(first + S::F32_LANES);
            let mut taps = [[simd.splat_f32s(0.0); 3]; ROWS];
            for (r, taps) in taps.iter_mut().enumerate() {
                for (c, tap) in taps.iter_mut().enumerate() {
                    let at = ((skipped + r) * 3 + c) * channels;
                    *tap = load(simd, &kernel[at + first..at + end]);
                }
            }
            let mut column = 0;
            while column < columns {
                if inside.contains(&column) && column + TOGETHER <= inside.end {
                    let begin = (column - left) * channels + first;
                    let mut sums = [simd.splat_f32s(0.0); TOGETHER];
                    for (row, taps) in rows.iter().zip(&taps) {
                        let part = &row[begin..begin + (TOGETHER + 1) * channels + (end - first)];
                        let mut values = [simd.splat_f32s(0.0); TOGETHER + 2];
                        for (i, value) in values.iter_mut().enumerate() {
                            *value = load(simd, &part[i * channels..i * channels + (end - first)]);
                        }
                        for (i, sum) in sums.iter_mut().enumerate() {
                            for (value, tap) in values[i..i + 3].iter().zip(taps) {
                                *sum = simd.mul_add_e_f32s(*value, *tap, *sum);
                            }
                        }
                    }
                    for (i, sum) in sums.into_iter().enumerate() {
                        let at = (column + i) * channels;
                        store(simd, &mut y[at + first..at + end], sum);
                    }
                    column += TOGETHER;
                    continue;
                }
                let (start, unused, count) = window.covered(1, column);
                let mut sum = simd.splat_f32s(0.0);
                for (row, taps) in rows.iter().zip(&taps) {
                    for (c, tap) in taps[unused..unused + count].iter().enumerate() {
                        let at = (start + c) * channels;
                        sum = simd.mul_add_e_f32s(load(simd, &row[at + first..at + end]), *tap, sum);
                    }
                }
                store(simd, &mut y[column * channels + first..column * channels + end], sum);
                column += 1;
            }
        }
    }
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
    let partial = scratch.grown(parts * dkernel.len());
    let images = x.par_chunks(chunk * input).zip(dy.par_chunks(chunk * output));
    partial.par_chunks_mut(dkernel.len()).zip(images).for_each(|(sums, (x, dy))| {
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
    reduce::add_up(partial, dkernel);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::Activation;
    use crate::kernels::window::Padding;
    use crate::random::Stream;
    use crate::tensor::Shape;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_3_x_3_kernel_is_a_direct_f64_sum(
            height in 1usize..9, width in 1usize..20, channels in 1usize..40, zeros in 0usize..3, key: u64,
        ) {
            let input = Shape::new(height.max(3), width.max(3), channels);
            let padding = if zeros == 0 { Padding::Valid } else { Padding::Each(zeros) };
            let window = Window::new(input, [3, 3], [1, 1], padding).unwrap();
            let mut stream = Stream::new(key);
            let mut values = |n: usize| (0..n).map(|_| stream.between(-1.0, 1.0)).collect::<Vec<f32>>();
            let (x, kernel, bias) = (values(2 * input.len()), values(9 * channels), values(channels));
            let mut y = vec![f32::NAN; 2 * window.positions() * channels];
            let epilogue = Epilogue { bias: Some(&bias), add: None, activation: Activation::Linear };
            forward(&window, &x, &kernel, &epilogue, &mut y);
            for (at, y) in y.iter().enumerate() {
                let (position, channel) = (at / channels, at % channels);
                let image = position / window.positions() * input.len();
                let mut sum = f64::from(bias[channel]);
                for_taps(&window, position % window.positions(), |tap, place| {
                    let x = x[image + place * channels + channel];
                    sum += f64::from(x) * f64::from(kernel[tap * channels + channel]);
                });
                prop_assert!((f64::from(*y) - sum).abs() < 1e-5, "{y}, expected {sum}");
            }
        }
    }
}
