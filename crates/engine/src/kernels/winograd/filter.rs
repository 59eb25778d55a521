//! Transforms filters into Winograd's domain, and their gradient back.
//!
//! The products in between are computed in `forward` and `gradient`.

use super::geometry::{Geometry, TileSize};
use super::transform::{F2, F4, Transform};
use crate::kernels::disjoint::SharedMut;
use crate::kernels::isa::{self, load};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Input channels that one task transforms.
const TASK: usize = 8;

/// Transforms a kernel `[3, 3, channels, filters]` into `places` packed matrices
/// `[channels, filters]`, `G g Gᵀ`.
pub fn transform_filters(geometry: &Geometry, kernel: &[f32], transformed: &mut [f32]) {
    match geometry.tile {
        TileSize::Two => transform_with::<F2, 4, 2>(geometry, kernel, transformed),
        TileSize::Four => transform_with::<F4, 6, 4>(geometry, kernel, transformed),
    }
}

fn transform_with<F: Transform<N, M>, const N: usize, const M: usize>(
    geometry: &Geometry,
    kernel: &[f32],
    transformed: &mut [f32],
) {
    let (channels, filters) = (geometry.channels, geometry.filters);
    assert!(kernel.len() == 9 * channels * filters && transformed.len() >= geometry.transformed_len());
    let transformed = SharedMut::new(transformed);
    (0..channels.div_ceil(TASK)).into_par_iter().for_each(|task| {
        let (first, last) = (task * TASK, ((task + 1) * TASK).min(channels));
        isa::dispatch(Forward::<F, N, M> {
            channels,
            filters,
            first,
            last,
            kernel,
            transformed,
            transform: PhantomData,
        });
    });
}

struct Forward<'a, F, const N: usize, const M: usize> {
    channels: usize,
    filters: usize,
    first: usize,
    last: usize,
    kernel: &'a [f32],
    transformed: SharedMut<'a>,
    transform: PhantomData<F>,
}

impl<F: Transform<N, M>, const N: usize, const M: usize> WithSimd for Forward<'_, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { channels, filters, kernel, .. } = self;
        let width = 2 * S::F32_LANES;
        let place_len = channels * filters.next_multiple_of(width);
        let zero = simd.splat_f32s(0.0);
        for c in self.first..self.last {
            for k in (0..filters.next_multiple_of(width)).step_by(S::F32_LANES) {
                let lanes = S::F32_LANES.min(filters.saturating_sub(k));
                // G g, line by line of the kernel, then (G g) Gᵀ.
                let mut half = [[zero; 3]; N];
                if lanes > 0 {
                    for j in 0..3 {
                        let mut taps = [zero; 3];
                        for (i, tap) in taps.iter_mut().enumerate() {
                            let at = ((i * 3 + j) * channels + c) * filters + k;
                            *tap = load(simd, &kernel[at..at + lanes]);
                        }
                        for (half, factors) in half.iter_mut().zip(&F::FILTER) {
                            half[j] = weigh(simd, factors, &taps);
                        }
                    }
                }
                let at = (k / width * channels + c) * width + k % width;
                for (i, half) in half.iter().enumerate() {
                    for (j, factors) in F::FILTER.iter().enumerate() {
                        let value = weigh(simd, factors, half);
                        // SAFETY: channel c belongs to this task alone.
                        #[allow(unsafe_code)]
                        let to = unsafe { self.transformed.slice((i * N + j) * place_len + at, S::F32_LANES) };
                        simd.partial_store_f32s(to, value);
                    }
                }
            }
        }
    }
}

/// `factors · values`.
#[inline(always)]
fn weigh<S: Simd, const L: usize>(simd: S, factors: &[f32; L], values: &[S::f32s; L]) -> S::f32s {
    let mut sum = simd.mul_f32s(simd.splat_f32s(factors[0]), values[0]);
    for (&factor, &value) in factors[1..].iter().zip(&values[1..]) {
        sum = simd.mul_add_e_f32s(simd.splat_f32s(factor), value, sum);
    }
    sum
}

/// The inverse transform for the gradient: from `places` matrices `[channels, width]` of sums to
/// the kernel's gradient `[3, 3, channels, filters]`, `Gᵀ U G`.
pub(super) fn gather_kernel<F: Transform<N, M>, const N: usize, const M: usize>(
    geometry: &Geometry,
    sums: &[f32],
    width: usize,
    dkernel: &mut [f32],
) {
    let (channels, filters) = (geometry.channels, geometry.filters);
    assert!(dkernel.len() == 9 * channels * filters && sums.len() >= N * N * channels * width);
    let dkernel = SharedMut::new(dkernel);
    (0..channels.div_ceil(TASK)).into_par_iter().for_each(|task| {
        let (first, last) = (task * TASK, ((task + 1) * TASK).min(channels));
        isa::dispatch(Backward::<F, N, M> {
            channels,
            filters,
            first,
            last,
            sums,
            width,
            dkernel,
            transform: PhantomData,
        });
    });
}

struct Backward<'a, F, const N: usize, const M: usize> {
    channels: usize,
    filters: usize,
    first: usize,
    last: usize,
    sums: &'a [f32],
    width: usize,
    dkernel: SharedMut<'a>,
    transform: PhantomData<F>,
}

impl<F: Transform<N, M>, const N: usize, const M: usize> WithSimd for Backward<'_, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { channels, filters, sums, width, .. } = self;
        let zero = simd.splat_f32s(0.0);
        let column = |j: usize| -> [f32; N] { std::array::from_fn(|i| F::FILTER[i][j]) };
        let columns = [column(0), column(1), column(2)];
        for c in self.first..self.last {
            for k in (0..filters).step_by(S::F32_LANES) {
                let lanes = S::F32_LANES.min(filters - k);
                let mut half = [[zero; N]; 3];
                for j in 0..N {
                    let mut line = [zero; N];
                    for (i, value) in line.iter_mut().enumerate() {
                        let at = ((i * N + j) * channels + c) * width + k;
                        *value = load(simd, &sums[at..at + lanes]);
                    }
                    for (half, factors) in half.iter_mut().zip(&columns) {
                        half[j] = weigh(simd, factors, &line);
                    }
                }
                for (i, half) in half.iter().enumerate() {
                    for (j, factors) in columns.iter().enumerate() {
                        let value = weigh(simd, factors, half);
                        // SAFETY: channel c belongs to this task alone.
                        #[allow(unsafe_code)]
                        let to = unsafe { self.dkernel.slice(((i * 3 + j) * channels + c) * filters + k, lanes) };
                        simd.partial_store_f32s(to, value);
                    }
                }
            }
        }
    }
}

/// A flipped and transposed kernel `[taps, channels, filters]`: taps in reverse order, `[taps,
/// filters, channels]`.
pub fn flip_and_transpose(kernel: &[f32], channels: usize, filters: usize, turned: &mut [f32]) {
    const SIDE: usize = 16;
    let area = channels * filters;
    turned[..kernel.len()].par_chunks_exact_mut(area).zip(kernel.par_chunks_exact(area).rev()).for_each(
        |(to, from)| {
            for first in (0..filters).step_by(SIDE) {
                for start in (0..channels).step_by(SIDE) {
                    for f in first..(first + SIDE).min(filters) {
                        for c in start..(start + SIDE).min(channels) {
                            to[f * channels + c] = from[c * filters + f];
                        }
                    }
                }
            }
        },
    );
}
