//! The inference plan of a network: steps with their operations and weights.
//!
//! Layers add their steps, and batch normalization is folded into the preceding convolution.
//! `execute` runs the steps; other crates read them to export a network in another format.

use crate::buffer::Buffer;
use crate::kernels::activation::Activation;
use crate::kernels::convolution::Convolution;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::pooling::PoolingKind;
use crate::kernels::window::Window;
use crate::parameter::Parameter;
use crate::precision::Precision;
use crate::tensor::Shape;
use std::sync::Arc;

/// The weights of a convolution at inference.
pub struct Convolved {
    /// The layer's kernel, with a following batch normalization folded in.
    pub(super) kernel: Buffer,
    bias: Option<Vec<f32>>,
    activation: Activation,
    /// Number of output channels.
    channels: usize,
    /// The kernel in the layout of the algorithm.
    pub(super) prepared: Buffer,
    /// The precisions of the input and the output that it is prepared for.
    pub(super) precisions: [Precision; 2],
}

impl Convolved {
    pub(crate) fn new(kernel: &[f32], bias: Option<&Parameter>, activation: Activation, channels: usize) -> Arc<Self> {
        let bias = bias.map(|bias| bias.value.to_vec());
        Arc::new(Self {
            kernel: Buffer::from_slice(kernel),
            bias,
            activation,
            channels,
            prepared: Buffer::default(),
            precisions: [Precision::F32; 2],
        })
    }

    /// Folds `scale · y + shift` in; false where an activation is in between.
    fn fold(&mut self, scale: &[f32], shift: &[f32], activation: Activation) -> bool {
        if self.activation != Activation::Linear {
            return false;
        }
        for row in self.kernel.chunks_exact_mut(self.channels) {
            row.iter_mut().zip(scale).for_each(|(w, s)| *w *= s);
        }
        let bias = self.bias.take().unwrap_or_else(|| vec![0.0; self.channels]);
        self.bias = Some(bias.iter().zip(scale).zip(shift).map(|((b, s), t)| b * s + t).collect());
        self.activation = activation;
        true
    }

    pub(super) fn epilogue(&self) -> Epilogue<'_> {
        Epilogue { bias: self.bias.as_deref(), add: None, activation: self.activation }
    }
}

/// A step at inference and the layer that it comes from.
pub struct Step {
    layer: String,
    operation: Operation,
}

/// An operation at inference.
pub enum Operation {
    /// A convolution or a dense layer.
    #[allow(private_interfaces)]
    Conv2d {
        /// Geometry and algorithm.
        convolution: Convolution,
        /// Weights.
        convolved: Arc<Convolved>,
    },
    /// A depthwise convolution.
    #[allow(private_interfaces)]
    DepthwiseConv2d {
        /// Geometry.
        window: Window,
        /// Weights.
        convolved: Arc<Convolved>,
    },
    /// `activation(scale · x + shift)` by channel.
    Affine {
        /// Factors.
        scale: Vec<f32>,
        /// Offsets.
        shift: Vec<f32>,
        /// The activation that follows.
        activation: Activation,
    },
    /// A separate activation.
    Activation {
        /// The activation.
        activation: Activation,
    },
    /// Maximum or average over windows.
    Pooling {
        /// Maximum or average.
        kind: PoolingKind,
        /// Geometry.
        window: Window,
    },
    /// Repeats each position, `size` times vertically and horizontally.
    UpSampling {
        /// Factors.
        size: [usize; 2],
    },
    /// Reshapes a map.
    Reshape {
        /// The new shape.
        shape: Shape,
    },
    /// The sum of two branches on the same input.
    Residual {
        /// The main branch.
        branch: Vec<Step>,
        /// The shortcut; the identity when empty.
        shortcut: Vec<Step>,
        /// The activation of the sum.
        activation: Activation,
    },
    /// Several branches on the same input, concatenated along the channels.
    Concatenate {
        /// The branches; the identity where empty.
        branches: Vec<Vec<Step>>,
        /// Shape of one map of the result.
        output: Shape,
    },
    /// A map multiplied by one factor for each channel, computed by layers on the same map.
    Gate {
        /// The layers that compute the factors.
        gate: Vec<Step>,
    },
    /// The map itself; a further output of the network is computed from it.
    Output {
        /// Name of the output.
        output: String,
        /// The layers that compute it.
        layers: Vec<Step>,
    },
}

impl Step {
    pub(crate) fn new(layer: &str, operation: Operation) -> Self {
        Self { layer: layer.to_owned(), operation }
    }

    /// Adds `activation(scale · x + shift)`, folded into the previous step where that is a
    /// convolution.
    pub(crate) fn push_affine(
        steps: &mut Vec<Self>,
        layer: &str,
        (scale, shift): (Vec<f32>, Vec<f32>),
        activation: Activation,
    ) {
        let folded = match steps.last_mut().map(|step| &mut step.operation) {
            Some(Operation::Conv2d { convolved, .. } | Operation::DepthwiseConv2d { convolved, .. }) => {
                Arc::get_mut(convolved).is_some_and(|convolved| convolved.fold(&scale, &shift, activation))
            }
            _ => false,
        };
        if !folded {
            steps.push(Self::new(layer, Operation::Affine { scale, shift, activation }));
        }
    }

    /// The layer that the step comes from.
    #[must_use]
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Its operation.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Whether it computes a further output of the network and passes its input on.
    pub(super) fn is_output(&self) -> bool {
        matches!(self.operation, Operation::Output { .. })
    }

    /// Whether all weights are finite; before they are prepared.
    pub(super) fn is_finite(&self) -> bool {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        match &self.operation {
            Operation::Conv2d { convolved, .. } | Operation::DepthwiseConv2d { convolved, .. } => {
                finite(&convolved.kernel) && convolved.bias.as_deref().is_none_or(finite)
            }
            Operation::Affine { scale, shift, .. } => finite(scale) && finite(shift),
            Operation::Residual { branch, shortcut, .. } => branch.iter().chain(shortcut).all(Self::is_finite),
            Operation::Concatenate { branches, .. } => branches.iter().flatten().all(Self::is_finite),
            Operation::Gate { gate: layers } | Operation::Output { layers, .. } => layers.iter().all(Self::is_finite),
            Operation::Activation { .. }
            | Operation::Pooling { .. }
            | Operation::UpSampling { .. }
            | Operation::Reshape { .. } => true,
        }
    }

    pub(super) fn into_operation(self) -> Operation {
        self.operation
    }

    /// Prepares the weights for products in this precision. The input or the output of the step may be f32 in every
    /// precision, as those of the network are; the layers that read or write them compute in f32 unless they read f32 maps in every precision, as in training.
    fn prepare(&mut self, precision: Precision, f32_ends: [bool; 2]) {
        let is_f32 = f32_ends[0] || f32_ends[1];
        match &mut self.operation {
            Operation::Conv2d { convolution, convolved } => {
                // The weights are shared only after this.
                if let Some(Convolved { kernel, prepared, precisions, .. }) = Arc::get_mut(convolved) {
                    *precisions = match f32_ends {
                        [false, false] => [precision; 2],
                        [true, false] if convolution.reads_f32() => [Precision::F32, precision],
                        _ => [Precision::F32; 2],
                    };
                    convolution.prepare(*precisions, kernel, prepared);
                    *kernel = Buffer::default();
                }
            }
            Operation::Residual { branch, shortcut, .. } => {
                [branch, shortcut].into_iter().for_each(|steps| prepare(steps, precision, [is_f32; 2]));
            }
            Operation::Concatenate { branches, .. } => {
                branches.iter_mut().for_each(|steps| prepare(steps, precision, [is_f32; 2]));
            }
            Operation::Gate { gate: layers } | Operation::Output { layers, .. } => {
                prepare(layers, precision, [is_f32, true]);
            }
            _ => {}
        }
    }
}

/// Prepares the weights of steps for products in this precision; `f32_ends`: whether their input and their output are f32
/// in every precision.
pub(super) fn prepare(steps: &mut [Step], precision: Precision, f32_ends: [bool; 2]) {
    let last = steps.len().saturating_sub(1);
    for (i, step) in steps.iter_mut().enumerate() {
        step.prepare(precision, [f32_ends[0] && i == 0, f32_ends[1] && i == last]);
    }
}

/// The filters of a convolution, for export.
#[derive(Clone, Copy, Debug)]
pub struct Filters<'a> {
    /// Geometry.
    pub window: Window,
    /// `[kernel height, kernel width, channels, filters]`; without the last axis for a depthwise
    /// convolution.
    pub kernel: &'a [f32],
    /// One bias for each filter.
    pub bias: Option<&'a [f32]>,
    /// The activation of the sum.
    pub activation: Activation,
}

impl Filters<'_> {
    /// Whether this is a dense layer: a product with flat inputs.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.window.is_pointwise() && self.window.input.positions() == 1
    }
}

impl Operation {
    /// The filters of a convolution, including dense and depthwise ones.
    #[must_use]
    pub fn filters(&self) -> Option<Filters<'_>> {
        let (window, convolved) = match self {
            Self::Conv2d { convolution, convolved } => (convolution.window, convolved),
            Self::DepthwiseConv2d { window, convolved } => (*window, convolved),
            _ => return None,
        };
        let Convolved { kernel, bias, activation, .. } = &**convolved;
        Some(Filters { window, kernel, bias: bias.as_deref(), activation: *activation })
    }
}
