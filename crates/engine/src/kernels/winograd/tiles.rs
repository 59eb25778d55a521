//! Transforms patches into Winograd's domain, and products back to tiles of the output, for a range
//! of consecutive tiles.
//!
//! The products in between are computed in `forward` and `gradient`.

use super::geometry::Geometry;
use super::transform::{Transform, both_ways};
use crate::kernels::activation::Activation;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::isa::{self, load, store};
use pulp::{Simd, WithSimd};

/// `count` consecutive tiles from tile `first` on, counted over the whole batch, row by row.
#[derive(Clone, Copy)]
pub struct PatchTiles<'a> {
    pub geometry: &'a Geometry,
    pub first: usize,
    pub count: usize,
}

impl PatchTiles<'_> {
    /// Image, and the tile's row and column in it.
    #[inline(always)]
    pub fn place(&self, tile: usize) -> (usize, usize, usize) {
        let [down, across] = self.geometry.tiles();
        let tile = self.first + tile;
        (tile / (down * across), tile / across % down, tile % across)
    }
}

/// Transforms the input patches of the tiles: position `p` of tile `t`, channel `c`, is written to
/// `patches[p · stride + (start + t) · padded + c]`. Channels from `geometry.channels` to `padded`
/// are unspecified.
pub fn load_patches<F: Transform<N, M>, const N: usize, const M: usize>(
    tiles: &PatchTiles<'_>,
    x: &[f32],
    padded: usize,
    stride: usize,
    start: usize,
    patches: SharedMut<'_>,
) {
    struct Load<'a, F, const N: usize, const M: usize> {
        tiles: &'a PatchTiles<'a>,
        x: &'a [f32],
        padded: usize,
        stride: usize,
        start: usize,
        patches: SharedMut<'a>,
        transform: std::marker::PhantomData<F>,
    }
    impl<F: Transform<N, M>, const N: usize, const M: usize> WithSimd for Load<'_, F, N, M> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self { tiles, x, padded, stride, start, patches, .. } = self;
            let geometry = tiles.geometry;
            let ([height, width], channels) = (geometry.input, geometry.channels);
            let zero = simd.splat_f32s(0.0);
            for tile in 0..tiles.count {
                let (image, row, column) = tiles.place(tile);
                let image = &x[image * height * width * channels..][..height * width * channels];
                let top = (row * M) as isize - geometry.before[0] as isize;
                let left = (column * M) as isize - geometry.before[1] as isize;
                let rows = inside(top, N, height);
                let columns = inside(left, N, width);
                let whole = rows == (0..N) && columns == (0..N);
                for c in (0..channels).step_by(S::F32_LANES) {
                    let lanes = S::F32_LANES.min(channels - c);
                    let mut patch = [[zero; N]; N];
                    let at = |i: usize, j: usize| {
                        ((top + i as isize) as usize * width + (left + j as isize) as usize) * channels + c
                    };
                    if whole && lanes == S::F32_LANES {
                        for (i, line) in patch.iter_mut().enumerate() {
                            for (j, value) in line.iter_mut().enumerate() {
                                // SAFETY: a whole patch lies inside the image, and so do
                                // the vector's channels.
                                #[allow(unsafe_code)]
                                unsafe {
                                    *value = image.as_ptr().add(at(i, j)).cast::<S::f32s>().read_unaligned();
                                }
                            }
                        }
                    } else {
                        for (i, line) in patch.iter_mut().enumerate() {
                            for (j, value) in line.iter_mut().enumerate() {
                                if rows.contains(&i) && columns.contains(&j) {
                                    *value = load(simd, &image[at(i, j)..][..lanes]);
                                }
                            }
                        }
                    }
                    let places = both_ways(
                        patch,
                        zero,
                        #[inline(always)]
                        |line| F::input(simd, line),
                    );
                    for (p, value) in places.as_flattened().iter().enumerate() {
                        // SAFETY: every tile belongs to one task, and `padded` is a
                        // multiple of every vector's length.
                        #[allow(unsafe_code)]
                        unsafe {
                            let to = patches.slice(p * stride + (start + tile) * padded + c, S::F32_LANES);
                            to.as_mut_ptr().cast::<S::f32s>().write_unaligned(*value);
                        }
                    }
                }
            }
        }
    }
    isa::dispatch(Load::<F, N, M> { tiles, x, padded, stride, start, patches, transform: std::marker::PhantomData });
}

/// Transforms one panel of products back and writes it to the output: position `p` of tile `t`,
/// filter `first + k`, is read from `products[p · stride + t · width + k]`.
pub fn store_outputs<F: Transform<N, M>, const N: usize, const M: usize>(
    tiles: &PatchTiles<'_>,
    products: &[f32],
    stride: usize,
    width: usize,
    first: usize,
    epilogue: &Epilogue<'_>,
    y: SharedMut<'_>,
) {
    struct Store<'a, F, const N: usize, const M: usize> {
        tiles: &'a PatchTiles<'a>,
        products: &'a [f32],
        stride: usize,
        width: usize,
        first: usize,
        epilogue: &'a Epilogue<'a>,
        y: SharedMut<'a>,
        transform: std::marker::PhantomData<F>,
    }
    impl<F: Transform<N, M>, const N: usize, const M: usize> WithSimd for Store<'_, F, N, M> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self { tiles, products, stride, width, first, epilogue, y, .. } = self;
            let geometry = tiles.geometry;
            let ([height, across], filters) = (geometry.output, geometry.filters);
            let zero = simd.splat_f32s(0.0);
            let relu = epilogue.activation == Activation::Relu;
            assert!(products.len() >= (N * N - 1) * stride + tiles.count * width, "products of every tile");
            for tile in 0..tiles.count {
                let (image, row, column) = tiles.place(tile);
                let rows = M.min(height - row * M);
                let columns = M.min(across - column * M);
                for k in (0..width.min(filters - first)).step_by(S::F32_LANES) {
                    let lanes = S::F32_LANES.min(filters - first - k);
                    let mut places = [[zero; N]; N];
                    for (p, value) in places.as_flattened_mut().iter_mut().enumerate() {
                        // SAFETY: inside by the assertion above; the width of a panel is a whole
                        // number of vectors.
                        #[allow(unsafe_code)]
                        unsafe {
                            let from = products.as_ptr().add(p * stride + tile * width + k);
                            *value = from.cast::<S::f32s>().read_unaligned();
                        }
                    }
                    let outputs = both_ways(
                        places,
                        zero,
                        #[inline(always)]
                        |line| F::output(simd, line),
                    );
                    let bias = match epilogue.bias {
                        Some(bias) => load(simd, &bias[first + k..][..lanes]),
                        None => zero,
                    };
                    for (i, line) in outputs.iter().enumerate().take(rows) {
                        for (j, &value) in line.iter().enumerate().take(columns) {
                            let position = (image * height + row * M + i) * across + column * M + j;
                            let place = position * filters + first + k;
                            let mut value = simd.add_f32s(value, bias);
                            if let Some(add) = epilogue.add {
                                value = simd.add_f32s(value, load(simd, &add[place..][..lanes]));
                            }
                            if relu {
                                // The order of the operands propagates a NaN.
                                value = simd.max_f32s(zero, value);
                            }
                            // SAFETY: every output position and filter belongs to one
                            // tile and one panel, hence to one task.
                            #[allow(unsafe_code)]
                            let to = unsafe { y.slice(place, lanes) };
                            store(simd, to, value);
                            if !relu {
                                epilogue.activation.apply(to, lanes);
                            }
                        }
                    }
                }
            }
        }
    }
    let transform = std::marker::PhantomData;
    isa::dispatch(Store::<F, N, M> { tiles, products, stride, width, first, epilogue, y, transform });
}

/// The indices of a line of `count` from `start` that are in `0..extent`.
#[inline(always)]
fn inside(start: isize, count: usize, extent: usize) -> std::ops::Range<usize> {
    let first = (-start).clamp(0, count as isize) as usize;
    let end = (extent as isize - start).clamp(first as isize, count as isize) as usize;
    first..end
}
