//! A network: a tree of layers with its output.
//!
//! It runs its layers forward and backward in its own workspace, and sums gradients over the ranks
//! of a distributed training. Optimizers change the weights; other crates read and write them.

use crate::communicator::Communicator;
use crate::layers::gradient::take_back;
use crate::layers::layer::{Layer, Mode};
use crate::layers::{Context, Sequence};
use crate::parameter::Parameter;
use crate::precision::Precision;
use crate::profile::Profile;
use crate::tensor::{Shape, Tensor};
use std::sync::Arc;

/// A sequence of layers from images to logits.
pub struct Network {
    layers: Sequence,
    output: Tensor,
    context: Context,
}

impl Network {
    /// Creates a network of these layers.
    #[must_use]
    pub fn new(layers: Sequence) -> Self {
        Self { layers, output: Tensor::default(), context: Context::default() }
    }

    /// Shape of one image.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.layers.input_shape()
    }

    /// Shape of one output.
    #[must_use]
    pub fn output_shape(&self) -> Shape {
        self.layers.output_shape()
    }

    /// The layers.
    #[must_use]
    pub fn layers(&self) -> &Sequence {
        &self.layers
    }

    /// Enables distributed training: [`Self::forward`] normalizes by the statistics of all ranks'
    /// images, and [`Self::backward`] computes the sums of all ranks' gradients.
    pub fn join(&mut self, communicator: Arc<dyn Communicator>) {
        self.context.communicator = Some(communicator);
    }

    /// Sets the precision of all further passes; f32 without a call.
    pub fn set_precision(&mut self, precision: Precision) {
        self.context.precision = precision;
    }

    /// The precision of the passes.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.context.precision
    }

    /// Freezes the first layers of the outermost sequence: a training pass runs them as at inference,
    /// with stored statistics and without dropout, and their parameters keep their values.
    pub fn freeze(&mut self, layers: usize) {
        self.layers.freeze(layers);
    }

    /// Runs a batch `[N, H, W, C]` and returns its outputs `[N, 1, 1, classes]`.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`], or the number of keys of a
    /// training pass is not the number of images.
    pub fn forward(&mut self, x: &Tensor, mode: Mode<'_>) -> &Tensor {
        assert_eq!(x.shape(), self.input_shape(), "images of another shape than the network's");
        if let Mode::Train { keys } = mode {
            assert_eq!(keys.len(), x.batch(), "the number of keys is not the number of images");
        }
        self.output.reset(x.batch(), self.layers.output_shape());
        let Self { layers, output, context } = self;
        in_pool(|| layers.forward(x, output, mode, context));
        &self.output
    }

    /// Computes every parameter's gradient after [`Self::forward`] of the same
    /// `x`; `gradient` is that of the outputs.
    pub fn backward(&mut self, x: &Tensor, gradient: &Tensor) {
        let Self { layers, output, context } = self;
        let mut dy = context.workspace.take(gradient.batch(), gradient.shape());
        dy.data_mut().copy_from_slice(gradient.data());
        in_pool(|| layers.backward(x, output, dy, false, context));
        if let Some(communicator) = &context.communicator {
            take_back(&**communicator, layers);
        }
    }

    /// The output of this name, computed by the last [`Self::forward`].
    #[must_use]
    pub fn named_output(&self, name: &str) -> Option<&Tensor> {
        self.context.output(name)
    }

    /// Sets the gradient of a named output for the next [`Self::backward`].
    pub fn set_output_gradient(&mut self, name: &str, gradient: Tensor) {
        self.context.set_output_gradient(name, gradient);
    }

    /// After [`Self::forward`] of the same `x`: the output of layer `index` (from 0) of the
    /// outermost sequence, and the derivative of `Σ gradient · outputs` with respect to it. `None`
    /// for the last layer and beyond.
    pub fn gradient_at(&mut self, index: usize, x: &Tensor, gradient: &Tensor) -> Option<(Tensor, Tensor)> {
        let Self { layers, output, context } = self;
        if index + 1 >= layers.children().len() {
            return None;
        }
        let mut dy = context.workspace.take(gradient.batch(), gradient.shape());
        dy.data_mut().copy_from_slice(gradient.data());
        let (map, gradient) = in_pool(|| layers.backward_to(index + 1, x, output, dy, true, context));
        let mut widened = |tensor| context.workspace.convert(tensor, Precision::F32);
        Some((widened(map?), widened(gradient?)))
    }

    /// Starts to measure the time of each layer.
    pub fn start_profile(&mut self) {
        self.context.profiler.start();
    }

    /// Stops measuring and returns the times since [`Self::start_profile`].
    pub fn take_profile(&mut self) -> Profile {
        self.context.profiler.take()
    }

    /// Calls `visit` with each parameter, always in the same order.
    pub fn visit(&self, mut visit: impl FnMut(&Parameter)) {
        self.layers.visit(&mut visit);
    }

    /// Calls `visit` with each parameter, always in the same order.
    pub fn visit_mut(&mut self, mut visit: impl FnMut(&mut Parameter)) {
        self.layers.visit_mut(&mut visit);
    }
}

/// Runs `work` on a thread of the pool, so that its parallel steps start without a transfer from
/// outside.
pub(crate) fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}
