//! Processes that train one network together, each on its share of every batch.
//!
//! The engine says here what it needs of them; who they are and how they talk
//! is for others to know. All of them build the same network and take the same
//! steps in the same order, and then hold the same weights, bit for bit: every
//! sum is added in the order of ranks.

use crate::layers::{Layer, Parameter};
use crate::tensor::{Buffer, zeros};
use std::collections::HashMap;

/// The way to the other processes.
///
/// A process that is lost ends all of them: no method returns without the
/// others' values.
pub trait Group: Send + Sync {
    /// This process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// What each gives, in the order of ranks; all give equally many.
    fn gather(&self, values: &[f64]) -> Vec<f64>;

    /// Begins to add up each gradient over all ranks, in their order, and returns
    /// at once. All ranks hand in the same gradients in the same order.
    fn begin_sum(&self, gradient: Gradient);

    /// The sums of all that was handed in since the last call, once they are there.
    fn finish_sums(&self) -> Vec<Gradient>;

    /// Replaces each value by its sum over all ranks.
    fn sum(&self, values: &mut [f64]) {
        let all = self.gather(values);
        values.fill(0.0);
        for part in all.chunks_exact(values.len().max(1)) {
            values.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// A parameter's gradient on its way.
#[derive(Debug)]
pub struct Gradient {
    /// Of the parameter.
    pub name: String,
    /// The numbers.
    pub values: Buffer,
}

/// Hands in the gradients of a layer whose backward pass has just run; the
/// layers inside it have been here already.
pub(crate) fn hand_in(group: &dyn Group, layer: &mut dyn Layer) {
    layer.visit_mut(&mut |parameter: &mut Parameter| {
        if !parameter.gradient.is_empty() {
            let values = std::mem::replace(&mut parameter.gradient, zeros(0));
            group.begin_sum(Gradient { name: parameter.name.clone(), values });
        }
    });
}

/// Puts the sums where the gradients were.
pub(crate) fn take_back(group: &dyn Group, layers: &mut dyn Layer) {
    let sums = group.finish_sums().into_iter().map(|gradient| (gradient.name, gradient.values));
    let mut sums: HashMap<String, Buffer> = sums.collect();
    layers.visit_mut(&mut |parameter| {
        if let Some(sum) = sums.remove(&parameter.name) {
            parameter.gradient = sum;
        }
    });
}
