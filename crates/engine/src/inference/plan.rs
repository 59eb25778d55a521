//! What a network computes at inference, as data: steps with their operations and weights.
//!
//! Layers add their steps, and batch normalization is folded into the convolution before it.
//! Running the steps is left to `execute`; other crates read them to export a network in
//! another format.

use crate::kernels::activation::Activation;
use crate::kernels::convolution::Convolution;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::pooling::PoolingKind;
use crate::kernels::window::Window;
use crate::parameter::Parameter;
use crate::tensor::{Buffer, Shape, zeros};

/// The weights of a convolution at inference.
pub struct Convolved {
    /// As in the layer, with a batch normalization that follows folded in.
    pub(super) kernel: Vec<f32>,
    bias: Option<Vec<f32>>,
    activation: Activation,
    /// Of the output.
    channels: usize,
    /// The kernel in the form that the method multiplies with.
    pub(super) prepared: Buffer,
}

impl Convolved {
    pub(crate) fn new(kernel: &[f32], bias: Option<&Parameter>, activation: Activation, channels: usize) -> Self {
        let bias = bias.map(|bias| bias.value.to_vec());
        Self { kernel: kernel.to_vec(), bias, activation, channels, prepared: zeros(0) }
    }

    /// Folds `scale · y + shift` in; false where an activation lies between.
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

/// What happens to a map at inference.
pub enum Operation {
    /// A convolution or a dense layer.
    #[allow(private_interfaces)]
    Conv2d {
        /// Geometry and method.
        convolution: Convolution,
        /// Weights.
        convolved: Convolved,
    },
    /// A filter for each channel.
    #[allow(private_interfaces)]
    DepthwiseConv2d {
        /// Geometry.
        window: Window,
        /// Weights.
        convolved: Convolved,
    },
    /// `activation(scale · x + shift)` by channel.
    Affine {
        /// Factors.
        scale: Vec<f32>,
        /// Summands.
        shift: Vec<f32>,
        /// What follows.
        activation: Activation,
    },
    /// An activation by itself.
    Activation {
        /// Which.
        activation: Activation,
    },
    /// Maximum or average over windows.
    Pooling {
        /// Which.
        kind: PoolingKind,
        /// Geometry.
        window: Window,
    },
    /// The same values as a map of another shape.
    Reshape {
        /// The new shape.
        shape: Shape,
    },
    /// Two chains on the same input, added.
    Residual {
        /// The longer one.
        branch: Vec<Step>,
        /// The shorter one; the identity when empty.
        shortcut: Vec<Step>,
        /// Of the sum.
        activation: Activation,
    },
    /// Several chains on the same input, their channels side by side.
    Concatenate {
        /// The chains; the identity where empty.
        branches: Vec<Vec<Step>>,
        /// Shape of one map of the result.
        output: Shape,
    },
    /// A map times what a chain on it says of each channel.
    Gate {
        /// The chain.
        gate: Vec<Step>,
    },
}

impl Step {
    pub(crate) fn new(layer: &str, operation: Operation) -> Self {
        Self { layer: layer.to_owned(), operation }
    }

    /// Adds `activation(scale · x + shift)`, inside the step before it where
    /// that is a convolution.
    pub(crate) fn push_affine(
        steps: &mut Vec<Self>,
        layer: &str,
        (scale, shift): (Vec<f32>, Vec<f32>),
        activation: Activation,
    ) {
        let folded = match steps.last_mut().map(|step| &mut step.operation) {
            Some(Operation::Conv2d { convolved, .. } | Operation::DepthwiseConv2d { convolved, .. }) => {
                convolved.fold(&scale, &shift, activation)
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

    /// What it does.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    pub(super) fn prepare(&mut self) {
        match &mut self.operation {
            Operation::Conv2d { convolution, convolved } => {
                convolution.prepare(&convolved.kernel, &mut convolved.prepared);
                convolved.kernel = Vec::new();
            }
            Operation::Residual { branch, shortcut, .. } => {
                branch.iter_mut().chain(shortcut).for_each(Self::prepare);
            }
            Operation::Gate { gate } => gate.iter_mut().for_each(Self::prepare),
            Operation::Concatenate { branches, .. } => branches.iter_mut().flatten().for_each(Self::prepare),
            _ => {}
        }
    }
}

/// What a convolution multiplies with, to look at.
#[derive(Clone, Copy, Debug)]
pub struct Filters<'a> {
    /// Geometry.
    pub window: Window,
    /// `[kernel height, kernel width, channels, filters]`; without the last
    /// extent where each channel has a filter of its own.
    pub kernel: &'a [f32],
    /// One for each filter.
    pub bias: Option<&'a [f32]>,
    /// Of the sum.
    pub activation: Activation,
}

impl Filters<'_> {
    /// True for a product with flat inputs: a dense layer.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.window.is_pointwise() && self.window.input.positions() == 1
    }
}

impl Operation {
    /// The filters of a convolution, dense or depthwise ones included.
    #[must_use]
    pub fn filters(&self) -> Option<Filters<'_>> {
        let (window, convolved) = match self {
            Self::Conv2d { convolution, convolved } => (convolution.window, convolved),
            Self::DepthwiseConv2d { window, convolved } => (*window, convolved),
            _ => return None,
        };
        let Convolved { kernel, bias, activation, .. } = convolved;
        Some(Filters { window, kernel, bias: bias.as_deref(), activation: *activation })
    }
}
