//! The output of the convolution: transforms patches, multiplies them by the filters at every
//! position, and transforms the products back.
//!
//! With flipped, transposed filters this also computes the input's gradient. The transforms are in
//! `tiles` and `filter`.

use super::geometry::{Geometry, SKEW, TileSize};
use super::tiles::{PatchTiles, load_patches, store_outputs};
use super::transform::{F2, F4, Transform};
use crate::buffer::Buffer;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::{self, Destination, Matrix};
use rayon::prelude::*;
use std::cell::RefCell;

/// Values of scratch per task: 768 KiB, to fit into the second level of the cache.
const SCRATCH: usize = 192 * 1024;

/// Number of tasks below which the filters are divided as well.
const FEW_TASKS: usize = 4;

thread_local! {
    static TILES: RefCell<Buffer> = RefCell::new(Buffer::default());
}

/// `y = x ∗ filters`, followed by `epilogue`; `x` `[N, H, W, C]`, `y` `[N, OH, OW, F]`, `filters`
/// from [`super::transform_filters`].
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
    // With few tiles, as in a single image, the filters are divided too; then the patches are
    // transformed once for each part.
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
                scratch.resize(needed);
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
                    // SAFETY: `c` contains `count` rows of one panel and is used by this task only.
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
