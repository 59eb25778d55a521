//! Elementwise activation functions and their derivatives.
//!
//! Layers apply an activation in place after another layer, or as a separate layer.

use super::element::Element;
use super::isa;
use super::math::{exp, sigmoid, tanh};
use rayon::prelude::*;

/// Values per task.
const CHUNK: usize = 16 * 1024;

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "names::Activation", into = "names::Activation")
)]
pub enum Activation {
    /// `x`: the identity.
    #[default]
    Linear,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, `slope · x` elsewhere. Without a slope in the file, the slope is 0.01.
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

/// Activations by their names in files, which omit the slope of the leaky ReLU.
#[cfg(feature = "serde")]
mod names {
    /// Has the name of the enum that it represents, for serde's error messages.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(description = "An activation function."))]
    #[serde(rename_all = "snake_case")]
    pub enum Activation {
        /// `x`: the identity.
        Linear,
        /// `max(x, 0)`.
        Relu,
        /// `x` where positive, `0.01 · x` elsewhere.
        LeakyRelu,
        /// `x · sigmoid(x)`, also called swish.
        Silu,
        /// `1 / (1 + e⁻ˣ)`.
        Sigmoid,
        /// Hyperbolic tangent.
        Tanh,
        /// `eˣ / Σ eˣ` over the channels of a position.
        Softmax,
    }

    impl From<Activation> for super::Activation {
        fn from(name: Activation) -> Self {
            match name {
                Activation::Linear => Self::Linear,
                Activation::Relu => Self::Relu,
                Activation::LeakyRelu => Self::LeakyRelu { slope: 0.01 },
                Activation::Silu => Self::Silu,
                Activation::Sigmoid => Self::Sigmoid,
                Activation::Tanh => Self::Tanh,
                Activation::Softmax => Self::Softmax,
            }
        }
    }

    impl From<super::Activation> for Activation {
        fn from(activation: super::Activation) -> Self {
            match activation {
                super::Activation::Linear => Self::Linear,
                super::Activation::Relu => Self::Relu,
                super::Activation::LeakyRelu { .. } => Self::LeakyRelu,
                super::Activation::Silu => Self::Silu,
                super::Activation::Sigmoid => Self::Sigmoid,
                super::Activation::Tanh => Self::Tanh,
                super::Activation::Softmax => Self::Softmax,
            }
        }
    }
}

impl Activation {
    /// Whether the derivative can be computed from the output alone, so that the function can be
    /// applied in place at the end of another layer.
    #[must_use]
    pub fn works_in_place(self) -> bool {
        !matches!(self, Self::Silu | Self::Softmax)
    }

    /// Applies the function to contiguous values; `channels` is used by softmax only.
    pub(crate) fn apply<E: Element>(self, values: &mut [E], channels: usize) {
        if self == Self::Linear {
            return;
        }
        isa::dispatch(
            #[inline(always)]
            || self.apply_inlined(values, channels),
        );
    }

    /// Applies the function inside a kernel.
    #[inline(always)]
    pub(crate) fn apply_inlined<E: Element>(self, values: &mut [E], channels: usize) {
        match self {
            Self::Linear => {}
            // Not `max`, which would drop a NaN.
            Self::Relu => replace(values, |v| if v < 0.0 { 0.0 } else { v }),
            Self::LeakyRelu { slope } => replace(values, |v| if v > 0.0 { v } else { slope * v }),
            Self::Silu => replace(values, |v| v * sigmoid(v)),
            Self::Sigmoid => replace(values, sigmoid),
            Self::Tanh => replace(values, tanh),
            Self::Softmax => values.chunks_exact_mut(channels).for_each(softmax),
        }
    }

    /// Converts the gradient of the output to that of the input, in place. `y` is the output; `x`,
    /// the input, is needed by SiLU only.
    pub(crate) fn differentiate<E: Element>(self, gradient: &mut [E], y: &[E], x: Option<&[E]>, channels: usize) {
        if self == Self::Linear {
            return;
        }
        let chunk = CHUNK.div_ceil(channels) * channels;
        gradient.par_chunks_mut(chunk).enumerate().for_each(|(i, g)| {
            let part = i * chunk..i * chunk + g.len();
            let x = x.map(|x| &x[part.clone()]);
            let y = &y[part];
            isa::dispatch(
                #[inline(always)]
                || self.differentiate_chunk(g, y, x, channels),
            );
        });
    }

    #[inline(always)]
    fn differentiate_chunk<E: Element>(self, g: &mut [E], y: &[E], x: Option<&[E]>, channels: usize) {
        match self {
            Self::Linear => {}
            Self::Relu => g.iter_mut().zip(y).for_each(|(g, y)| *g = if y.widen() > 0.0 { *g } else { E::default() }),
            Self::LeakyRelu { slope } => multiply(g, y, |y| if y > 0.0 { 1.0 } else { slope }),
            Self::Sigmoid => multiply(g, y, |y| y * (1.0 - y)),
            Self::Tanh => multiply(g, y, |y| 1.0 - y * y),
            Self::Silu => multiply(g, x.unwrap_or(y), |x| {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }),
            Self::Softmax => {
                for (g, y) in g.chunks_exact_mut(channels).zip(y.chunks_exact(channels)) {
                    let mean: f32 = g.iter().zip(y).map(|(g, y)| g.widen() * y.widen()).sum();
                    g.iter_mut().zip(y).for_each(|(g, y)| *g = E::round(y.widen() * (g.widen() - mean)));
                }
            }
        }
    }
}

/// Multiplies each gradient by the derivative at its value.
#[inline(always)]
fn multiply<E: Element>(gradients: &mut [E], values: &[E], slope: impl Fn(f32) -> f32) {
    gradients.iter_mut().zip(values).for_each(|(g, v)| *g = E::round(g.widen() * slope(v.widen())));
}

/// Replaces each value by that of a function.
#[inline(always)]
fn replace<E: Element>(values: &mut [E], function: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|v| *v = E::round(function(v.widen())));
}

/// Softmax of one row, in place; subtracts the maximum first so that large
/// logits do not overflow.
pub fn softmax<E: Element>(row: &mut [E]) {
    let max = row.iter().map(|v| v.widen()).fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for v in row.iter_mut() {
        let power = exp(v.widen() - max);
        *v = E::round(power);
        sum += power;
    }
    row.iter_mut().for_each(|v| *v = E::round(v.widen() / sum));
}

/// Applies an activation in place, threaded.
pub fn apply_all<E: Element>(activation: Activation, values: &mut [E], channels: usize) {
    values.par_chunks_mut(CHUNK.div_ceil(channels) * channels).for_each(|part| activation.apply(part, channels));
}

/// `y = activation(y + x)`, threaded.
pub fn add_and_apply<E: Element>(x: &[E], activation: Activation, y: &mut [E], channels: usize) {
    let chunk = CHUNK.div_ceil(channels) * channels;
    y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
        isa::dispatch(
            #[inline(always)]
            || {
                if activation == Activation::Relu {
                    // Not `max`, which would drop a NaN.
                    let add = |(y, x): (&mut E, &E)| {
                        let sum = y.widen() + x.widen();
                        *y = E::round(if sum < 0.0 { 0.0 } else { sum });
                    };
                    y.iter_mut().zip(x).for_each(add);
                } else {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = E::round(y.widen() + x.widen()));
                    activation.apply_inlined(y, channels);
                }
            },
        );
    });
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn names_in_files() {
        for (activation, name) in [
            (Activation::Linear, "\"linear\""),
            (Activation::Relu, "\"relu\""),
            (Activation::LeakyRelu { slope: 0.01 }, "\"leaky_relu\""),
            (Activation::Silu, "\"silu\""),
            (Activation::Sigmoid, "\"sigmoid\""),
            (Activation::Tanh, "\"tanh\""),
            (Activation::Softmax, "\"softmax\""),
        ] {
            assert_eq!(serde_json::to_string(&activation).unwrap(), name);
            assert_eq!(serde_json::from_str::<Activation>(name).unwrap(), activation);
        }
        assert_eq!(serde_json::to_string(&Activation::LeakyRelu { slope: 0.3 }).unwrap(), "\"leaky_relu\"");
        let error = serde_json::from_str::<Activation>("\"gelu\"").unwrap_err().to_string();
        let accepted = "`linear`, `relu`, `leaky_relu`, `silu`, `sigmoid`, `tanh`, `softmax`";
        assert!(error.starts_with(&format!("unknown variant `gelu`, expected one of {accepted} at")), "{error}");
    }
}
