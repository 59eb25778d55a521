//! Batch normalization over `[rows, channels]`: two passes over memory forward and two backward,
//! with the activation in the second of each.
//!
//! The layer keeps the running statistics, and sums over the ranks of a distributed training.

use super::activation::Activation;
use super::element::Element;
use super::gemm::LANES;
use super::isa::{self, load, store};
use super::reduce::{self, GROUP};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Values per task.
const TASK: usize = 8 * 1024;

/// The sum and the sum of squares of each channel: `sums` contains `2 · channels` values.
pub fn statistics<E: Element>(x: &[E], channels: usize, partial: &mut Vec<f64>, sums: &mut [f64]) {
    reduce::over_rows(x.len() / channels, 2 * channels, partial, sums, |rows, sums| {
        let x = &x[rows.start * channels..rows.end * channels];
        isa::dispatch(AddStatistics { x, channels, sums });
    });
}

struct AddStatistics<'a, E> {
    x: &'a [E],
    channels: usize,
    sums: &'a mut [f64],
}

impl<E: Element> WithSimd for AddStatistics<'_, E> {
    type Output = ();

    /// Rows are added in groups, in registers, and the groups in f64.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, channels, sums } = self;
        let (plain, squares) = sums.split_at_mut(channels);
        for x in x.chunks(GROUP * channels) {
            for first in (0..channels).step_by(S::F32_LANES) {
                let end = channels.min(first + S::F32_LANES);
                let (mut sum, mut square) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
                for x in x.chunks_exact(channels) {
                    let x = E::load(simd, &x[first..end]);
                    sum = simd.add_f32s(sum, x);
                    square = simd.mul_add_e_f32s(x, x, square);
                }
                add_to(simd, sum, &mut plain[first..end]);
                add_to(simd, square, &mut squares[first..end]);
            }
        }
    }
}

/// `y = activation(scale · x + shift)`, a scale and a shift for each channel.
pub fn apply<E: Element>(x: &[E], scale: &[f32], shift: &[f32], activation: Activation, y: &mut [E]) {
    let channels = scale.len();
    let task = TASK.div_ceil(channels) * channels;
    y.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(y, x)| {
        isa::dispatch(
            #[inline(always)]
            || {
                let floor = if activation == Activation::Relu { 0.0 } else { f32::NEG_INFINITY };
                for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                        let value = x.widen() * scale + shift;
                        // Not `max`, which would drop a NaN.
                        *y = E::round(if value < floor { floor } else { value });
                    }
                }
            },
        );
        if activation != Activation::Relu {
            activation.apply(y, channels);
        }
    });
}

/// [`apply`] in place.
pub fn apply_in_place<E: Element>(y: &mut [E], scale: &[f32], shift: &[f32], activation: Activation) {
    let channels = scale.len();
    y.par_chunks_mut(TASK.div_ceil(channels) * channels).for_each(|y| {
        isa::dispatch(
            #[inline(always)]
            || {
                for y in y.chunks_exact_mut(channels) {
                    for ((y, scale), shift) in y.iter_mut().zip(scale).zip(shift) {
                        *y = E::round(y.widen() * scale + shift);
                    }
                }
            },
        );
        activation.apply(y, channels);
    });
}

/// State of the forward pass for the backward pass.
#[derive(Clone, Copy)]
pub struct Applied<'a> {
    pub mean: &'a [f32],
    /// The scale and shift of [`apply`], from which the sign of the output is recomputed.
    pub scale: &'a [f32],
    pub shift: &'a [f32],
    /// Whether a ReLU followed; the gradient then passes where the output is positive.
    pub relu: bool,
}

/// For each channel, the sum of the gradients and the sum of gradient times `x − mean`.
pub fn gradient_sums<E: Element>(applied: Applied<'_>, x: &[E], dy: &[E], partial: &mut Vec<f64>, sums: &mut [f64]) {
    let channels = applied.mean.len();
    reduce::over_rows(x.len() / channels, 2 * channels, partial, sums, |rows, sums| {
        let part = rows.start * channels..rows.end * channels;
        let (x, dy) = (&x[part.clone()], &dy[part]);
        isa::dispatch(AddGradients { applied, x, dy, sums });
    });
}

struct AddGradients<'a, E> {
    applied: Applied<'a>,
    x: &'a [E],
    dy: &'a [E],
    sums: &'a mut [f64],
}

impl<E: Element> WithSimd for AddGradients<'_, E> {
    type Output = ();

    /// Rows are added in groups, in registers, and the groups in f64.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { applied: Applied { mean, scale, shift, relu }, x, dy, sums } = self;
        let channels = mean.len();
        let (plain, weighted) = sums.split_at_mut(channels);
        let least = simd.splat_f32s(if relu { 0.0 } else { f32::NEG_INFINITY });
        let zero = simd.splat_f32s(0.0);
        for (x, dy) in x.chunks(GROUP * channels).zip(dy.chunks(GROUP * channels)) {
            for first in (0..channels).step_by(S::F32_LANES) {
                let end = channels.min(first + S::F32_LANES);
                let [mean, scale, shift] = [mean, scale, shift].map(
                    #[inline(always)]
                    |values| load(simd, &values[first..end]),
                );
                let (mut sum, mut product) = (zero, zero);
                for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
                    let (x, g) = (E::load(simd, &x[first..end]), E::load(simd, &dy[first..end]));
                    let y = simd.mul_add_e_f32s(x, scale, shift);
                    let g = simd.select_f32s(simd.less_than_f32s(least, y), g, zero);
                    sum = simd.add_f32s(sum, g);
                    product = simd.mul_add_e_f32s(g, simd.sub_f32s(x, mean), product);
                }
                add_to(simd, sum, &mut plain[first..end]);
                add_to(simd, product, &mut weighted[first..end]);
            }
        }
    }
}

/// Adds the lanes of a vector to sums in f64.
#[inline(always)]
fn add_to<S: Simd>(simd: S, values: S::f32s, sums: &mut [f64]) {
    let mut lanes = [0.0; LANES];
    store(simd, &mut lanes[..S::F32_LANES], values);
    sums.iter_mut().zip(lanes).for_each(|(sum, value)| *sum += f64::from(value));
}

/// `dx = by_gradient · dy + by_value · x + offset` in place of `dy`, with factors for each channel;
/// with `relu`, `dy` counts only where the output was positive.
pub fn input_gradient<E: Element>(applied: Applied<'_>, factors: [&[f32]; 3], x: &[E], dy: &mut [E]) {
    let channels = applied.scale.len();
    let task = TASK.div_ceil(channels) * channels;
    dy.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(dy, x)| {
        isa::dispatch(InputGradient { applied, factors, x, dy });
    });
}

struct InputGradient<'a, E> {
    applied: Applied<'a>,
    factors: [&'a [f32]; 3],
    x: &'a [E],
    dy: &'a mut [E],
}

impl<E: Element> WithSimd for InputGradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { applied: Applied { scale, shift, relu, .. }, factors: [by_gradient, by_value, offset], x, dy } =
            self;
        let channels = scale.len();
        let least = simd.splat_f32s(if relu { 0.0 } else { f32::NEG_INFINITY });
        let zero = simd.splat_f32s(0.0);
        for first in (0..channels).step_by(S::F32_LANES) {
            let end = channels.min(first + S::F32_LANES);
            let [scale, shift, by_gradient, by_value, offset] = [scale, shift, by_gradient, by_value, offset].map(
                #[inline(always)]
                |values| load(simd, &values[first..end]),
            );
            for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact_mut(channels)) {
                let (x, g) = (E::load(simd, &x[first..end]), E::load(simd, &dy[first..end]));
                let y = simd.mul_add_e_f32s(x, scale, shift);
                let g = simd.select_f32s(simd.less_than_f32s(least, y), g, zero);
                let constant = simd.mul_add_e_f32s(by_value, x, offset);
                E::store(simd, &mut dy[first..end], simd.mul_add_e_f32s(by_gradient, g, constant));
            }
        }
    }
}
