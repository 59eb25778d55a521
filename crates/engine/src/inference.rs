//! A network made ready to predict.
//!
//! Batch normalization and dropout disappear, filters are transformed once, and
//! only the map that is being read and the one that is being written exist. An
//! image's outputs do not depend on the batch it comes in.

use crate::kernels::convolution::Convolution;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::pooling::PoolingKind;
use crate::kernels::window::Window;
use crate::kernels::{activation, channel_scale, concatenate, depthwise, normalization, pooling};
use crate::layers::{Layer, Parameter};
use crate::network::{Network, in_pool};
use crate::tensor::{Buffer, zeros};
use crate::workspace::{Profile, Workspace};
use crate::{Activation, Shape, Tensor};

/// The weights of a convolution at inference.
pub struct Convolved {
    /// As in the layer, with a batch normalization that followed multiplied in.
    kernel: Vec<f32>,
    bias: Option<Vec<f32>>,
    activation: Activation,
    /// Of the output.
    channels: usize,
    /// The kernel in the form that the method multiplies with.
    prepared: Buffer,
}

impl Convolved {
    pub(crate) fn new(kernel: &[f32], bias: Option<&Parameter>, activation: Activation, channels: usize) -> Self {
        let bias = bias.map(|bias| bias.value.to_vec());
        Self { kernel: kernel.to_vec(), bias, activation, channels, prepared: zeros(0) }
    }

    /// Multiplies `scale · y + shift` in, where nothing lies between.
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

    fn epilogue(&self) -> Epilogue<'_> {
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

    fn prepare(&mut self) {
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

    /// The map after this operation; `x` is the map before it.
    fn run(&self, x: Map<'_>, workspace: &mut Workspace) -> Tensor {
        match self {
            Self::Conv2d { convolution, convolved } => {
                let output = convolution.window.output_shape(convolution.filters);
                x.into_other(output, workspace, |x, y| {
                    convolution.forward(x, &convolved.prepared, &convolved.epilogue(), y);
                })
            }
            Self::DepthwiseConv2d { window, convolved } => {
                x.into_other(window.output_shape(window.input.channels), workspace, |x, y| {
                    depthwise::forward(window, x, &convolved.kernel, &convolved.epilogue(), y);
                })
            }
            Self::Affine { scale, shift, activation } => {
                let mut y = x.into_owned(workspace);
                normalization::apply_in_place(y.data_mut(), scale, shift, *activation);
                y
            }
            Self::Activation { activation } => {
                let mut y = x.into_owned(workspace);
                let channels = y.shape().channels;
                activation::apply_all(*activation, y.data_mut(), channels);
                y
            }
            Self::Pooling { kind, window } => {
                x.into_other(window.output_shape(window.input.channels), workspace, |x, y| match kind {
                    PoolingKind::Max => pooling::max_only(window, x, y),
                    PoolingKind::Average => pooling::average_forward(window, x, y),
                })
            }
            Self::Reshape { shape } => x.into_owned(workspace).reshaped(*shape),
            Self::Residual { branch, shortcut, activation } => {
                let x = x.into_owned(workspace);
                let mut y = run(branch, Map::Lent(&x), workspace);
                let other = if shortcut.is_empty() { x } else { run(shortcut, Map::Owned(x), workspace) };
                let channels = y.shape().channels;
                activation::add_and_apply(other.data(), *activation, y.data_mut(), channels);
                workspace.give(other);
                y
            }
            Self::Concatenate { branches, output } => {
                let x = x.into_owned(workspace);
                let mut y = workspace.take(x.batch(), *output);
                let mut first = 0;
                for branch in branches {
                    let part = run(branch, Map::Lent(&x), workspace);
                    let channels = part.shape().channels;
                    concatenate::put(part.data(), channels, y.data_mut(), output.channels, first);
                    first += channels;
                    workspace.give(part);
                }
                workspace.give(x);
                y
            }
            Self::Gate { gate } => {
                let mut y = x.into_owned(workspace);
                let weights = run(gate, Map::Lent(&y), workspace);
                let shape = y.shape();
                channel_scale::apply(y.data_mut(), weights.data(), shape);
                workspace.give(weights);
                y
            }
        }
    }
}

/// A map on its way through the steps.
enum Map<'a> {
    /// Somebody else still needs it.
    Lent(&'a Tensor),
    /// Nobody else does.
    Owned(Tensor),
}

impl Map<'_> {
    fn tensor(&self) -> &Tensor {
        match self {
            Self::Lent(tensor) => tensor,
            Self::Owned(tensor) => tensor,
        }
    }

    fn into_owned(self, workspace: &mut Workspace) -> Tensor {
        match self {
            Self::Lent(tensor) => {
                let mut copy = workspace.take(tensor.batch(), tensor.shape());
                copy.data_mut().copy_from_slice(tensor.data());
                copy
            }
            Self::Owned(tensor) => tensor,
        }
    }

    fn into_other(self, shape: Shape, workspace: &mut Workspace, fill: impl FnOnce(&[f32], &mut [f32])) -> Tensor {
        let mut y = workspace.take(self.tensor().batch(), shape);
        fill(self.tensor().data(), y.data_mut());
        if let Self::Owned(x) = self {
            workspace.give(x);
        }
        y
    }
}

fn run(steps: &[Step], x: Map<'_>, workspace: &mut Workspace) -> Tensor {
    let mut map = x;
    for step in steps {
        let start = workspace.clock();
        map = Map::Owned(step.operation.run(map, workspace));
        workspace.record(&step.layer, start, true);
    }
    map.into_owned(workspace)
}

/// The steps of a layer.
pub(crate) fn lower(layer: &dyn Layer) -> Vec<Step> {
    let mut steps = Vec::new();
    layer.lower(&mut steps);
    steps
}

/// The steps that a network's present weights come to: batch normalization is
/// multiplied into the convolution before it, dropout is gone.
#[must_use]
pub fn steps(network: &Network) -> Vec<Step> {
    lower(network.layers())
}

/// A network that only predicts.
pub struct InferenceNetwork {
    input: Shape,
    output_shape: Shape,
    steps: Vec<Step>,
    workspace: Workspace,
    output: Tensor,
}

impl InferenceNetwork {
    /// Makes a network's present weights ready. Changes to the network
    /// afterwards do not show.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let mut steps = steps(network);
        steps.iter_mut().for_each(Step::prepare);
        Self {
            input: network.input_shape(),
            output_shape: network.output_shape(),
            steps,
            workspace: Workspace::default(),
            output: Tensor::default(),
        }
    }

    /// Shape of one image.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.input
    }

    /// Starts to measure the time of each step, from zero.
    pub fn start_profile(&mut self) {
        self.workspace.profile = Some(Profile::default());
    }

    /// The times since [`Self::start_profile`], as forward passes of the layers
    /// that the steps come from, and the end of measuring.
    pub fn take_profile(&mut self) -> Profile {
        self.workspace.profile.take().unwrap_or_default()
    }

    /// Runs a batch `[N, H, W, C]` and returns its outputs `[N, 1, 1, classes]`.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    pub fn run(&mut self, x: &Tensor) -> &Tensor {
        let mut workspace = std::mem::take(&mut self.workspace);
        let y = self.run_in(x, &mut workspace);
        workspace.give(std::mem::replace(&mut self.output, y));
        self.workspace = workspace;
        &self.output
    }

    /// The same in memory of the caller's, so that several threads can share a
    /// network. The result may be given back to the workspace.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    pub fn run_in(&self, x: &Tensor, workspace: &mut Workspace) -> Tensor {
        assert_eq!(x.shape(), self.input, "images of another shape than the network's");
        let y = in_pool(|| run(&self.steps, Map::Lent(x), workspace));
        debug_assert_eq!(y.shape(), self.output_shape);
        y
    }
}
