//! Multiplication of maps by one factor for each image and channel, and the gradient of the
//! factors.
//!
//! The caller computes the factors (squeeze-and-excitation).

use super::element::Element;
use super::isa;
use crate::tensor::Shape;
use rayon::prelude::*;

/// `y = y · weights`; `y` `[N, H, W, C]`, `weights` `[N, C]`.
pub fn apply<E: Element>(y: &mut [E], weights: &[f32], shape: Shape) {
    y.par_chunks_mut(shape.len()).zip(weights.par_chunks(shape.channels)).for_each(|(y, weights)| {
        isa::dispatch(
            #[inline(always)]
            || {
                for y in y.chunks_exact_mut(shape.channels) {
                    y.iter_mut().zip(weights).for_each(|(y, w)| *y = E::round(y.widen() * w));
                }
            },
        );
    });
}

/// The weights' gradient: for each image and channel the sum of `x · dy` over
/// its positions, in order.
pub fn gradient<E: Element>(x: &[E], dy: &[E], dweights: &mut [f32], shape: Shape) {
    let images = x.par_chunks(shape.len()).zip(dy.par_chunks(shape.len()));
    dweights.par_chunks_mut(shape.channels).zip(images).for_each(|(sums, (x, dy))| {
        isa::dispatch(
            #[inline(always)]
            || {
                sums.fill(0.0);
                for (x, dy) in x.chunks_exact(shape.channels).zip(dy.chunks_exact(shape.channels)) {
                    sums.iter_mut().zip(x).zip(dy).for_each(|((sum, x), g)| *sum += x.widen() * g.widen());
                }
            },
        );
    });
}
