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
    /// Index of each image's class.
    pub labels: Vec<u32>,
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
        let dataset = self.dataset;
        let shape = Shape::new(dataset.height, dataset.width, dataset.channels);
        batch.images.reset(images.len(), shape);
        batch.labels.clear();
        batch.keys.clear();
        for (&index, out) in images.iter().zip(batch.images.data_mut().chunks_exact_mut(shape.len())) {
            let image = key(&[self.seed, epoch as u64, index as u64]);
            let mut stream = Stream::new(key(&[image, u64::from_le_bytes(*b"augment\0")]));
            self.augmentation.apply(dataset.image(index), shape, &mut stream, out);
            batch.labels.push(dataset.labels[index]);
            batch.keys.push(image);
        }
        normalise(batch.images.data_mut(), shape.channels, self.normalisation);
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
