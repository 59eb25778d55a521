//! Memory that a network's steps share.
//!
//! Activations and gradients are taken from a pool and given back as soon as
//! they are no longer needed, so a training step holds little more than the
//! activations that its backward pass reads. Once a step of the largest batch
//! has run, further steps allocate nothing.

use crate::kernels::reduce;
use crate::layers::Parameter;
use crate::tensor::{Buffer, zeros};
use crate::{GRAIN, Gradient, Group, Shape, Tensor};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Grains whose gradients are held at a time.
const GRAINS_AT_ONCE: usize = 8;

/// A pool of tensors, scratch for the kernels, the clock of a profile, and the
/// way to other processes, if they train together.
#[derive(Default)]
pub struct Workspace {
    free: Vec<Buffer>,
    pub(crate) scratch: Scratch,
    pub(crate) profile: Option<Profile>,
    pub(crate) group: Option<Arc<dyn Group>>,
}

/// Buffers that a layer may use while it runs.
pub(crate) struct Scratch {
    pub first: Buffer,
    pub second: Buffer,
    /// Sums, not yet rounded.
    pub sums: Vec<f64>,
    pub partial: Vec<f64>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { first: zeros(0), second: zeros(0), sums: Vec::new(), partial: Vec::new() }
    }
}

impl Workspace {
    /// A tensor of this size; its values are unspecified (but initialised).
    pub fn take(&mut self, batch: usize, shape: Shape) -> Tensor {
        let len = batch * shape.len();
        let fitting = self.free.iter().enumerate().filter(|(_, buffer)| buffer.len() >= len);
        match fitting.min_by_key(|(_, buffer)| buffer.len()).map(|(i, _)| i) {
            Some(i) => Tensor::from_buffer(batch, shape, self.free.swap_remove(i)),
            None => Tensor::zeros(batch, shape),
        }
    }

    /// Adds sums over a batch up to those over all ranks' shares of it.
    pub(crate) fn sum_over_ranks(&self, sums: &mut [f64]) {
        if let Some(group) = &self.group {
            group.sum(sums);
        }
    }

    /// The gradient of a kernel from `x` `[N, …]` and `dy` `[N, …]`: `part` computes that
    /// of some images, with a scratch buffer, into the last slice.
    pub(crate) fn kernel_gradient(
        &mut self,
        parameter: &mut Parameter,
        [x, dy]: [&Tensor; 2],
        part: impl Fn(&[f32], &[f32], &mut Buffer, &mut [f32]),
    ) {
        let Scratch { first, second, sums, .. } = &mut self.scratch;
        let (width, input, output) = (parameter.value.len(), x.shape().len(), dy.shape().len());
        let at_once = self.group.is_none() && (1..=GRAIN * GRAINS_AT_ONCE).contains(&x.batch());
        sums.clear();
        sums.resize(if at_once { 0 } else { width }, 0.0);
        for images in (0..x.batch()).step_by(GRAIN * GRAINS_AT_ONCE) {
            let end = x.batch().min(images + GRAIN * GRAINS_AT_ONCE);
            let len = (end - images).div_ceil(GRAIN) * width;
            if second.len() < len {
                second.resize(len, 0.0);
            }
            let grains = x.data()[images * input..end * input].chunks(GRAIN * input);
            let grains = grains.zip(dy.data()[images * output..end * output].chunks(GRAIN * output));
            for (sum, (x, dy)) in second.chunks_exact_mut(width).zip(grains) {
                part(x, dy, first, sum);
            }
            if at_once {
                reduce::add_up(&second[..len], &mut parameter.gradient);
            } else {
                reduce::add_to(&second[..len], sums);
            }
        }
        if !at_once {
            self.settle(parameter);
        }
    }

    /// Rounds the sums in scratch to a parameter's gradient, once those of other
    /// ranks, if there are any, are in them.
    pub(crate) fn settle(&self, parameter: &mut Parameter) {
        let sums = &self.scratch.sums[..parameter.gradient.len()];
        match &self.group {
            Some(group) => group.begin_sum(Gradient { name: parameter.name.clone(), values: sums.to_vec() }),
            None => reduce::round(sums, &mut parameter.gradient),
        }
    }

    /// The time, if it is measured: there is no clock everywhere.
    pub(crate) fn clock(&self) -> Option<Instant> {
        self.profile.as_ref().map(|_| Instant::now())
    }

    /// Adds the time since `start` to a layer's forward or backward passes.
    pub(crate) fn record(&mut self, layer: &str, start: Option<Instant>, forward: bool) {
        if let (Some(profile), Some(start)) = (&mut self.profile, start) {
            let time = start.elapsed();
            let (forward, backward) = if forward { (time, Duration::ZERO) } else { (Duration::ZERO, time) };
            profile.add(layer, forward, backward);
        }
    }

    /// Takes a tensor's memory back.
    pub fn give(&mut self, tensor: Tensor) {
        let buffer = tensor.into_buffer();
        if !buffer.is_empty() {
            self.free.push(buffer);
        }
    }
}

/// Time spent in each layer, in the order in which they first ran.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// A row for each layer.
    pub layers: Vec<LayerTime>,
}

/// A row of a [`Profile`].
#[derive(Clone, Debug)]
pub struct LayerTime {
    /// The layer's name.
    pub name: String,
    /// Time in forward passes; that of a block includes its layers'.
    pub forward: Duration,
    /// Time in backward passes; that of a block includes its layers'.
    pub backward: Duration,
}

impl Profile {
    fn add(&mut self, name: &str, forward: Duration, backward: Duration) {
        if let Some(row) = self.layers.iter_mut().find(|row| row.name == name) {
            row.forward += forward;
            row.backward += backward;
        } else {
            self.layers.push(LayerTime { name: name.to_owned(), forward, backward });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_round() {
        let mut workspace = Workspace::default();
        let (large, small) = (workspace.take(2, Shape::flat(100)), workspace.take(1, Shape::flat(10)));
        let at = (large.data().as_ptr(), small.data().as_ptr());
        workspace.give(large);
        workspace.give(small);
        // The smallest that fits is taken.
        assert_eq!(workspace.take(1, Shape::flat(9)).data().as_ptr(), at.1);
        let again = workspace.take(1, Shape::flat(150));
        assert_eq!((again.data().as_ptr(), again.data().len()), (at.0, 150));
    }
}
