//! Batches of inputs, made ahead on a thread of their own.

use crate::augment::{Augmentation, normalise};
use crate::data::Dataset;
use crate::model::Normalisation;
use moue_engine::random::{Stream, key};
use moue_engine::{Shape, Tensor};
use rayon::prelude::*;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Batches that wait, made, before the loader pauses.
const AHEAD: usize = 2;

/// A batch ready for the network.
#[derive(Default)]
pub struct Batch {
    /// Normalised images, `[N, H, W, C]`.
    pub images: Tensor,
    /// The same images at the data set's own size, 0–255, where there are
    /// teachers to look at them.
    pub full_size: Tensor,
    /// Index of each image's class.
    pub labels: Vec<u32>,
    /// Share of each image in what it was blended into; the rest is the next
    /// image of the batch, the first one for the last.
    pub shares: Vec<f32>,
    /// Key of each image's random draws in this epoch.
    pub keys: Vec<u64>,
}

/// What a loader needs to know.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    /// Where the images are.
    pub dataset: &'a Dataset,
    /// What is done to them.
    pub augmentation: &'a Augmentation,
    /// How they are scaled.
    pub normalisation: &'a Normalisation,
    /// Seed of the run.
    pub seed: u64,
    /// Images in a batch.
    pub batch_size: usize,
    /// `[height, width]` of the network's images in this epoch.
    pub size: [usize; 2],
    /// Whether [`Batch::full_size`] is wanted.
    pub full_size: bool,
}

impl Loader<'_> {
    /// The order of an epoch: indices of training images.
    pub fn order(&self, training: &[usize], epoch: usize) -> Vec<usize> {
        let mut order = training.to_vec();
        Stream::new(key(&[self.seed, u64::from_le_bytes(*b"order\0\0\0"), epoch as u64])).shuffle(&mut order);
        order
    }

    /// Hands `run` a source of the epoch's batches from number `first` on.
    pub fn epoch<R>(
        &self,
        order: &[usize],
        epoch: usize,
        first: usize,
        run: impl FnOnce(&mut dyn FnMut(Option<Batch>) -> Option<Batch>) -> R,
    ) -> R {
        let (full, made): (SyncSender<Batch>, Receiver<Batch>) = sync_channel(AHEAD);
        let (used, empty) = sync_channel::<Batch>(AHEAD + 2);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for images in order.chunks(self.batch_size).skip(first) {
                    let mut batch = empty.try_recv().unwrap_or_default();
                    self.fill(images, epoch, &mut batch);
                    // The other side has hung up when training has stopped early.
                    if full.send(batch).is_err() {
                        return;
                    }
                }
            });
            let mut next = |back: Option<Batch>| {
                if let Some(batch) = back {
                    let _ = used.try_send(batch);
                }
                made.recv().ok()
            };
            let result = run(&mut next);
            drop(made);
            result
        })
    }

    fn fill(&self, images: &[usize], epoch: usize, batch: &mut Batch) {
        batch.labels.clear();
        batch.keys.clear();
        batch.shares.clear();
        for &index in images {
            let image = key(&[self.seed, epoch as u64, index as u64]);
            batch.labels.push(self.dataset.labels[index]);
            batch.keys.push(image);
            let mut stream = Stream::new(key(&[image, u64::from_le_bytes(*b"mixup\0\0\0")]));
            batch.shares.push(self.augmentation.kept_share(&mut stream));
        }
        let own = [self.dataset.height, self.dataset.width];
        if self.full_size {
            self.draw(images, &batch.keys, &batch.shares, own, &mut batch.full_size);
        }
        if self.full_size && self.size == own {
            batch.images.copy_from(&batch.full_size);
        } else {
            self.draw(images, &batch.keys, &batch.shares, self.size, &mut batch.images);
        }
        normalise(batch.images.data_mut(), self.dataset.channels, self.normalisation);
    }

    /// Altered and blended images, 0–255.
    fn draw(&self, images: &[usize], keys: &[u64], shares: &[f32], size: [usize; 2], out: &mut Tensor) {
        let dataset = self.dataset;
        let shape = Shape::new(dataset.height, dataset.width, dataset.channels);
        let resized = Shape::new(size[0], size[1], dataset.channels);
        out.reset(images.len(), resized);
        for ((&index, &image), out) in images.iter().zip(keys).zip(out.data_mut().chunks_exact_mut(resized.len())) {
            let mut stream = Stream::new(key(&[image, u64::from_le_bytes(*b"augment\0")]));
            self.augmentation.apply(dataset.image(index), shape, &mut stream, size, out);
        }
        if self.augmentation.mixup > 0.0 {
            blend(out.data_mut(), resized.len(), shares);
        }
    }
}

/// Blends each image with the next one, the last with the first.
fn blend(values: &mut [f32], len: usize, shares: &[f32]) {
    let first = values[..len].to_vec();
    for (i, &share) in shares.iter().enumerate() {
        let (image, rest) = values[i * len..].split_at_mut(len);
        let other = rest.get(..len).unwrap_or(&first);
        image.iter_mut().zip(other).for_each(|(value, other)| *value = share * *value + (1.0 - share) * other);
    }
}

/// Unaltered images as inputs, for evaluation; `mirror` turns left to right.
pub fn plain(dataset: &Dataset, images: &[usize], normalisation: &Normalisation, mirror: bool, out: &mut Tensor) {
    let shape = Shape::new(dataset.height, dataset.width, dataset.channels);
    out.reset(images.len(), shape);
    let row = shape.width * shape.channels;
    out.data_mut().par_chunks_mut(shape.len()).zip(images).for_each(|(out, &index)| {
        for (out, line) in out.chunks_exact_mut(row).zip(dataset.image(index).chunks_exact(row)) {
            for (column, out) in out.chunks_exact_mut(shape.channels).enumerate() {
                let from = if mirror { shape.width - 1 - column } else { column } * shape.channels;
                out.iter_mut().zip(&line[from..]).for_each(|(out, &value)| *out = f32::from(value));
            }
        }
        normalise(out, shape.channels, normalisation);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_blended_with_the_next() {
        let mut values = [0.0, 0.0, 4.0, 8.0, 100.0, 100.0];
        blend(&mut values, 2, &[0.75, 1.0, 0.5]);
        assert_eq!(values, [1.0, 2.0, 4.0, 8.0, 50.0, 50.0]);
    }
}
