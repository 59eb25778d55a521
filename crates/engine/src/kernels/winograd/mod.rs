//! 3 × 3 convolution of stride 1 by Winograd's minimal filtering, in its three
//! directions.
//!
//! The output is cut into tiles of `M × M`. For each of the `N²` places of a
//! transformed patch there is one matrix product over channels: `[tiles, C]` by
//! `[C, filters]`. A task transforms the patches of a few tiles into scratch of
//! its thread, multiplies one panel of filters at a time and transforms that
//! panel back into the output, so that what it works on stays in the cache. The
//! input's gradient is the same routine with flipped, transposed filters. The
//! filters' gradient multiplies transformed patches by transformed gradients
//! over all tiles, block by block in order, so that its bits are always the same.

mod filter;
mod gradient;
mod tiles;
mod transform;

pub use filter::{flip_and_transpose, transform_filters};
pub use gradient::backward_kernel;
use tiles::{PatchTiles, load_patches, store_outputs};
use transform::{F2, F4, Transform};

use super::convolution::Epilogue;
use super::gemm::{self, Destination, LANES, Matrix};
use super::shared::SharedMut;
use crate::tensor::{Buffer, zeros};
use rayon::prelude::*;
use std::cell::RefCell;

/// Values of scratch that one task fills: 768 KiB, to stay in the second level
/// of the cache.
const SCRATCH: usize = 192 * 1024;

/// Added to the length of each transformed matrix, so that its `N²` places do
/// not fall into the same set of the cache.
const SKEW: usize = LANES;

/// Tasks below which the filters are divided as well.
const FEW_TASKS: usize = 4;

thread_local! {
    static TILES: RefCell<Buffer> = RefCell::new(zeros(0));
}

/// The size of the output's tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileSize {
    /// `F(2 × 2, 3 × 3)`.
    Two,
    /// `F(4 × 4, 3 × 3)`.
    Four,
}

impl TileSize {
    /// Places of a transformed patch, `N²`.
    pub fn places(self) -> usize {
        match self {
            Self::Two => 16,
            Self::Four => 36,
        }
    }

    /// Side of the output's tile, `M`.
    pub fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// A 3 × 3 convolution of stride 1: extents are `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub tile: TileSize,
    pub input: [usize; 2],
    pub channels: usize,
    /// Zeros above and to the left of the input.
    pub before: [usize; 2],
    pub output: [usize; 2],
    pub filters: usize,
}

impl Geometry {
    /// Tiles down and across.
    fn tiles(&self) -> [usize; 2] {
        self.output.map(|extent| extent.div_ceil(self.tile.side()))
    }

    /// Tiles in one image.
    pub fn tiles_per_image(&self) -> usize {
        self.tiles().iter().product()
    }

    /// Multiplications for one image and one pair of channels.
    pub fn multiplications(&self) -> usize {
        self.tiles_per_image() * self.tile.places()
    }

    /// The geometry of the input's gradient: a convolution over the output.
    pub fn transposed(&self) -> Self {
        Self {
            tile: self.tile,
            input: self.output,
            channels: self.filters,
            before: self.before.map(|before| 2 - before),
            output: self.input,
            filters: self.channels,
        }
    }

    /// Values in the transformed, packed filters.
    pub fn transformed_len(&self) -> usize {
        self.tile.places() * gemm::packed_len(self.channels, self.filters)
    }

    fn padded_channels(&self) -> usize {
        self.channels.next_multiple_of(LANES)
    }
}

/// `y = x ∗ filters`, finished by `epilogue`; `x` `[N, H, W, C]`, `y`
/// `[N, OH, OW, F]`, `filters` from [`transform_filters`].
pub fn convolve(geometry: &Geometry, x: &[f32], filters: &[f32], epilogue: &Epilogue<'_>, y: &mut [f32]) {
    match geometry.tile {
        TileSize::Two => convolve_with::<F2, 4, 2>(geometry, x, filters, epilogue, y),
        TileSize::Four => convolve_with::<F4, 6, 4>(geometry, x, filters, epilogue, y),
    }
}

fn convolve_with<F: Transform<N, M>, const N: usize, const M: usize>(
    geometry: &Geometry,
    x: &[f32],
    filters: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    let batch = y.len() / (geometry.output[0] * geometry.output[1] * geometry.filters).max(1);
    let total = batch * geometry.tiles_per_image();
    let channels = geometry.padded_channels();
    let width = gemm::panel_width();
    let most = (SCRATCH / (N * N * (channels + 32))).clamp(12, 144);
    let groups = total.div_ceil(most).max(FEW_TASKS.min(total.div_ceil(12)));
    let count = total.div_ceil(groups.max(1)).next_multiple_of(12);
    let groups = total.div_ceil(count);
    // Few tiles, as in a single image: the filters are divided too, at the price
    // of transforming the patches once for each part.
    let panels = geometry.filters.div_ceil(width);
    let parts = FEW_TASKS.div_ceil(groups.max(1)).min(panels.div_ceil(2)).max(1);
    let panels_per_part = panels.div_ceil(parts);
    let y = SharedMut::new(y);
    (0..groups * parts).into_par_iter().for_each(|task| {
        let first = task / parts * count;
        let tiles = PatchTiles { geometry, first, count: count.min(total - first) };
        let patches_stride = tiles.count * channels + SKEW;
        let outputs_stride = tiles.count * width + SKEW;
        TILES.with_borrow_mut(|scratch| {
            let needed = N * N * (patches_stride + outputs_stride);
            if scratch.len() < needed {
                scratch.resize(needed, 0.0);
            }
            let (patches, outputs) = scratch.split_at_mut(N * N * patches_stride);
            load_patches::<F, N, M>(&tiles, x, channels, patches_stride, 0, SharedMut::new(patches));
            let last = ((task % parts + 1) * panels_per_part).min(panels);
            for panel in task % parts * panels_per_part..last {
                for place in 0..N * N {
                    let filters = &filters[place * geometry.channels * panels * width..];
                    let filters = &filters[panel * geometry.channels * width..][..geometry.channels * width];
                    let a = Matrix::rows(&patches[place * patches_stride..], channels);
                    let c = &mut outputs[place * outputs_stride..][..tiles.count * width];
                    let c = Destination { data: c.as_mut_ptr(), row_stride: width };
                    // SAFETY: `c` holds `count` rows of one panel and is this task's own.
                    #[allow(unsafe_code)]
                    unsafe {
                        gemm::gemm_raw(c, a, filters, tiles.count, geometry.channels, width, false);
                    }
                }
                store_outputs::<F, N, M>(&tiles, outputs, outputs_stride, width, panel * width, epilogue, y);
            }
        });
    });
}
