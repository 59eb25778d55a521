//! Runs the steps of a network at inference.
//!
//! Only the input and the output of the current step are in memory at a time. The steps are defined
//! in `plan`; the kernels compute them.

use super::plan::{Operation, Step};
use crate::kernels::element::with_element;
use crate::kernels::pooling::PoolingKind;
use crate::kernels::{activation, channel_scale, concatenate, depthwise, normalization, pooling, upsampling};
use crate::layers::layer::add_and_apply;
use crate::precision::Precision;
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
            Self::Lent(tensor) => workspace.take_copy(tensor, tensor.precision()),
            Self::Owned(tensor) => tensor,
        }
    }

    /// The map with values of this precision.
    fn converted(self, precision: Precision, workspace: &mut Workspace) -> Self {
        match self {
            Self::Lent(tensor) if tensor.precision() != precision => {
                Self::Owned(workspace.take_copy(tensor, precision))
            }
            Self::Lent(tensor) => Self::Lent(tensor),
            Self::Owned(tensor) => Self::Owned(workspace.convert(tensor, precision)),
        }
    }

    /// A map of the same precision and of this shape, computed from this map.
    fn into_other(self, shape: Shape, workspace: &mut Workspace, fill: impl FnOnce(&Tensor, &mut Tensor)) -> Tensor {
        let precision = self.tensor().precision();
        self.into_other_as(precision, shape, workspace, fill)
    }

    /// A map of this precision and shape, computed from this map.
    fn into_other_as(
        self,
        precision: Precision,
        shape: Shape,
        workspace: &mut Workspace,
        fill: impl FnOnce(&Tensor, &mut Tensor),
    ) -> Tensor {
        let mut y = workspace.take_as(self.tensor().batch(), shape, precision);
        fill(self.tensor(), &mut y);
        if let Self::Owned(x) = self {
            workspace.give(x);
        }
        y
    }
}

/// The outputs of a network. Their memory may be given back to the workspace.
#[derive(Default)]
pub struct Outputs {
    /// The last layer's output.
    pub last: Tensor,
    /// The named outputs, in the order of their layers.
    pub named: Vec<(String, Tensor)>,
}

/// What a pass reads and fills besides the maps.
pub struct Pass<'a> {
    pub workspace: &'a mut Workspace,
    pub profiler: &'a mut Profiler,
    /// The named outputs, in the order of their layers.
    pub outputs: &'a mut Vec<(String, Tensor)>,
    /// Called with the name and the input of each convolution and dense layer.
    pub observer: Option<Observer<'a>>,
}

/// See [`Pass::observer`].
pub type Observer<'a> = &'a mut (dyn FnMut(&str, &Tensor) + Send);

/// The output of all of these steps.
pub fn run(steps: &[Step], x: Map<'_>, pass: &mut Pass<'_>) -> Tensor {
    let mut map = x;
    for step in steps {
        if let (Some(observer), Operation::Conv2d { .. }) = (&mut pass.observer, step.operation()) {
            observer(step.layer(), map.tensor());
        }
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
            let x = x.converted(convolved.precisions[0], workspace);
            x.into_other_as(convolved.precisions[1], output, workspace, |x, y| {
                convolution.forward(x, &convolved.prepared, &convolved.epilogue(), y);
            })
        }
        Operation::DepthwiseConv2d { window, convolved } => {
            let x = x.converted(Precision::F32, workspace);
            x.into_other(window.output_shape(window.input.channels), workspace, |x, y| {
                depthwise::forward(window, x.data(), &convolved.kernel, &convolved.epilogue(), y.data_mut());
            })
        }
        Operation::Affine { scale, shift, activation } => {
            let mut y = x.into_owned(workspace);
            with_element!(y, E => normalization::apply_in_place(y.values_mut::<E>(), scale, shift, *activation));
            y
        }
        Operation::Activation { activation } => {
            let mut y = x.into_owned(workspace);
            let channels = y.shape().channels;
            with_element!(y, E => activation::apply_all(*activation, y.values_mut::<E>(), channels));
            y
        }
        Operation::Pooling { kind, window } => {
            x.into_other(window.output_shape(window.input.channels), workspace, |x, y| {
                with_element!(x, E => match kind {
                    PoolingKind::Max => pooling::max_only(window, x.values::<E>(), y.values_mut()),
                    PoolingKind::Average => pooling::average_forward(window, x.values::<E>(), y.values_mut()),
                });
            })
        }
        Operation::UpSampling { size } => {
            let input = x.tensor().shape();
            let output = Shape::new(input.height * size[0], input.width * size[1], input.channels);
            let x = x.converted(Precision::F32, workspace);
            x.into_other(output, workspace, |x, y| upsampling::forward(input, *size, x.data(), y.data_mut()))
        }
        Operation::Reshape { shape } => x.into_owned(workspace).reshaped(*shape),
        Operation::Residual { branch, shortcut, activation } => {
            let x = x.into_owned(workspace);
            let mut y = run(branch, Map::Lent(&x), pass);
            let other = if shortcut.is_empty() { x } else { run(shortcut, Map::Owned(x), pass) };
            let other = pass.workspace.convert(other, y.precision());
            add_and_apply(&other, *activation, &mut y);
            pass.workspace.give(other);
            y
        }
        Operation::Concatenate { branches, output } => {
            let x = x.into_owned(workspace);
            let mut y: Option<Tensor> = None;
            let mut first = 0;
            for branch in branches {
                let part = run(branch, Map::Lent(&x), pass);
                let precision = y.as_ref().map_or(part.precision(), Tensor::precision);
                let part = pass.workspace.convert(part, precision);
                let y = y.get_or_insert_with(|| pass.workspace.take_as(x.batch(), *output, precision));
                let (channels, all) = (part.shape().channels, output.channels);
                with_element!(part, E => concatenate::put(part.values::<E>(), channels, y.values_mut(), all, first));
                first += channels;
                pass.workspace.give(part);
            }
            match y {
                Some(y) => {
                    pass.workspace.give(x);
                    y
                }
                None => x,
            }
        }
        Operation::Gate { gate } => {
            let mut y = x.into_owned(workspace);
            let weights = run(gate, Map::Lent(&y), pass);
            let weights = pass.workspace.convert(weights, Precision::F32);
            let shape = y.shape();
            with_element!(y, E => channel_scale::apply(y.values_mut::<E>(), weights.data(), shape));
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
