//! The first convolution of a network: products of f32 values, whose sums become bytes at once.
//!
//! Maps of few channels have short sums, so that writing f32 outputs would take as long as the products.

use super::convolution::Filters;
use super::epilogue::units;
use super::patches::Patches;
use super::quantization::{Quantization, to_byte};
use crate::buffer::Buffer;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::isa::{self, load, store};
use crate::kernels::window::Window;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Maximum number of channels.
const MOST: usize = 4;

/// Columns that weights are padded to: the longest block.
const COLUMNS: usize = 64;

/// A convolution of f32 maps whose output is bytes.
pub struct FirstConvolution {
    window: Window,
    filters: usize,
    /// `[height, width, channels, filters]` with padded filters, in units of the output.
    weights: Buffer,
    /// The bias and the zero of the output.
    bias: Buffer,
    floor: f32,
    output: Quantization,
}

impl FirstConvolution {
    /// `None` for maps of more than four channels, and for a normalization after the activation.
    pub fn new(filters: &Filters<'_>, output: Quantization) -> Option<Self> {
        if filters.window.input.channels > MOST || filters.then.is_some() {
            return None;
        }
        let count = filters.kernel.len() / filters.window.patch_len();
        let padded = count.next_multiple_of(COLUMNS);
        let [unit, zero] = units(Some(output));
        let scaled = |to: &mut [f32], from: &[f32], offset: f64| {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = (f64::from(from) * unit + offset) as f32);
        };
        let mut weights = Buffer::zeros(filters.window.patch_len() * padded);
        for (to, from) in weights.chunks_exact_mut(padded).zip(filters.kernel.chunks_exact(count)) {
            scaled(to, from, 0.0);
        }
        let mut bias = Buffer::zeros(padded);
        scaled(&mut bias[..count], filters.bias.unwrap_or(&vec![0.0; count]), zero);
        let floor = if filters.relu { zero as f32 } else { 0.0 };
        Some(Self { window: filters.window, filters: count, weights, bias, floor, output })
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    pub fn filters(&self) -> usize {
        self.filters
    }

    /// The quantization of the output.
    pub fn output(&self) -> Quantization {
        self.output
    }

    /// Length of the copy of an image.
    pub fn scratch_len(&self) -> usize {
        self.window.reach().iter().product::<usize>() * self.window.input.channels
    }

    /// Computes the output of one image in `tasks` parts. `x` is `[H, W, C]`, `y` `[OH, OW, F]`.
    pub fn forward(&self, x: &[f32], y: &mut [u8], scratch: &mut [f32], tasks: usize) {
        let Window { input, output, .. } = self.window;
        let extents = self.window.reach();
        let pitch = extents[1] * input.channels;
        let scratch = &mut scratch[..self.scratch_len()];
        Patches::copy_padded(&self.window, x, 0.0, extents, input.channels, scratch);
        let line = output[1] * self.filters;
        let y = SharedMut::new(y);
        let rows = |rows: std::ops::Range<usize>| {
            for row in rows {
                // SAFETY: tasks compute different rows.
                #[allow(unsafe_code)]
                let y = unsafe { y.slice(row * line, line) };
                let x = &scratch[row * self.window.strides[0] * pitch..];
                isa::dispatch(Line { convolution: self, x, pitch, y });
            }
        };
        if tasks <= 1 {
            return rows(0..output[0]);
        }
        let each = output[0].div_ceil(tasks);
        (0..output[0].div_ceil(each)).into_par_iter().for_each(|task| {
            rows(task * each..((task + 1) * each).min(output[0]));
        });
    }
}

/// One line of the output.
struct Line<'a> {
    convolution: &'a FirstConvolution,
    x: &'a [f32],
    pitch: usize,
    y: &'a mut [u8],
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as fit into 32 registers with vectors of 16 values, else into 16.
        if S::F32_LANES == 16 { self.blocks::<S, 6, 4>(simd) } else { self.blocks::<S, 4, 2>(simd) }
    }
}

impl Line<'_> {
    /// Blocks of `P` positions and `V` vectors of filters.
    #[inline(always)]
    fn blocks<S: Simd, const P: usize, const V: usize>(self, simd: S) {
        let Self { convolution, x, pitch, y } = self;
        let FirstConvolution { window, filters, weights, bias, floor, .. } = convolution;
        let padded = bias.len();
        let run = window.size[1] * window.input.channels;
        let step = window.strides[1] * window.input.channels;
        let positions = window.output[1];
        for column in (0..*filters).step_by(V * S::F32_LANES) {
            for first in (0..positions).step_by(P) {
                let mut places = [0; P];
                for (p, place) in places.iter_mut().enumerate() {
                    // Positions past the end repeat the last one.
                    *place = (first + p).min(positions - 1) * step;
                }
                let mut sums = [[simd.splat_f32s(0.0); V]; P];
                for sums in &mut sums {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = load(simd, &bias[column + v * S::F32_LANES..][..S::F32_LANES]);
                    }
                }
                for row in 0..window.size[0] {
                    let mut lines = [&x[..0]; P];
                    for (line, place) in lines.iter_mut().zip(places) {
                        *line = &x[row * pitch + place..][..run];
                    }
                    for tap in 0..run {
                        let from = &weights[(row * run + tap) * padded + column..][..V * S::F32_LANES];
                        let mut vectors = [simd.splat_f32s(0.0); V];
                        for (v, vector) in vectors.iter_mut().enumerate() {
                            *vector = load(simd, &from[v * S::F32_LANES..][..S::F32_LANES]);
                        }
                        for (sums, line) in sums.iter_mut().zip(lines) {
                            let value = simd.splat_f32s(line[tap]);
                            for (sum, vector) in sums.iter_mut().zip(vectors) {
                                *sum = simd.mul_add_f32s(value, vector, *sum);
                            }
                        }
                    }
                }
                for (p, sums) in sums.into_iter().enumerate().take(positions - first) {
                    let mut values = [0.0f32; COLUMNS];
                    for (v, sum) in sums.into_iter().enumerate() {
                        store(simd, &mut values[v * S::F32_LANES..][..S::F32_LANES], sum);
                    }
                    let mut bytes = [0u8; COLUMNS];
                    for (byte, value) in bytes.iter_mut().zip(values) {
                        *byte = to_byte(if value > *floor { value } else { *floor });
                    }
                    let count = (V * S::F32_LANES).min(filters - column);
                    y[(first + p) * filters + column..][..count].copy_from_slice(&bytes[..count]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::window::Padding;
    use crate::random::Stream;
    use crate::tensor::Shape;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn outputs_are_the_nearest_bytes_of_direct_sums(
            extents in [3usize..14, 3usize..14], channels in 1usize..5, filters in 1usize..140, size in 1usize..4,
            strides in [1usize..3, 1usize..3], padding in prop_oneof![Just(Padding::Same), Just(Padding::Valid)],
            relu: bool, low in prop_oneof![Just(0.0f32), -2.0f32..0.0], seed: u64,
        ) {
            let input = Shape::new(extents[0], extents[1], channels);
            let window = Window::new(input, [size, size], strides, padding).unwrap();
            let mut stream = Stream::new(seed);
            let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| stream.normal()).collect() };
            let (x, kernel, bias) = (draw(input.len()), draw(window.patch_len() * filters), draw(filters));
            let output = Quantization::of_range([low, 5.0]);
            let real = Filters { window, kernel: &kernel, bias: Some(&bias), relu, then: None };
            let convolution = FirstConvolution::new(&real, output).unwrap();
            let mut y = vec![1; window.positions() * filters];
            let mut scratch = vec![f32::NAN; convolution.scratch_len()];
            convolution.forward(&x, &mut y, &mut scratch, 1);
            let mut parts = vec![1; y.len()];
            convolution.forward(&x, &mut parts, &mut scratch, 3);
            prop_assert_eq!(&y, &parts);
            let mut row = vec![0.0; window.patch_len()];
            for (position, y) in y.chunks_exact(filters).enumerate() {
                crate::kernels::im2col::gather(&window, &x, position, &mut row);
                for (filter, &byte) in y.iter().enumerate() {
                    let products = row.iter().zip(kernel[filter..].iter().step_by(filters));
                    let sum: f64 = products.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    let sum = sum + f64::from(bias[filter]);
                    let sum = if relu { sum.max(0.0) } else { sum };
                    let [least, most] = [0, 255].map(|byte| f64::from(output.value(byte)));
                    let error = (f64::from(output.value(byte)) - sum.clamp(least, most)).abs();
                    prop_assert!(error <= 0.501 * f64::from(output.scale) + 1e-5, "{} differs by {}", sum, error);
                }
            }
        }
    }
}
