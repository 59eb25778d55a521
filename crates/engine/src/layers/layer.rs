//! The trait that every layer implements, and the kinds of pass that a network makes.
//!
//! Each layer has a file of its own; what a network lends to its layers is in [`Context`], and
//! what they compute at inference is described by [`Step`]s.

use super::context::Context;
use crate::inference::plan::Step;
use crate::parameter::Parameter;
use crate::tensor::{Shape, Tensor};

/// Why a network is run.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
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

/// One step of a network, with explicit forward and backward.
///
/// The caller gives `y` its size; `backward` follows the `forward` it belongs
/// to, with the same `x` and `y`.
pub trait Layer: Sealed + Send + Sync {
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
    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context);

    /// Computes the gradients of the parameters, and that of the input where it
    /// is wanted, from that of the output. The memory of `dy` is the layer's: it
    /// comes back as the result or goes back to the workspace.
    fn backward(&mut self, x: &Tensor, y: &Tensor, dy: Tensor, wants_dx: bool, context: &mut Context)
    -> Option<Tensor>;

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

/// Returns `dx`, or gives its memory back where it is not wanted.
pub(super) fn wanted(dx: Tensor, wants_dx: bool, context: &mut Context) -> Option<Tensor> {
    if wants_dx {
        return Some(dx);
    }
    context.workspace.give(dx);
    None
}

/// The steps of a layer at inference.
pub(crate) fn lower(layer: &dyn Layer) -> Vec<Step> {
    let mut steps = Vec::new();
    layer.lower(&mut steps);
    steps
}

/// Keeps the trait to the layers of this crate: their gradients are tested, and what they
/// are at inference has to be one of its operations.
pub trait Sealed {}
