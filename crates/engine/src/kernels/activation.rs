//! Activations, element by element, and their derivatives.

use rayon::prelude::*;

/// Values that one task works on.
const CHUNK: usize = 16 * 1024;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `x`.
    Linear,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, `slope · x` elsewhere.
    LeakyRelu {
        /// Slope of the negative part.
        slope: f32,
    },
    /// `x · sigmoid(x)`, also called swish.
    Silu,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `eˣ / Σ eˣ` over the channels of a position.
    Softmax,
}

impl Activation {
    /// Whether the derivative can be told from the output alone, so that the
    /// function can be applied in place at the end of another layer.
    #[must_use]
    pub fn works_in_place(self) -> bool {
        !matches!(self, Self::Silu | Self::Softmax)
    }

    /// Applies the function to values that lie together; `channels` matters to
    /// softmax only.
    pub(crate) fn apply(self, values: &mut [f32], channels: usize) {
        match self {
            Self::Linear => {}
            Self::Relu => values.iter_mut().for_each(|v| *v = v.max(0.0)),
            Self::LeakyRelu { slope } => {
                values.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { slope * *v });
            }
            Self::Silu => values.iter_mut().for_each(|v| *v *= sigmoid(*v)),
            Self::Sigmoid => values.iter_mut().for_each(|v| *v = sigmoid(*v)),
            Self::Tanh => values.iter_mut().for_each(|v| *v = v.tanh()),
            Self::Softmax => values.chunks_exact_mut(channels).for_each(softmax),
        }
    }

    /// Turns the gradient of the output into that of the input, in place.
    /// `y` is the output; `x`, the input, is needed by SiLU only.
    pub(crate) fn differentiate(self, gradient: &mut [f32], y: &[f32], x: Option<&[f32]>, channels: usize) {
        if self == Self::Linear {
            return;
        }
        let chunk = CHUNK.div_ceil(channels) * channels;
        gradient.par_chunks_mut(chunk).enumerate().for_each(|(i, g)| {
            let part = i * chunk..i * chunk + g.len();
            let x = x.map(|x| &x[part.clone()]);
            self.differentiate_chunk(g, &y[part], x, channels);
        });
    }

    fn differentiate_chunk(self, g: &mut [f32], y: &[f32], x: Option<&[f32]>, channels: usize) {
        let each = |g: &mut [f32], of: &[f32], slope: &dyn Fn(f32) -> f32| {
            g.iter_mut().zip(of).for_each(|(g, &v)| *g *= slope(v));
        };
        match self {
            Self::Linear => {}
            Self::Relu => g.iter_mut().zip(y).for_each(|(g, &y)| *g = if y > 0.0 { *g } else { 0.0 }),
            Self::LeakyRelu { slope } => each(g, y, &|y| if y > 0.0 { 1.0 } else { slope }),
            Self::Sigmoid => each(g, y, &|y| y * (1.0 - y)),
            Self::Tanh => each(g, y, &|y| 1.0 - y * y),
            Self::Silu => each(g, x.unwrap_or(y), &|x| {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }),
            Self::Softmax => {
                for (g, y) in g.chunks_exact_mut(channels).zip(y.chunks_exact(channels)) {
                    let mean: f32 = g.iter().zip(y).map(|(g, y)| g * y).sum();
                    g.iter_mut().zip(y).for_each(|(g, &y)| *g = y * (*g - mean));
                }
            }
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Softmax of one row, in place; subtracts the maximum first so that large
/// logits do not overflow.
pub fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for v in row.iter_mut() {
        *v = (*v - max).exp();
        sum += *v;
    }
    row.iter_mut().for_each(|v| *v /= sum);
}

/// Applies an activation from one slice into another, threaded.
pub fn forward(activation: Activation, x: &[f32], y: &mut [f32], channels: usize) {
    let chunk = CHUNK.div_ceil(channels) * channels;
    y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
        y.copy_from_slice(x);
        activation.apply(y, channels);
    });
}
