//! Gradients of parameters: sums over a batch whose order is fixed.
//!
//! A kernel adds up the images of a grain; here grains are added up, and the sums of all
//! processes that train together. How a sum gets to other processes is for the
//! [`Group`] to know.

use super::context::{Context, Scratch};
use super::layer::Layer;
use crate::communicator::{GRAIN, Gradient, Group};
use crate::kernels::reduce;
use crate::parameter::Parameter;
use crate::tensor::{Buffer, Tensor};
use std::collections::HashMap;

/// Grains whose gradients are held at a time.
const GRAINS_AT_ONCE: usize = 8;

/// Adds sums over a batch up to those over all ranks' shares of it.
pub(super) fn sum_over_ranks(context: &Context, sums: &mut [f64]) {
    if let Some(group) = &context.communicator {
        group.sum(sums);
    }
}

/// The gradient of a kernel from `x` `[N, …]` and `dy` `[N, …]`: `part` computes that
/// of some images, with a scratch buffer, into the last slice.
pub(super) fn kernel_gradient(
    context: &mut Context,
    parameter: &mut Parameter,
    [x, dy]: [&Tensor; 2],
    part: impl Fn(&[f32], &[f32], &mut Buffer, &mut [f32]),
) {
    let Scratch { first, second, sums, .. } = &mut context.scratch;
    let (width, input, output) = (parameter.value.len(), x.shape().len(), dy.shape().len());
    let at_once = context.communicator.is_none() && (1..=GRAIN * GRAINS_AT_ONCE).contains(&x.batch());
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
        settle(context, parameter);
    }
}

/// Rounds the sums in scratch to a parameter's gradient, once those of other
/// ranks, if there are any, are in them.
pub(super) fn settle(context: &Context, parameter: &mut Parameter) {
    let sums = &context.scratch.sums[..parameter.gradient.len()];
    match &context.communicator {
        Some(group) => group.begin_sum(Gradient { name: parameter.name.clone(), values: sums.to_vec() }),
        None => reduce::round(sums, &mut parameter.gradient),
    }
}

/// Puts the sums where the gradients were.
pub(crate) fn take_back(group: &dyn Group, layers: &mut dyn Layer) {
    let sums = group.finish_sums().into_iter().map(|gradient| (gradient.name, gradient.values));
    let mut sums: HashMap<String, Vec<f64>> = sums.collect();
    layers.visit_mut(&mut |parameter| {
        if let Some(sum) = sums.remove(&parameter.name) {
            parameter.gradient.iter_mut().zip(sum).for_each(|(gradient, sum)| *gradient = sum as f32);
        }
    });
}
