//! The epilogue of a convolution: bias, addition of another map and activation.
//!
//! Every convolution algorithm applies it while its output is in the cache.

use super::activation::Activation;
use super::isa::{self, load, store};
use pulp::{Simd, WithSimd};

/// The operations on the sums of a convolution before they are stored: `activation(sum + bias +
/// add)`.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// A bias for each filter.
    pub bias: Option<&'a [f32]>,
    /// Another map of the output's shape, for a residual block.
    pub add: Option<&'a [f32]>,
    /// An activation that [works in place](Activation::works_in_place).
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Applies the epilogue to whole rows of `filters` values, the first of which is output row
    /// `first`.
    pub fn finish(&self, y: &mut [f32], first: usize, filters: usize) {
        if let Some(bias) = self.bias {
            let relu = self.activation == Activation::Relu && self.add.is_none();
            isa::dispatch(Bias { y, bias, relu });
            if relu {
                return;
            }
        }
        if self.add.is_none() && self.activation == Activation::Linear {
            return;
        }
        isa::dispatch(
            #[inline(always)]
            || {
                if let Some(add) = self.add {
                    y.iter_mut().zip(&add[first * filters..]).for_each(|(y, a)| *y += a);
                }
                self.activation.apply_inlined(y, filters);
            },
        );
    }
}

/// Adds a bias to each row, and applies ReLU.
struct Bias<'a> {
    y: &'a mut [f32],
    bias: &'a [f32],
    relu: bool,
}

impl WithSimd for Bias<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { y, bias, relu } = self;
        let zero = simd.splat_f32s(0.0);
        for first in (0..bias.len()).step_by(S::F32_LANES) {
            let end = bias.len().min(first + S::F32_LANES);
            let offset = load(simd, &bias[first..end]);
            for row in y.chunks_exact_mut(bias.len()) {
                let part = &mut row[first..end];
                let sum = simd.add_f32s(load(simd, part), offset);
                // Not a maximum, which would drop a NaN.
                let sum = if relu { simd.select_f32s(simd.less_than_f32s(sum, zero), zero, sum) } else { sum };
                store(simd, part, sum);
            }
        }
    }
}
