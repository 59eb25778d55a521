//! Converts images of a data set to network inputs.

use moue::model::Normalization;
use moue_engine::{Shape, Tensor};
use rayon::prelude::*;

/// Writes images without augmentation to `out`, `[N, H, W, C]`, normalized; `pixels` returns the
/// pixels of an index, `[H, W, C]`, 0–255.
pub fn inputs<P: AsRef<[u8]>>(
    [height, width, channels]: [usize; 3],
    images: &[usize],
    pixels: impl Fn(usize) -> P + Sync,
    normalization: &Normalization,
    out: &mut Tensor,
) {
    let shape = Shape::new(height, width, channels);
    out.reset(images.len(), shape);
    out.data_mut().par_chunks_mut(shape.len()).zip(images).for_each(|(out, &index)| {
        out.iter_mut().zip(pixels(index).as_ref()).for_each(|(out, &value)| *out = f32::from(value));
        normalization.apply(out, channels);
    });
}
