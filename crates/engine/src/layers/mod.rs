//! Layers: what a network is made of.
//!
//! A layer is made on the shape of its input, so a made layer fits. It holds its
//! parameters, their gradients and whatever `backward` needs from `forward`.
//! Activations and gradients live in the [`Workspace`] that the network lends.

mod activation;
mod batch_normalization;
mod concatenate;
mod conv2d;
mod dense;
mod depthwise_conv2d;
mod dropout;
mod flatten;
mod initializer;
mod pooling;
mod residual;
mod sequence;
mod squeeze_excite;

pub use crate::kernels::pooling::PoolingKind;
pub use activation::ActivationLayer;
pub use batch_normalization::{BatchNormalization, BatchNormalizationOptions};
pub use concatenate::Concatenate;
pub use conv2d::{Conv2d, Conv2dOptions};
pub use dense::{Dense, DenseOptions};
pub use depthwise_conv2d::{DepthwiseConv2d, DepthwiseConv2dOptions};
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use initializer::Initializer;
pub use pooling::Pooling2d;
pub use residual::Residual;
pub use sequence::Sequence;
pub use squeeze_excite::SqueezeExcite;

use crate::inference::Step;
use crate::tensor::{Buffer, zeros};
use crate::{Shape, Tensor, Workspace};

/// Why a network is run.
#[derive(Clone, Copy, Debug)]
pub enum Pass<'a> {
    /// To learn: batch statistics, dropout. One random key for each image of the
    /// batch ([`crate::random::key`] of seed, epoch and image).
    Train {
        /// A key for each image.
        keys: &'a [u64],
    },
    /// To predict: stored statistics, no dropout. `backward` after it gives the
    /// gradients of just that function.
    Inference,
}

/// What a parameter is to the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Trained, with weight decay.
    Weight,
    /// Trained, without weight decay (biases, scales).
    Offset,
    /// Not trained but kept with the weights (running mean and variance).
    Statistic,
}

/// A named array that belongs to a layer.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// `layer.array`, for instance `conv2d_1.kernel`; unique in a network.
    pub name: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// What it is to the optimizer.
    pub role: Role,
    /// Factor of an L2 penalty `l2 · Σ value²` in the loss.
    pub l2: f32,
    /// The values, row-major.
    pub value: Buffer,
    /// The loss's gradient, overwritten by each `backward`; empty for statistics.
    pub gradient: Buffer,
}

impl Parameter {
    fn new(layer: &str, array: &str, shape: Vec<usize>, role: Role, fill: impl FnMut() -> f32) -> Self {
        let len: usize = shape.iter().product();
        let value = Buffer::from_iter(64, std::iter::repeat_with(fill).take(len));
        let gradient = zeros(if role == Role::Statistic { 0 } else { len });
        Self { name: format!("{layer}.{array}"), shape, role, l2: 0.0, value, gradient }
    }

    fn constant(layer: &str, array: &str, len: usize, role: Role, value: f32) -> Self {
        Self::new(layer, array, vec![len], role, || value)
    }
}

/// One step of a network, with explicit forward and backward.
///
/// The caller gives `y` its size; `backward` follows the `forward` it belongs
/// to, with the same `x` and `y`.
pub trait Layer: Send {
    /// The layer's name in the network, for instance `conv2d_1`.
    fn name(&self) -> &str;

    /// The kind in architecture files, for instance `conv2d`.
    fn kind(&self) -> &'static str;

    /// Shape of one input map.
    fn input_shape(&self) -> Shape;

    /// Shape of one output map.
    fn output_shape(&self) -> Shape;

    /// Multiply-adds for one image, by the direct sum.
    fn macs(&self) -> usize {
        0
    }

    /// How the output is computed, where there is a choice.
    fn method(&self) -> &'static str {
        ""
    }

    /// Computes `y` from `x`.
    fn forward(&mut self, x: &Tensor, y: &mut Tensor, pass: Pass<'_>, workspace: &mut Workspace);

    /// Computes the gradients of the parameters, and that of the input where it
    /// is wanted, from that of the output. The memory of `dy` is the layer's: it
    /// comes back as the result or goes back to the workspace.
    fn backward(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        dy: Tensor,
        wants_dx: bool,
        workspace: &mut Workspace,
    ) -> Option<Tensor>;

    /// Adds what the layer does at inference to `steps`.
    fn lower(&self, steps: &mut Vec<Step>);

    /// Calls `visit` with each parameter, always in the same order.
    fn visit(&self, _visit: &mut dyn FnMut(&Parameter)) {}

    /// Calls `visit` with each parameter, always in the same order.
    fn visit_mut(&mut self, _visit: &mut dyn FnMut(&mut Parameter)) {}

    /// The layers inside this one.
    fn children(&self) -> Vec<&dyn Layer> {
        Vec::new()
    }
}

/// Hands `dx` on, or the memory of one that nobody wants back.
fn wanted(dx: Tensor, wants_dx: bool, workspace: &mut Workspace) -> Option<Tensor> {
    if wants_dx {
        return Some(dx);
    }
    workspace.give(dx);
    None
}
