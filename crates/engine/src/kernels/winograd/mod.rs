//! 3 × 3 convolution of stride 1 by Winograd's minimal filtering: the output, the input's
//! gradient and the gradient of the filters.
//!
//! The output is divided into tiles of `M × M`. For each of the `N²` positions of a transformed
//! patch there is one matrix product over channels: `[tiles, C]` by `[C, filters]`. A task
//! transforms the patches of a few tiles into scratch of its thread, multiplies one panel of
//! filters at a time and transforms that panel back into the output, so that its working set fits
//! into the cache. The input's gradient is the same routine with flipped, transposed filters. The
//! gradient of the filters multiplies transformed patches by transformed gradients over all tiles,
//! block by block in order, so that it is bit-identical for any number of threads.
//!
//! `convolution` selects this algorithm.

mod filter;
mod forward;
mod geometry;
mod gradient;
mod tiles;
mod transform;

pub use filter::{flip_and_transpose, transform_filters};
pub use forward::convolve;
pub use geometry::{Geometry, TileSize};
pub use gradient::backward_kernel;
