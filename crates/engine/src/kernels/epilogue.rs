//! What follows the sums of a convolution: bias, another map and the activation.
//!
//! Every method of convolution applies it while its output is still in the cache; how the sums
//! are computed is left to those methods.

use super::activation::Activation;
use super::isa;

/// What is done to the sums of a convolution before they are stored:
/// `activation(sum + bias + add)`.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// A value for each filter.
    pub bias: Option<&'a [f32]>,
    /// Another map of the output's shape, for a residual block.
    pub add: Option<&'a [f32]>,
    /// One that [works in place](Activation::works_in_place).
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Finishes whole rows of `filters` values, the first of which is output row `first`.
    pub fn finish(&self, y: &mut [f32], first: usize, filters: usize) {
        let relu = self.activation == Activation::Relu;
        isa::dispatch(
            #[inline(always)]
            || {
                if let (Some(bias), true, None) = (self.bias, relu, self.add) {
                    for row in y.chunks_exact_mut(filters) {
                        row.iter_mut().zip(bias).for_each(|(y, b)| *y = if *y + b < 0.0 { 0.0 } else { *y + b });
                    }
                    return;
                }
                if let Some(bias) = self.bias {
                    for row in y.chunks_exact_mut(filters) {
                        row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                    }
                }
                if let Some(add) = self.add {
                    y.iter_mut().zip(&add[first * filters..]).for_each(|(y, a)| *y += a);
                }
                self.activation.apply_inlined(y, filters);
            },
        );
    }
}
