//! Nearest-neighbor upsampling: each position of a map becomes a block of equal positions.
//!
//! The layer determines the size of the blocks.

use super::isa;
use crate::tensor::Shape;
use rayon::prelude::*;

/// Repeats each position of `x` `[N, H, W, C]` `down` times vertically and `across` times
/// horizontally.
pub fn forward(input: Shape, [down, across]: [usize; 2], x: &[f32], y: &mut [f32]) {
    let (channels, line) = (input.channels, input.width * input.channels);
    y.par_chunks_mut(line * across).enumerate().for_each(|(row, y)| {
        let x = &x[row / down * line..][..line];
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels * across)) {
            y.chunks_exact_mut(channels).for_each(|y| y.copy_from_slice(x));
        }
    });
}

/// Adds the gradients of each block, row by row. `dx` is overwritten.
pub fn backward(input: Shape, [down, across]: [usize; 2], dy: &[f32], dx: &mut [f32]) {
    let (channels, line) = (input.channels, input.width * input.channels);
    dx.par_chunks_mut(line).zip(dy.par_chunks(line * across * down)).for_each(|(dx, dy)| {
        isa::dispatch(
            #[inline(always)]
            || {
                dx.fill(0.0);
                for dy in dy.chunks_exact(line * across) {
                    for (dx, block) in dx.chunks_exact_mut(channels).zip(dy.chunks_exact(channels * across)) {
                        for dy in block.chunks_exact(channels) {
                            dx.iter_mut().zip(dy).for_each(|(dx, g)| *dx += g);
                        }
                    }
                }
            },
        );
    });
}
