//! Batch normalization over `[rows, channels]`: two passes over memory forward,
//! two backward, the activation in the second of each.

use super::{isa, reduce};
use crate::Activation;
use rayon::prelude::*;

/// Values that one task works on.
const TASK: usize = 16 * 1024;

/// Rows that are added in f32 before they join the sums in f64.
const GROUP: usize = 4;

/// Of each channel, the sum and the sum of squares: `sums` holds `2 · channels`.
pub fn statistics(x: &[f32], channels: usize, partial: &mut Vec<f64>, sums: &mut [f64]) {
    reduce::over_rows(x.len() / channels, 2 * channels, partial, sums, |rows, sums| {
        let x = &x[rows.start * channels..rows.end * channels];
        isa::dispatch(
            #[inline(always)]
            || add_statistics(x, channels, sums),
        );
    });
}

#[inline(always)]
fn add_statistics(x: &[f32], channels: usize, sums: &mut [f64]) {
    let (sum, squares) = sums.split_at_mut(channels);
    let groups = x.chunks_exact(GROUP * channels);
    for row in groups.remainder().chunks_exact(channels) {
        for ((sum, square), &v) in sum.iter_mut().zip(squares.iter_mut()).zip(row) {
            *sum += f64::from(v);
            *square += f64::from(v * v);
        }
    }
    for group in groups {
        let (a, rest) = group.split_at(channels);
        let (b, rest) = rest.split_at(channels);
        let (c, d) = rest.split_at(channels);
        let rows = a.iter().zip(b).zip(c).zip(d);
        for ((sum, square), (((a, b), c), d)) in sum.iter_mut().zip(squares.iter_mut()).zip(rows) {
            *sum += f64::from((a + b) + (c + d));
            *square += f64::from((a * a + b * b) + (c * c + d * d));
        }
    }
}

/// `y = activation(scale · x + shift)`, a scale and a shift for each channel.
pub fn apply(x: &[f32], scale: &[f32], shift: &[f32], activation: Activation, y: &mut [f32]) {
    let channels = scale.len();
    let task = TASK.div_ceil(channels) * channels;
    y.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(y, x)| {
        isa::dispatch(
            #[inline(always)]
            || {
                let floor = if activation == Activation::Relu { 0.0 } else { f32::NEG_INFINITY };
                for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                        let value = x * scale + shift;
                        // Not `max`, which would hide a NaN.
                        *y = if value < floor { floor } else { value };
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
pub fn apply_in_place(y: &mut [f32], scale: &[f32], shift: &[f32], activation: Activation) {
    let channels = scale.len();
    y.par_chunks_mut(TASK.div_ceil(channels) * channels).for_each(|y| {
        isa::dispatch(
            #[inline(always)]
            || {
                for y in y.chunks_exact_mut(channels) {
                    for ((y, scale), shift) in y.iter_mut().zip(scale).zip(shift) {
                        *y = *y * scale + shift;
                    }
                }
            },
        );
        activation.apply(y, channels);
    });
}

/// What the forward pass did, for the way back.
#[derive(Clone, Copy)]
pub struct Applied<'a> {
    pub mean: &'a [f32],
    /// As given to [`apply`]: with them the sign of the output is known again.
    pub scale: &'a [f32],
    pub shift: &'a [f32],
    /// Whether a ReLU followed; the gradient then passes where the output is positive.
    pub relu: bool,
}

/// Of each channel, the sum of the gradients and of gradient times `x − mean`.
pub fn gradient_sums(applied: Applied<'_>, x: &[f32], dy: &[f32], partial: &mut Vec<f64>, sums: &mut [f64]) {
    let channels = applied.mean.len();
    reduce::over_rows(x.len() / channels, 2 * channels, partial, sums, |rows, sums| {
        let part = rows.start * channels..rows.end * channels;
        let (x, dy) = (&x[part.clone()], &dy[part]);
        isa::dispatch(
            #[inline(always)]
            || add_gradients(applied, x, dy, sums),
        );
    });
}

#[inline(always)]
fn add_gradients(applied: Applied<'_>, x: &[f32], dy: &[f32], sums: &mut [f64]) {
    let Applied { mean, scale, shift, relu } = applied;
    let channels = mean.len();
    let (plain, weighted) = sums.split_at_mut(channels);
    let least = if relu { 0.0 } else { f32::NEG_INFINITY };
    let passed = |x: f32, g: f32, c: usize| if x * scale[c] + shift[c] > least { g } else { 0.0 };
    let mut rows = x.chunks_exact(2 * channels).zip(dy.chunks_exact(2 * channels));
    for (x, g) in &mut rows {
        let ((x0, x1), (g0, g1)) = (x.split_at(channels), g.split_at(channels));
        for c in 0..channels {
            let (g0, g1) = (passed(x0[c], g0[c], c), passed(x1[c], g1[c], c));
            plain[c] += f64::from(g0 + g1);
            weighted[c] += f64::from(g0 * (x0[c] - mean[c]) + g1 * (x1[c] - mean[c]));
        }
    }
    let done = x.len() / (2 * channels) * 2 * channels;
    for (x, g) in x[done..].chunks_exact(channels).zip(dy[done..].chunks_exact(channels)) {
        for c in 0..channels {
            let g = passed(x[c], g[c], c);
            plain[c] += f64::from(g);
            weighted[c] += f64::from(g * (x[c] - mean[c]));
        }
    }
}

/// `dx = by_gradient · dy + by_value · x + offset` in place of `dy`, each factor
/// by channel, the gradient only where the output was positive if `relu`.
pub fn input_gradient(
    applied: Applied<'_>,
    by_gradient: &[f32],
    by_value: &[f32],
    offset: &[f32],
    x: &[f32],
    dy: &mut [f32],
) {
    let Applied { scale, shift, relu, .. } = applied;
    let channels = scale.len();
    let least = if relu { 0.0 } else { f32::NEG_INFINITY };
    let task = TASK.div_ceil(channels) * channels;
    dy.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(dy, x)| {
        isa::dispatch(
            #[inline(always)]
            || {
                for (g, x) in dy.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for c in 0..channels {
                        let passed = if x[c] * scale[c] + shift[c] > least { g[c] } else { 0.0 };
                        g[c] = by_gradient[c] * passed + (by_value[c] * x[c] + offset[c]);
                    }
                }
            },
        );
    });
}
