//! The trait that every layer implements, the modes of a network, and what a layer tells engines on other devices.
//!
//! Each layer has its own file; [`Context`] holds the resources of a pass, and [`Step`]s describe
//! layers at inference.

use super::context::Context;
use crate::inference::plan::Step;
use crate::kernels::activation::{self, Activation};
use crate::kernels::element::with_element;
use crate::kernels::pooling::PoolingKind;
use crate::kernels::window::Window;
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

    /// What the layer computes in training, for engines on other devices.
    fn describe(&self) -> Description<'_>;

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

/// What a layer computes in a training pass, for engines on other devices, with its parameters and the layers inside it.
#[derive(Clone)]
pub enum Description<'a> {
    /// [`Conv2d`](super::Conv2d), or [`Dense`](super::Dense) as a convolution of one position.
    Conv2d(Filtered<'a>),
    /// [`DepthwiseConv2d`](super::DepthwiseConv2d).
    DepthwiseConv2d(Filtered<'a>),
    /// [`BatchNormalization`](super::BatchNormalization).
    BatchNormalization {
        /// Share of the previous running statistics that a step keeps.
        momentum: f32,
        /// Added to the variance.
        epsilon: f32,
        /// The activation of the result.
        activation: Activation,
        /// `gamma`, `beta`, `moving_mean` and `moving_variance`.
        parameters: [&'a Parameter; 4],
    },
    /// [`ActivationLayer`](super::ActivationLayer).
    Activation(Activation),
    /// [`Pooling2d`](super::Pooling2d).
    Pooling {
        /// Maximum or average.
        kind: PoolingKind,
        /// Geometry.
        window: Window,
    },
    /// [`UpSampling2d`](super::UpSampling2d).
    UpSampling {
        /// Vertical and horizontal factor.
        size: [usize; 2],
    },
    /// [`Flatten`](super::Flatten).
    Reshape,
    /// [`Dropout`](super::Dropout): the stream of an image has the key `[image, salt]`.
    Dropout {
        /// Share of the values that are set to 0.
        rate: f32,
        /// Whether an image's map is dropped as a whole.
        whole: bool,
        /// Distinguishes the draws of this layer from those of others.
        salt: u64,
    },
    /// [`Sequence`](super::Sequence).
    Sequence {
        /// The layers.
        layers: &'a [Box<dyn Layer>],
        /// How many layers at the beginning are frozen.
        frozen: usize,
    },
    /// [`Residual`](super::Residual).
    Residual {
        /// The branch and the shortcut.
        branches: [&'a dyn Layer; 2],
        /// The activation of the sum.
        activation: Activation,
    },
    /// [`Concatenate`](super::Concatenate).
    Concatenate {
        /// The branches.
        branches: Vec<&'a dyn Layer>,
    },
    /// [`SqueezeExcite`](super::SqueezeExcite).
    SqueezeExcite {
        /// The layers that compute the factors.
        gate: &'a dyn Layer,
    },
    /// [`Output`](super::Output): the map itself.
    Output {
        /// The layers that compute a named output from it.
        layers: &'a dyn Layer,
    },
}

/// The filters of a convolution.
#[derive(Clone, Copy)]
pub struct Filtered<'a> {
    /// Geometry.
    pub window: Window,
    /// The kernel.
    pub kernel: &'a Parameter,
    /// One bias for each filter.
    pub bias: Option<&'a Parameter>,
    /// The activation of the sum.
    pub activation: Activation,
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
