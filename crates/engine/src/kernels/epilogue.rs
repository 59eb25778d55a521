//! The epilogue of a convolution: bias, addition of another map and activation.
//!
//! Every convolution algorithm applies it while its output is in the cache.

use super::activation::Activation;
use super::isa;

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
