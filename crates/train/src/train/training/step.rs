//! A step of a training: forward and backward pass, optimizer and moving average.

use super::Training;
use crate::gpu::{Gpu, Images};
use crate::train::batches::Batch;
use crate::train::checkpoint::Running;
use crate::train::error::TrainError;
use crate::train::job::Job;
use moue::DeviceError;
use moue_engine::loss::{categorical_crossentropy, count_correct};
use moue_engine::{Mode, Tensor};
use rayon::prelude::*;
use std::time::Instant;

impl Training<'_> {
    pub(super) fn step(
        &mut self,
        batch: &Batch,
        gradient: &mut Tensor,
        rate: f32,
        epoch: usize,
    ) -> Result<(), TrainError> {
        let start = Instant::now();
        if self.gpu.is_some() {
            self.step_on_gpu(batch, rate, epoch)?;
        } else {
            self.step_on_cpu(batch, gradient, rate, epoch)?;
        }
        let running = &mut self.checkpoint.running;
        running.steps += 1;
        running.images += batch.of;
        running.seconds += start.elapsed().as_secs_f64();
        running.learning_rate = rate;
        Ok(())
    }

    fn step_on_cpu(&mut self, batch: &Batch, gradient: &mut Tensor, rate: f32, epoch: usize) -> Result<(), TrainError> {
        let logits = self.network.forward(&batch.images, Mode::Train { keys: &batch.keys });
        let (targets, weights) = self.targets.of(batch);
        let adjusted = self.adjustment.as_ref().map(|adjustment| {
            self.adjusted.copy_from(logits);
            adjustment.adjust(self.adjusted.data_mut(), logits.shape().channels);
            &self.adjusted
        });
        let own = categorical_crossentropy(adjusted.unwrap_or(logits), targets, weights, batch.of, gradient);
        let mut sums = [own, count_correct(logits, &batch.labels) as f64];
        self.ranks.sum(&mut sums);
        self.count(sums, (epoch, self.checkpoint.running.steps + 1, rate))?;
        self.network.backward(&batch.images, gradient);
        self.optimizer.step(&mut self.network, rate);
        self.move_average();
        Ok(())
    }

    fn step_on_gpu(&mut self, batch: &Batch, rate: f32, epoch: usize) -> Result<(), TrainError> {
        let Some(gpu) = &mut self.gpu else { return Ok(()) };
        let decay = ema_decay(self.job.config.train.ema_decay, gpu.steps() + 1);
        let (targets, weights) = self.targets.of(batch);
        let Batch { images, keys, labels, .. } = batch;
        let images = Images { images, keys, labels, targets, weights };
        let failed = |source| failed(self.job, source);
        gpu.step(&images, rate, 1.0 - decay).map_err(failed)?;
        // It computes the predictions of the teachers, too.
        self.check_device()?;
        let Some(gpu) = &mut self.gpu else { return Ok(()) };
        // The first one, so that a loss is shown.
        let steps = self.checkpoint.running.steps;
        if steps.is_multiple_of(self.steps_per_reading) {
            let sums = gpu.metrics().map_err(failed)?;
            self.count(sums, (epoch, steps + 1, rate))?;
        }
        Ok(())
    }

    /// Prepares the GPU, if there is one, for steps from the current weights.
    pub(super) fn begin_on_gpu(&mut self) -> Result<(), TrainError> {
        let Some(gpu) = &mut self.gpu else { return Ok(()) };
        let offsets = self.adjustment.as_ref().map(|adjustment| {
            let mut offsets = vec![0.0; self.network.output_shape().len()];
            let classes = offsets.len();
            adjustment.adjust(&mut offsets, classes);
            offsets
        });
        let batch_size = self.job.config.train.batch_size.min(self.indices.len());
        let begun = gpu.begin(&self.network, &self.optimizer, &self.average, offsets.as_deref(), batch_size);
        begun.map_err(|source| failed(self.job, source))
    }

    /// Reads the metrics and the weights from the GPU, if there is one.
    pub(super) fn take_from_gpu(&mut self, epoch: usize) -> Result<(), TrainError> {
        let start = Instant::now();
        let Some(gpu) = &mut self.gpu else { return Ok(()) };
        let failed = |source| failed(self.job, source);
        let sums = gpu.metrics().map_err(failed)?;
        gpu.read(&mut self.network, &mut self.optimizer, &mut self.average).map_err(failed)?;
        let Running { steps, learning_rate, .. } = self.checkpoint.running;
        self.count(sums, (epoch, steps, learning_rate))?;
        let mut finite = true;
        self.network.visit(|parameter| finite &= parameter.value.iter().all(|value| value.is_finite()));
        if !finite {
            // The shaders of some devices do not preserve a NaN in the loss.
            self.count([f64::NAN, 0.0], (epoch, steps, learning_rate))?;
        }
        self.checkpoint.running.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// # Errors
    /// When the GPU has failed in a prediction, which the CPU then computes in its place.
    pub(super) fn check_device(&self) -> Result<(), TrainError> {
        self.job.device.error().map_or(Ok(()), |error| Err(failed(self.job, error.clone())))
    }

    /// The images of this epoch whose loss is counted.
    pub(super) fn measured_images(&self) -> usize {
        let unread = self.gpu.as_ref().map_or(0, Gpu::unread);
        (self.checkpoint.running.images - unread).max(1)
    }

    /// Adds the loss and the number of correct predictions of images, until this epoch (from 0) and step (from 1).
    fn count(
        &mut self,
        [loss, correct]: [f64; 2],
        (epoch, step, learning_rate): (usize, usize, f32),
    ) -> Result<(), TrainError> {
        let running = &mut self.checkpoint.running;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { loss, epoch: epoch + 1, step, learning_rate });
        }
        running.loss += loss;
        running.correct += correct as usize;
        Ok(())
    }

    /// Updates the moving average.
    fn move_average(&mut self) {
        if self.average.is_empty() {
            return;
        }
        let decay = ema_decay(self.job.config.train.ema_decay, self.optimizer.steps());
        let mut average = self.average.iter_mut();
        self.network.visit(|parameter| {
            let Some(average) = average.next() else { return };
            average.par_chunks_mut(8192).zip(parameter.value.par_chunks(8192)).for_each(|(average, value)| {
                average.iter_mut().zip(value).for_each(|(a, v)| *a += (1.0 - decay) * (v - *a));
            });
        });
    }
}

fn failed(job: &Job<'_>, source: DeviceError) -> TrainError {
    TrainError::Gpu { batch_size: job.config.train.batch_size, source }
}

/// The decay of the moving average, which is lower in the first steps.
fn ema_decay(decay: f32, steps: u64) -> f32 {
    let steps = steps as f32;
    decay.min((1.0 + steps) / (10.0 + steps))
}
