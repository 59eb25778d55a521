//! Runs the steps of a network at inference.
//!
//! Only the input and the output of the current step are in memory at a time. The steps are defined
//! in `plan`; the kernels compute them.

use super::plan::{Operation, Step};
use crate::kernels::pooling::PoolingKind;
use crate::kernels::{activation, channel_scale, concatenate, depthwise, normalization, pooling, upsampling};
use crate::profile::Profiler;
use crate::tensor::{Shape, Tensor};
use crate::workspace::Workspace;

/// The input of a step.
pub enum Map<'a> {
    /// Borrowed: it is needed after the step.
    Lent(&'a Tensor),
    /// Owned: the step may overwrite it or release its memory.
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

/// What a pass reads and fills besides the maps.
pub struct Pass<'a> {
    pub workspace: &'a mut Workspace,
    pub profiler: &'a mut Profiler,
    /// The named outputs, in the order of their layers.
    pub outputs: &'a mut Vec<(String, Tensor)>,
}

/// The output of all of these steps.
pub fn run(steps: &[Step], x: Map<'_>, pass: &mut Pass<'_>) -> Tensor {
    let mut map = x;
    for step in steps {
        let start = pass.profiler.clock();
        map = Map::Owned(operate(step.operation(), map, pass));
        pass.profiler.record_forward(step.layer(), start);
    }
    map.into_owned(pass.workspace)
}

/// The output of an operation on `x`.
fn operate(operation: &Operation, x: Map<'_>, pass: &mut Pass<'_>) -> Tensor {
    let workspace = &mut *pass.workspace;
    match operation {
        Operation::Conv2d { convolution, convolved } => {
            let output = convolution.window.output_shape(convolution.filters);
            x.into_other(output, workspace, |x, y| {
                convolution.forward(x, &convolved.prepared, &convolved.epilogue(), y);
            })
        }
        Operation::DepthwiseConv2d { window, convolved } => {
            x.into_other(window.output_shape(window.input.channels), workspace, |x, y| {
                depthwise::forward(window, x, &convolved.kernel, &convolved.epilogue(), y);
            })
        }
        Operation::Affine { scale, shift, activation } => {
            let mut y = x.into_owned(workspace);
            normalization::apply_in_place(y.data_mut(), scale, shift, *activation);
            y
        }
        Operation::Activation { activation } => {
            let mut y = x.into_owned(workspace);
            let channels = y.shape().channels;
            activation::apply_all(*activation, y.data_mut(), channels);
            y
        }
        Operation::Pooling { kind, window } => {
            x.into_other(window.output_shape(window.input.channels), workspace, |x, y| match kind {
                PoolingKind::Max => pooling::max_only(window, x, y),
                PoolingKind::Average => pooling::average_forward(window, x, y),
            })
        }
        Operation::UpSampling { size } => {
            let input = x.tensor().shape();
            let output = Shape::new(input.height * size[0], input.width * size[1], input.channels);
            x.into_other(output, workspace, |x, y| upsampling::forward(input, *size, x, y))
        }
        Operation::Reshape { shape } => x.into_owned(workspace).reshaped(*shape),
        Operation::Residual { branch, shortcut, activation } => {
            let x = x.into_owned(workspace);
            let mut y = run(branch, Map::Lent(&x), pass);
            let other = if shortcut.is_empty() { x } else { run(shortcut, Map::Owned(x), pass) };
            let channels = y.shape().channels;
            activation::add_and_apply(other.data(), *activation, y.data_mut(), channels);
            pass.workspace.give(other);
            y
        }
        Operation::Concatenate { branches, output } => {
            let x = x.into_owned(workspace);
            let mut y = workspace.take(x.batch(), *output);
            let mut first = 0;
            for branch in branches {
                let part = run(branch, Map::Lent(&x), pass);
                let channels = part.shape().channels;
                concatenate::put(part.data(), channels, y.data_mut(), output.channels, first);
                first += channels;
                pass.workspace.give(part);
            }
            pass.workspace.give(x);
            y
        }
        Operation::Gate { gate } => {
            let mut y = x.into_owned(workspace);
            let weights = run(gate, Map::Lent(&y), pass);
            let shape = y.shape();
            channel_scale::apply(y.data_mut(), weights.data(), shape);
            pass.workspace.give(weights);
            y
        }
        Operation::Output { output, layers } => {
            let x = x.into_owned(workspace);
            let result = run(layers, Map::Lent(&x), pass);
            pass.outputs.push((output.clone(), result));
            x
        }
    }
}
