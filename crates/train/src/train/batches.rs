//! Loads batches on a thread of its own.

use super::ranks::Ranks;
use crate::config::Augmentation;
use crate::data::Dataset;
use moue::model::Normalization;
use moue_engine::random::{Stream, key};
use moue_engine::{Shape, Tensor};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Maximum number of finished batches in the queue.
const AHEAD: usize = 2;

/// A batch of network inputs, or a rank's share of one.
#[derive(Default)]
pub struct Batch {
    /// Normalized images, `[N, H, W, C]`.
    pub images: Tensor,
    /// The same images at the data set's own size, 0–255, where there are teachers.
    pub full_size: Tensor,
    /// Index of each image's class.
    pub labels: Vec<u32>,
    /// Mixup weight of each image; the remainder is the next image of the whole batch, the first
    /// one for the last.
    pub shares: Vec<f32>,
    /// The target of each image before mixup, `[N, classes]`.
    pub targets: Vec<f32>,
    /// Likewise that of the next image.
    pub next_targets: Vec<f32>,
    /// Key of each image's random draws in this epoch.
    pub keys: Vec<u64>,
    /// Images in the whole batch.
    pub of: usize,
}

/// Options of a loader.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    /// The data set.
    pub dataset: &'a Dataset,
    /// The augmentation.
    pub augmentation: &'a Augmentation,
    /// The normalization.
    pub normalization: &'a Normalization,
    /// The seed of the run.
    pub seed: u64,
    /// Images in a whole batch.
    pub batch_size: usize,
    /// The ranks that share a batch.
    pub ranks: &'a Ranks,
    /// `[height, width]` of the network's images in this epoch.
    pub size: [usize; 2],
    /// Whether [`Batch::full_size`] is needed.
    pub full_size: bool,
}

impl Loader<'_> {
    /// The order of the training images in an epoch.
    pub fn order(&self, training: &[usize], epoch: usize) -> Vec<usize> {
        let mut order = training.to_vec();
        Stream::new(key(&[self.seed, u64::from_le_bytes(*b"order\0\0\0"), epoch as u64])).shuffle(&mut order);
        order
    }

    /// Calls `run` with a source of the epoch's batches, starting at batch `first`.
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
                    // The receiver is closed when training has stopped early.
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
        batch.targets.clear();
        batch.next_targets.clear();
        batch.keys.clear();
        batch.shares.clear();
        batch.of = images.len();
        let own = self.ranks.share_of_batch(images.len(), self.batch_size);
        let images: Vec<usize> = images.iter().copied().cycle().skip(own.start).take(own.len() + 1).collect();
        for pair in images.windows(2) {
            let image = self.key(epoch, pair[0]);
            batch.labels.push(self.dataset.labels[pair[0]]);
            batch.targets.extend(self.dataset.target(pair[0], image));
            batch.next_targets.extend(self.dataset.target(pair[1], self.key(epoch, pair[1])));
            batch.keys.push(image);
            let mut stream = Stream::new(key(&[image, u64::from_le_bytes(*b"mixup\0\0\0")]));
            batch.shares.push(self.augmentation.kept_share(&mut stream));
        }
        let own = [self.dataset.height, self.dataset.width];
        if self.full_size {
            self.draw(&images, epoch, &batch.shares, own, &mut batch.full_size);
        }
        if self.full_size && self.size == own {
            batch.images.copy_from(&batch.full_size);
        } else {
            self.draw(&images, epoch, &batch.shares, self.size, &mut batch.images);
        }
        self.normalization.apply(batch.images.data_mut(), self.dataset.channels);
    }

    /// The key of an image's random draws in an epoch.
    fn key(&self, epoch: usize, index: usize) -> u64 {
        key(&[self.seed, epoch as u64, index as u64])
    }

    /// Augmented images, 0–255, each mixed with the next; the last one is only mixed into another.
    fn draw(&self, images: &[usize], epoch: usize, shares: &[f32], size: [usize; 2], out: &mut Tensor) {
        let dataset = self.dataset;
        let shape = Shape::new(dataset.height, dataset.width, dataset.channels);
        let resized = Shape::new(size[0], size[1], dataset.channels);
        let blended = self.augmentation.mixup > 0.0;
        out.reset(shares.len() + usize::from(blended), resized);
        for (&index, out) in images.iter().zip(out.data_mut().chunks_exact_mut(resized.len())) {
            let mut stream = Stream::new(key(&[self.key(epoch, index), u64::from_le_bytes(*b"augment\0")]));
            self.augmentation.apply(dataset.image(index), shape, &mut stream, size, out);
        }
        if blended {
            blend(out.data_mut(), resized.len(), shares);
            out.shrink(shares.len());
        }
    }
}

/// Mixes each image with the next one; there is one more image than weights.
fn blend(values: &mut [f32], len: usize, shares: &[f32]) {
    for (i, &share) in shares.iter().enumerate() {
        let (image, other) = values[i * len..].split_at_mut(len);
        image.iter_mut().zip(other).for_each(|(value, other)| *value = share * *value + (1.0 - share) * *other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixup_blends_each_image_with_the_next() {
        let mut values = [0.0, 0.0, 4.0, 8.0, 100.0, 100.0, 0.0, 0.0];
        blend(&mut values, 2, &[0.75, 1.0, 0.5]);
        assert_eq!(values, [1.0, 2.0, 4.0, 8.0, 50.0, 50.0, 0.0, 0.0]);
    }
}
