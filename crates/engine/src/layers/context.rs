//! The resources that a network provides to its layers.
//!
//! [`Workspace`] manages memory, [`Profiler`] measures times, and [`Communicator`] communicates
//! with other processes.

use crate::buffer::Buffer;
use crate::communicator::Communicator;
use crate::precision::Precision;
use crate::profile::Profiler;
use crate::tensor::Tensor;
use crate::workspace::Workspace;
use std::sync::Arc;

/// Memory, profiling and communication for the layers of a network.
#[derive(Default)]
pub struct Context {
    /// The pool of activations and gradients.
    pub workspace: Workspace,
    /// The precision of maps between layers.
    pub precision: Precision,
    pub(crate) scratch: Scratch,
    pub(crate) profiler: Profiler,
    /// The other processes of a distributed training.
    pub(crate) communicator: Option<Arc<dyn Communicator>>,
    /// The named outputs of the last forward pass.
    outputs: Vec<(String, Tensor)>,
    /// Their gradients for the next backward pass.
    output_gradients: Vec<(String, Tensor)>,
}

impl Context {
    /// The output that an [`Output`](super::Output) layer has computed in the last forward pass.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Tensor> {
        self.outputs.iter().find(|(own, _)| own == name).map(|(_, output)| output)
    }

    /// Sets the gradient of a named output for the next backward pass.
    pub fn set_output_gradient(&mut self, name: &str, gradient: Tensor) {
        if let Some(before) = put(&mut self.output_gradients, name, gradient) {
            self.workspace.give(before);
        }
    }

    pub(super) fn set_output(&mut self, name: &str, output: Tensor) {
        if let Some(before) = put(&mut self.outputs, name, output) {
            self.workspace.give(before);
        }
    }

    pub(super) fn take_output(&mut self, name: &str) -> Option<Tensor> {
        take(&mut self.outputs, name)
    }

    pub(super) fn take_output_gradient(&mut self, name: &str) -> Option<Tensor> {
        take(&mut self.output_gradients, name)
    }
}

/// Puts a tensor under a name and returns the one that was there.
fn put(all: &mut Vec<(String, Tensor)>, name: &str, tensor: Tensor) -> Option<Tensor> {
    match all.iter_mut().find(|(own, _)| own == name) {
        Some((_, place)) => Some(std::mem::replace(place, tensor)),
        None => {
            all.push((name.to_owned(), tensor));
            None
        }
    }
}

fn take(all: &mut Vec<(String, Tensor)>, name: &str) -> Option<Tensor> {
    all.iter().position(|(own, _)| own == name).map(|at| all.remove(at).1)
}

/// Scratch buffers of a layer.
#[derive(Default)]
pub(crate) struct Scratch {
    pub first: Buffer,
    pub second: Buffer,
    /// Sums in f64.
    pub sums: Vec<f64>,
    pub partial: Vec<f64>,
}
