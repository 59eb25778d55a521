//! The trait that every layer implements, and the modes of a network.
//!
//! Each layer has its own file; [`Context`] holds the resources of a pass, and [`Step`]s describe
//! layers at inference.

use super::context::Context;
use crate::inference::plan::Step;
use crate::kernels::activation::{self, Activation};
use crate::kernels::element::with_element;
use crate::parameter::Parameter;
use crate::tensor::{Shape, Tensor};

/// The mode of a forward pass.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Training: batch statistics and dropout. One random key for each image of the batch
    /// ([`crate::random::key`] of seed, epoch and image).
    Train {
        /// One key for each image.
        keys: &'a [u64],
    },
    /// Inference: stored statistics, no dropout. `backward` after it computes the gradients of this
    /// function.
    Inference,
}

/// A layer of a network, with explicit forward and backward.
///
/// The caller sets the size of `y`; `backward` follows its `forward`, with the same `x` and `y`.
pub trait Layer: Sealed + Send + Sync {
    /// The layer's name in the network, for example `conv2d_1`.
    fn name(&self) -> &str;

    /// The kind in architecture files, for example `conv2d`.
    fn kind(&self) -> &'static str;

    /// Shape of one input map.
    fn input_shape(&self) -> Shape;

    /// Shape of one output map.
    fn output_shape(&self) -> Shape;

    /// Multiply-adds for one image, of the direct computation.
    fn macs(&self) -> usize {
        0
    }

    /// The algorithm of the last forward pass, where the layer has several.
    fn method(&self) -> &'static str {
        ""
    }

    /// Whether the layer computes maps of bf16. [`Sequence`](super::Sequence) converts the maps of the others.
    fn computes_in_bf16(&self) -> bool {
        false
    }

    /// Whether the layer also computes maps of bf16 from an input in f32.
    fn reads_f32(&self) -> bool {
        false
    }

    /// Computes `y` from `x`.
    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context);

    /// Computes the gradients of the parameters, and that of the input where it is needed, from
    /// that of the output. The layer owns the memory of `dy`: it returns it as the result or gives
    /// it back to the workspace.
    fn backward(&mut self, x: &Tensor, y: &Tensor, dy: Tensor, wants_dx: bool, context: &mut Context)
    -> Option<Tensor>;

    /// Adds the layer's steps at inference to `steps`.
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

/// Returns `dx`, or gives its memory back where it is not needed.
pub(super) fn wanted(dx: Tensor, wants_dx: bool, context: &mut Context) -> Option<Tensor> {
    if wants_dx {
        return Some(dx);
    }
    context.workspace.give(dx);
    None
}

/// `y = activation(y + x)`, for maps of the same precision.
pub(crate) fn add_and_apply(x: &Tensor, activation: Activation, y: &mut Tensor) {
    let channels = y.shape().channels;
    with_element!(y, E => activation::add_and_apply(x.values::<E>(), activation, y.values_mut(), channels));
}

/// The steps of a layer at inference.
pub(crate) fn lower(layer: &dyn Layer) -> Vec<Step> {
    let mut steps = Vec::new();
    layer.lower(&mut steps);
    steps
}

/// Seals the trait: the gradients of all layers are tested, and each layer must be expressible by
/// operations at inference.
pub trait Sealed {}
