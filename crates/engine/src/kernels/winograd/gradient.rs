//! The gradient of the filters.
//!
//! All threads transform a block of tiles, then one task adds the product at each position to its
//! sums, block after block, so that the order of every sum is fixed. The transforms are in `tiles`
//! and `filter`.

use super::filter::gather_kernel;
use super::geometry::{Geometry, SKEW, TileSize};
use super::tiles::{PatchTiles, load_patches};
use super::transform::{F2, F4, Transform, both_ways};
use crate::buffer::Buffer;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::gemm::{self, Destination, Matrix};
use crate::kernels::isa::{self, load};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Tiles in a block: the depth of a product.
const BLOCK_TILES: usize = gemm::BLOCK;

/// Tiles per task.
const TASK_TILES: usize = 16;

/// Computes the kernel's gradient `[3, 3, C, F]` from `x` `[N, H, W, C]` and `dy` `[N, OH, OW, F]`;
/// overwrites `dkernel`. `scratch` keeps its memory between calls.
pub fn backward_kernel(geometry: &Geometry, x: &[f32], dy: &[f32], scratch: &mut Buffer, dkernel: &mut [f32]) {
    match geometry.tile {
        TileSize::Two => backward_with::<F2, 4, 2>(geometry, x, dy, scratch, dkernel),
        TileSize::Four => backward_with::<F4, 6, 4>(geometry, x, dy, scratch, dkernel),
    }
}

fn backward_with<F: Transform<N, M>, const N: usize, const M: usize>(
    geometry: &Geometry,
    x: &[f32],
    dy: &[f32],
    scratch: &mut Buffer,
    dkernel: &mut [f32],
) {
    let (channels, filters) = (geometry.channels, geometry.filters);
    let batch = dy.len() / (geometry.output[0] * geometry.output[1] * filters).max(1);
    let total = batch * geometry.tiles_per_image();
    let padded = geometry.padded_channels();
    let width = gemm::panel_width();
    let padded_filters = filters.next_multiple_of(width);
    let block = BLOCK_TILES.min(total);
    let patches_stride = block * padded + SKEW;
    let gradients_stride = block * padded_filters + SKEW;
    let sums_len = N * N * channels * padded_filters;
    let needed = N * N * (patches_stride + gradients_stride) + sums_len;
    if scratch.len() < needed {
        scratch.resize(needed);
    }
    let (patches, rest) = scratch.split_at_mut(N * N * patches_stride);
    let (gradients, sums) = rest.split_at_mut(N * N * gradients_stride);
    let sums = &mut sums[..sums_len];
    for first in (0..total).step_by(block) {
        let count = block.min(total - first);
        let (to_patches, to_gradients) = (SharedMut::new(patches), SharedMut::new(gradients));
        (0..count.div_ceil(TASK_TILES)).into_par_iter().for_each(|task| {
            let start = task * TASK_TILES;
            let tiles = PatchTiles { geometry, first: first + start, count: TASK_TILES.min(count - start) };
            load_patches::<F, N, M>(&tiles, x, padded, patches_stride, start, to_patches);
            load_gradients::<F, N, M>(&tiles, dy, gradients_stride, block, start, to_gradients);
        });
        sums.par_chunks_exact_mut(channels * padded_filters).enumerate().for_each(|(place, sums)| {
            let patches = Matrix::transposed(&patches[place * patches_stride..], padded);
            let gradients = &gradients[place * gradients_stride..];
            for panel in 0..padded_filters / width {
                let gradients = &gradients[panel * block * width..][..count * width];
                let c = Destination { data: sums[panel * width..].as_mut_ptr(), row_stride: padded_filters };
                // SAFETY: `sums` contains `channels` rows of all panels and is used by this task
                // only.
                #[allow(unsafe_code)]
                unsafe {
                    gemm::gemm_raw(c, patches, gradients, channels, count, width, first > 0);
                }
            }
        });
    }
    gather_kernel::<F, N, M>(geometry, sums, padded_filters, dkernel);
}

/// Transforms the output's gradient of the tiles, `A dY Aᵀ`: position `p` of tile `t`, filter `k`,
/// is written to panel `k / width` of matrix `p`, row `start + t`.
fn load_gradients<F: Transform<N, M>, const N: usize, const M: usize>(
    tiles: &PatchTiles<'_>,
    dy: &[f32],
    stride: usize,
    block: usize,
    start: usize,
    gradients: SharedMut<'_>,
) {
    isa::dispatch(Load::<F, N, M> { tiles, dy, stride, block, start, gradients, transform: PhantomData });
}

struct Load<'a, F, const N: usize, const M: usize> {
    tiles: &'a PatchTiles<'a>,
    dy: &'a [f32],
    stride: usize,
    block: usize,
    start: usize,
    gradients: SharedMut<'a>,
    transform: PhantomData<F>,
}

impl<F: Transform<N, M>, const N: usize, const M: usize> WithSimd for Load<'_, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, dy, stride, block, start, gradients, .. } = self;
        let ([height, across], filters) = (tiles.geometry.output, tiles.geometry.filters);
        let width = 2 * S::F32_LANES;
        let zero = simd.splat_f32s(0.0);
        for tile in 0..tiles.count {
            let (image, row, column) = tiles.place(tile);
            let (rows, columns) = (M.min(height - row * M), M.min(across - column * M));
            for k in (0..filters.next_multiple_of(width)).step_by(S::F32_LANES) {
                let lanes = S::F32_LANES.min(filters.saturating_sub(k));
                let mut values = [[zero; M]; M];
                if lanes > 0 {
                    for (i, line) in values.iter_mut().enumerate().take(rows) {
                        for (j, value) in line.iter_mut().enumerate().take(columns) {
                            let position = (image * height + row * M + i) * across + column * M + j;
                            *value = load(simd, &dy[position * filters + k..][..lanes]);
                        }
                    }
                }
                let places = both_ways(
                    values,
                    zero,
                    #[inline(always)]
                    |line| F::spread(simd, line),
                );
                let at = (k / width * block + start + tile) * width + k % width;
                for (p, &value) in places.as_flattened().iter().enumerate() {
                    // SAFETY: every tile belongs to one task.
                    #[allow(unsafe_code)]
                    unsafe {
                        let to = gradients.slice(p * stride + at, S::F32_LANES);
                        to.as_mut_ptr().cast::<S::f32s>().write_unaligned(value);
                    }
                }
            }
        }
    }
}
