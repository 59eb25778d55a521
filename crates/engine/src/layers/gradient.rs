//! Gradients of parameters: sums over a batch in a fixed order.
//!
//! A kernel sums over the images of a grain; this module sums the grains, and the sums of all ranks
//! of a distributed training. The [`Communicator`] exchanges the sums.

use super::context::{Context, Scratch};
use super::layer::Layer;
use crate::buffer::Buffer;
use crate::communicator::{Communicator, GRAIN, Gradient};
use crate::kernels::element::Element;
use crate::kernels::reduce;
use crate::parameter::Parameter;
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Grains whose gradients are in memory at a time.
const GRAINS_AT_ONCE: usize = 8;

/// Replaces sums over a share of a batch by those over the shares of all ranks.
pub(super) fn sum_over_ranks(context: &Context, sums: &mut [f64]) {
    if let Some(communicator) = &context.communicator {
        communicator.sum(sums);
    }
}

/// Computes the gradient of a kernel from `x` `[N, …]` and `dy` `[N, …]`: `part` writes the
/// gradient over some of the images to its last argument, with a buffer as scratch.
pub(super) fn kernel_gradient(
    context: &mut Context,
    parameter: &mut Parameter,
    maps: [&Tensor; 2],
    part: impl Fn(&[f32], &[f32], &mut Buffer, &mut [f32]),
) {
    let (width, [input, output]) = (parameter.value.len(), maps.map(|map| map.shape().len()));
    sum_partial(context, parameter, maps, 1, |x, dy, scratch, sums| {
        let grains = x.chunks(GRAIN * input).zip(dy.chunks(GRAIN * output));
        for (sum, (x, dy)) in sums.chunks_exact_mut(width).zip(grains) {
            part(x, dy, scratch, sum);
        }
    });
}

/// Sums the gradient of a parameter over a batch: `compute` writes the partial sums of some images, `bands` for each
/// grain, to its last argument, with a buffer as scratch.
pub(super) fn sum_partial<X: Element, D: Element>(
    context: &mut Context,
    parameter: &mut Parameter,
    [x, dy]: [&Tensor; 2],
    bands: usize,
    compute: impl Fn(&[X], &[D], &mut Buffer, &mut [f32]),
) {
    let Scratch { first, second, sums, .. } = &mut context.scratch;
    let (width, input, output) = (parameter.value.len(), x.shape().len(), dy.shape().len());
    let images_at_once = GRAIN * (GRAINS_AT_ONCE / bands).max(1);
    let at_once = context.communicator.is_none() && (1..=images_at_once).contains(&x.batch());
    sums.clear();
    sums.resize(if at_once { 0 } else { width }, 0.0);
    for images in (0..x.batch()).step_by(images_at_once) {
        let end = x.batch().min(images + images_at_once);
        let len = (end - images).div_ceil(GRAIN) * bands * width;
        let partial = second.grown(len);
        let (x, dy) = (&x.values()[images * input..end * input], &dy.values()[images * output..end * output]);
        compute(x, dy, first, partial);
        if at_once {
            reduce::add_up(partial, &mut parameter.gradient);
        } else {
            reduce::add_to(partial, sums);
        }
    }
    if !at_once {
        store_gradient(context, parameter);
    }
}

/// Rounds the sums in scratch to the gradient of a parameter. With other ranks it only starts to
/// sum over them, and [`take_back`] rounds.
pub(super) fn store_gradient(context: &Context, parameter: &mut Parameter) {
    let sums = &context.scratch.sums[..parameter.gradient.len()];
    match &context.communicator {
        Some(communicator) => communicator.begin_sum(Gradient { name: parameter.name.clone(), values: sums.to_vec() }),
        None => reduce::round(sums, &mut parameter.gradient),
    }
}

/// Waits for the sums over all ranks and rounds them to the gradients of the parameters.
pub(crate) fn take_back(communicator: &dyn Communicator, layers: &mut dyn Layer) {
    let sums = communicator.finish_sums().into_iter().map(|gradient| (gradient.name, gradient.values));
    let mut sums: HashMap<String, Vec<f64>> = sums.collect();
    layers.visit_mut(&mut |parameter| {
        if let Some(sum) = sums.remove(&parameter.name) {
            parameter.gradient.iter_mut().zip(sum).for_each(|(gradient, sum)| *gradient = sum as f32);
        }
    });
}
