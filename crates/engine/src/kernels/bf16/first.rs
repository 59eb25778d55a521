//! The first convolution of a network: its input is f32 with few channels, its output bf16.
//!
//! Sums are short, so that writing outputs in f32 would take as long as the products. Products are f32.

use crate::buffer::Buffer;
use crate::communicator::GRAIN;
use crate::kernels::activation::Activation;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::element::{Bf16, Element};
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::LANES;
use crate::kernels::isa::{self, load, store};
use crate::kernels::window::Window;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// Maximum number of channels.
const MOST: usize = 4;

/// Filters that weights are padded to: two vectors.
const COLUMNS: usize = 2 * LANES;

/// Taps whose gradients are in registers at a time.
const TAPS: usize = 9;

/// Rows of positions whose gradients are a partial sum.
const ROWS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Buffer> = RefCell::default();
}

/// Whether a convolution is computed here when its input is f32 and its output bf16.
pub fn applies(window: &Window) -> bool {
    window.input.channels <= MOST
}

/// Prepares a kernel `[height, width, channels, filters]` for [`forward`]: pads the filters with zeros.
pub fn prepare(filters: usize, kernel: &[f32], prepared: &mut Buffer) {
    let padded = filters.next_multiple_of(COLUMNS);
    prepared.resize(kernel.len() / filters * padded);
    for (to, from) in prepared.chunks_exact_mut(padded).zip(kernel.chunks_exact(filters)) {
        let (values, padding) = to.split_at_mut(filters);
        values.copy_from_slice(from);
        padding.fill(0.0);
    }
}

/// `y = epilogue(x ∗ kernel)` with a prepared kernel. `x` is `[N, H, W, C]`, `y` `[N, OH, OW, F]`. The epilogue adds no
/// map.
pub fn forward(window: &Window, filters: usize, x: &[f32], prepared: &[f32], epilogue: &Epilogue<'_>, y: &mut [Bf16]) {
    let images = x.len() / window.input.len();
    let bands = bands(window);
    let mut bias = vec![0.0; filters.next_multiple_of(COLUMNS)];
    if let Some(values) = epilogue.bias {
        bias[..filters].copy_from_slice(values);
    }
    let line = window.output[1] * filters;
    let y = SharedMut::new(y);
    (0..images * bands).into_par_iter().for_each(|task| {
        let image = &x[task / bands * window.input.len()..][..window.input.len()];
        let rows = rows_of(window, task % bands);
        with_padding(window, image, rows.clone(), |x| {
            for (i, row) in rows.enumerate() {
                let x = &x[i * window.strides[0] * pitch(window)..];
                // SAFETY: a task computes its own rows.
                #[allow(unsafe_code)]
                let y = unsafe { y.slice((task / bands * window.output[0] + row) * line, line) };
                isa::dispatch(Line { window, filters, x, weights: prepared, bias: &bias, epilogue, y });
            }
        });
    });
}

/// Number of tasks of an image.
fn bands(window: &Window) -> usize {
    window.output[0].div_ceil(ROWS)
}

fn rows_of(window: &Window, band: usize) -> std::ops::Range<usize> {
    band * ROWS..window.output[0].min((band + 1) * ROWS)
}

/// Values of a line with its padding.
fn pitch(window: &Window) -> usize {
    window.reach()[1] * window.input.channels
}

/// Calls `run` with a copy of the lines that some rows of positions read, with their padding.
fn with_padding(window: &Window, image: &[f32], rows: std::ops::Range<usize>, run: impl FnOnce(&[f32])) {
    let (pitch, channels) = (pitch(window), window.input.channels);
    let line = window.input.width * channels;
    let lines = (rows.len() - 1) * window.strides[0] + window.size[0];
    SCRATCH.with_borrow_mut(|scratch| {
        let copy = scratch.grown(lines * pitch);
        let start = window.before[1] * channels;
        let count = line.min(pitch - start);
        for (i, to) in copy.chunks_exact_mut(pitch).enumerate() {
            to.fill(0.0);
            let from = (rows.start * window.strides[0] + i).checked_sub(window.before[0]);
            if let Some(from) = from.filter(|&from| from < window.input.height) {
                to[start..start + count].copy_from_slice(&image[from * line..][..count]);
            }
        }
        run(copy);
    });
}

/// One line of the output.
struct Line<'a> {
    window: &'a Window,
    filters: usize,
    x: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    epilogue: &'a Epilogue<'a>,
    y: &'a mut [Bf16],
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as fit into 32 registers with vectors of 16 values, else into 16.
        if S::F32_LANES == 16 { self.blocks::<S, 12>(simd) } else { self.blocks::<S, 6>(simd) }
    }
}

impl Line<'_> {
    /// Blocks of `P` positions and two vectors of filters.
    #[inline(always)]
    fn blocks<S: Simd, const P: usize>(self, simd: S) {
        let Self { window, filters, x, weights, bias, epilogue, y } = self;
        let (padded, pitch) = (bias.len(), pitch(window));
        let run = window.size[1] * window.input.channels;
        let step = window.strides[1] * window.input.channels;
        let positions = window.output[1];
        let zero = simd.splat_f32s(0.0);
        for column in (0..filters).step_by(2 * S::F32_LANES) {
            for first in (0..positions).step_by(P) {
                let mut places = [0; P];
                for (p, place) in places.iter_mut().enumerate() {
                    // Positions past the end repeat the last one.
                    *place = (first + p).min(positions - 1) * step;
                }
                let mut sums = [[zero; 2]; P];
                for row in 0..window.size[0] {
                    let mut lines = [&x[..0]; P];
                    for (line, place) in lines.iter_mut().zip(places) {
                        *line = &x[row * pitch + place..][..run];
                    }
                    for tap in 0..run {
                        let from = &weights[(row * run + tap) * padded + column..][..2 * S::F32_LANES];
                        let (low, high) = from.split_at(S::F32_LANES);
                        let (low, high) = (load(simd, low), load(simd, high));
                        for (sums, line) in sums.iter_mut().zip(lines) {
                            let value = simd.splat_f32s(line[tap]);
                            sums[0] = simd.mul_add_e_f32s(value, low, sums[0]);
                            sums[1] = simd.mul_add_e_f32s(value, high, sums[1]);
                        }
                    }
                }
                for (p, sums) in sums.into_iter().enumerate().take(positions - first) {
                    for (v, sum) in sums.into_iter().enumerate() {
                        let column = column + v * S::F32_LANES;
                        if column >= filters {
                            break;
                        }
                        let count = S::F32_LANES.min(filters - column);
                        let to = &mut y[(first + p) * filters + column..][..count];
                        let sum = simd.add_f32s(sum, load(simd, &bias[column..][..S::F32_LANES]));
                        match epilogue.activation {
                            Activation::Linear => Bf16::store(simd, to, sum),
                            Activation::Relu => {
                                // Not a maximum, which would drop a NaN.
                                let sum = simd.select_f32s(simd.less_than_f32s(sum, zero), zero, sum);
                                Bf16::store(simd, to, sum);
                            }
                            other => {
                                let mut values = [0.0; LANES];
                                store(simd, &mut values[..S::F32_LANES], sum);
                                other.apply_inlined(&mut values[..count], count);
                                to.iter_mut().zip(values).for_each(|(to, value)| *to = Bf16::round(value));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Partial sums of the kernel's gradient for a grain.
pub fn partial_sums(window: &Window) -> usize {
    bands(window)
}

/// Computes the partial sums of the kernel's gradient of `x` `[N, H, W, C]` and `dy` `[N, OH, OW, F]`, by grains and
/// their bands of rows, each as long as the kernel.
pub fn backward_kernel(window: &Window, filters: usize, x: &[f32], dy: &[Bf16], partial: &mut [f32]) {
    let (input, output) = (window.input.len(), window.positions() * filters);
    let (bands, line) = (bands(window), window.output[1] * filters);
    partial.par_chunks_mut(window.patch_len() * filters).enumerate().for_each(|(task, sums)| {
        let (grain, rows) = (task / bands, rows_of(window, task % bands));
        let part = |len: usize, all: usize| grain * GRAIN * len..all.min((grain + 1) * GRAIN * len);
        let (x, dy) = (&x[part(input, x.len())], &dy[part(output, dy.len())]);
        sums.fill(0.0);
        for (x, dy) in x.chunks_exact(input).zip(dy.chunks_exact(output)) {
            with_padding(window, x, rows.clone(), |x| {
                for (i, row) in rows.clone().enumerate() {
                    let x = &x[i * window.strides[0] * pitch(window)..];
                    isa::dispatch(LineGradient { window, filters, x, dy: &dy[row * line..][..line], sums });
                }
            });
        }
    });
}

/// Adds the gradient of a line.
struct LineGradient<'a> {
    window: &'a Window,
    filters: usize,
    x: &'a [f32],
    dy: &'a [Bf16],
    sums: &'a mut [f32],
}

impl WithSimd for LineGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The positions of a line are added in registers: 9 taps with two vectors of filters, or with one where there
        // are 16 registers.
        if S::F32_LANES == 16 { self.blocks::<S, 2>(simd) } else { self.blocks::<S, 1>(simd) }
    }
}

impl LineGradient<'_> {
    #[inline(always)]
    fn blocks<S: Simd, const V: usize>(self, simd: S) {
        let Self { window, filters, x, dy, sums } = self;
        let run = window.size[1] * window.input.channels;
        let step = window.strides[1] * window.input.channels;
        let (patch, pitch) = (window.patch_len(), pitch(window));
        let last = (window.output[1] - 1) * step;
        for column in (0..filters).step_by(V * S::F32_LANES) {
            for first in (0..patch).step_by(TAPS) {
                let mut inputs = [&x[..0]; TAPS];
                for (tap, input) in inputs.iter_mut().enumerate() {
                    // Taps past the end repeat the last one.
                    let tap = (first + tap).min(patch - 1);
                    *input = &x[tap / run * pitch + tap % run..][..last + 1];
                }
                let mut totals = [[simd.splat_f32s(0.0); V]; TAPS];
                for (position, dy) in dy.chunks_exact(filters).enumerate() {
                    let mut vectors = [simd.splat_f32s(0.0); V];
                    for (v, vector) in vectors.iter_mut().enumerate() {
                        let start = (column + v * S::F32_LANES).min(filters);
                        *vector = Bf16::load(simd, &dy[start..filters.min(start + S::F32_LANES)]);
                    }
                    for (totals, input) in totals.iter_mut().zip(inputs) {
                        let value = simd.splat_f32s(input[position * step]);
                        for (total, vector) in totals.iter_mut().zip(vectors) {
                            *total = simd.mul_add_e_f32s(value, vector, *total);
                        }
                    }
                }
                for (tap, totals) in totals.into_iter().enumerate().take(patch - first) {
                    for (v, total) in totals.into_iter().enumerate() {
                        let start = (column + v * S::F32_LANES).min(filters);
                        let to = &mut sums[(first + tap) * filters..][..filters];
                        let to = &mut to[start..filters.min(start + S::F32_LANES)];
                        let sum = simd.add_f32s(load(simd, to), total);
                        store(simd, to, sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::im2col::gather;
    use crate::kernels::reduce;
    use crate::kernels::window::Padding;
    use crate::random::Stream;
    use crate::tensor::Shape;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn outputs_and_gradients_are_direct_sums(
            extents in [3usize..40, 3usize..20], channels in 1usize..5, filters in 1usize..70, size in [1usize..4, 1usize..4],
            strides in [1usize..4, 1usize..4], padding in prop_oneof![Just(Padding::Same), Just(Padding::Valid)],
            images in prop_oneof![1usize..3, 33usize..35],
            activation in prop_oneof![Just(Activation::Linear), Just(Activation::Relu), Just(Activation::Silu)], seed: u64,
        ) {
            let input = Shape::new(extents[0], extents[1], channels);
            let window = Window::new(input, size, strides, padding).unwrap();
            prop_assume!(images * window.positions() * window.patch_len() * filters < 4_000_000);
            let mut stream = Stream::new(seed);
            let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| stream.normal()).collect() };
            let (x, kernel, bias) = (draw(images * input.len()), draw(window.patch_len() * filters), draw(filters));
            let dy: Vec<Bf16> = draw(images * window.positions() * filters).into_iter().map(Bf16::round).collect();
            let mut prepared = Buffer::default();
            prepare(filters, &kernel, &mut prepared);
            let epilogue = Epilogue { bias: Some(&bias), add: None, activation };
            let mut y = vec![0x7fc0; dy.len()];
            forward(&window, filters, &x, &prepared, &epilogue, &mut y);
            let grains = images.div_ceil(GRAIN);
            let mut partial = vec![f32::NAN; grains * partial_sums(&window) * kernel.len()];
            backward_kernel(&window, filters, &x, &dy, &mut partial);
            let mut gradient = vec![0.0; kernel.len()];
            reduce::add_up(&partial, &mut gradient);
            let mut expected = vec![[0.0f64; 2]; kernel.len()];
            let mut patch = vec![0.0; window.patch_len()];
            for position in 0..images * window.positions() {
                gather(&window, &x, position, &mut patch);
                for filter in 0..filters {
                    let mut sum = f64::from(bias[filter]);
                    for (tap, &value) in patch.iter().enumerate() {
                        let weight = tap * filters + filter;
                        sum += f64::from(value) * f64::from(kernel[weight]);
                        let product = f64::from(value) * f64::from(dy[position * filters + filter].widen());
                        let [total, magnitude] = expected[weight];
                        expected[weight] = [total + product, magnitude + product.abs()];
                    }
                    let mut value = [sum as f32];
                    activation.apply(&mut value, 1);
                    let computed = y[position * filters + filter].widen();
                    prop_assert!((computed - value[0]).abs() <= value[0].abs() / 200.0 + 1e-4, "{computed}, {}", value[0]);
                }
            }
            for (computed, [total, magnitude]) in gradient.iter().zip(expected) {
                prop_assert!((f64::from(*computed) - total).abs() <= 1e-5 * magnitude + 1e-5, "{computed}, {total}");
            }
        }
    }
}
