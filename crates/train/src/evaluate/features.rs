//! Features of images: what a network computes before its last dense layer.

use crate::data::{Dataset, inputs};
use moue::model::Model;
use moue_engine::{InferenceNetwork, Tensor};

/// Images in a batch.
const BATCH: usize = 128;

/// Calls `take` with the position and the features of each image: the mean over positions of the input of the last dense
/// layer (or convolution). `false` for a network without such a layer. The data must fit the model.
pub fn features(model: &Model, dataset: &Dataset, images: &[usize], take: &mut dyn FnMut(usize, &[f32])) -> bool {
    features_of(model, images, |index| dataset.image(index), take)
}

/// The same for images whose pixels (`[H, W, C]` of the model's input, 0–255) `pixels` returns.
pub(super) fn features_of<'a>(
    model: &Model,
    images: &[usize],
    pixels: impl Fn(usize) -> &'a [u8] + Sync,
    take: &mut dyn FnMut(usize, &[f32]),
) -> bool {
    let Some(mut network) = InferenceNetwork::features(model.network()) else { return false };
    let mut batch = Tensor::default();
    let mut at = 0;
    for chunk in images.chunks(BATCH) {
        inputs(model.input(), chunk, &pixels, model.normalization(), &mut batch);
        let maps = network.run(&batch);
        let (channels, len) = (maps.shape().channels, maps.shape().len());
        let mut mean = vec![0.0; channels];
        for map in maps.data().chunks_exact(len) {
            mean.fill(0.0);
            for row in map.chunks_exact(channels) {
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            let positions = (len / channels) as f32;
            mean.iter_mut().for_each(|sum| *sum /= positions);
            take(at, &mean);
            at += 1;
        }
    }
    true
}
