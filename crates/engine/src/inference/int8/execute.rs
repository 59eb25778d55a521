//! Runs the steps of a network over bytes.

use super::step::{Int8Operation, Int8Step};
use crate::inference::execute as float;
use crate::inference::plan::Step;
use crate::kernels::activation::Activation;
use crate::kernels::concatenate;
use crate::kernels::int8::Quantization;
use crate::kernels::int8::convolution::Convolution;
use crate::kernels::int8::first::FirstConvolution;
use crate::kernels::int8::map::{self, Bytes};
use crate::kernels::window::Window;
use crate::layers::layer::add_and_apply;
use crate::profile::Profiler;
use crate::tensor::{Shape, Tensor};
use crate::workspace::Workspace;

/// A map of f32 values or of bytes, and whether it is needed after a step.
pub enum Map<'a> {
    Lent(&'a Tensor),
    Owned(Tensor),
    LentBytes(&'a Bytes),
    OwnedBytes(Bytes),
}

/// What a pass reads and fills besides the maps.
pub struct Pass<'a> {
    pub workspace: &'a mut Workspace,
    pub profiler: &'a mut Profiler,
    /// The named outputs, in the order of their layers.
    pub outputs: &'a mut Vec<(String, Tensor)>,
    /// Parts that a convolution is divided into.
    pub tasks: usize,
}

impl Pass<'_> {
    fn bytes(&mut self, batch: usize, shape: Shape, quantization: Quantization) -> Bytes {
        let memory = self.workspace.take_buffer(Bytes::memory_len(batch, shape));
        Bytes::new(batch, shape, quantization, memory)
    }

    fn give_bytes(&mut self, bytes: Bytes) {
        self.workspace.give_buffer(bytes.into_memory());
    }

    fn give(&mut self, map: Map<'_>) {
        match map {
            Map::Owned(tensor) => self.workspace.give(tensor),
            Map::OwnedBytes(bytes) => self.give_bytes(bytes),
            Map::Lent(_) | Map::LentBytes(_) => {}
        }
    }

    fn run_float(&mut self, step: &Step, x: float::Map<'_>) -> Tensor {
        // The step is profiled here.
        let mut pass = float::Pass {
            workspace: self.workspace,
            profiler: &mut Profiler::default(),
            outputs: self.outputs,
            observer: None,
        };
        float::run(std::slice::from_ref(step), x, &mut pass)
    }
}

impl Map<'_> {
    fn batch(&self) -> usize {
        match self {
            Self::Lent(tensor) => tensor.batch(),
            Self::Owned(tensor) => tensor.batch(),
            Self::LentBytes(bytes) => bytes.batch(),
            Self::OwnedBytes(bytes) => bytes.batch(),
        }
    }

    /// The same map, lent.
    fn lend(&self) -> Map<'_> {
        match self {
            Self::Lent(tensor) => Map::Lent(tensor),
            Self::Owned(tensor) => Map::Lent(tensor),
            Self::LentBytes(bytes) => Map::LentBytes(bytes),
            Self::OwnedBytes(bytes) => Map::LentBytes(bytes),
        }
    }

    /// The bytes that a step over bytes reads.
    fn bytes(&self) -> &Bytes {
        match self {
            Self::LentBytes(bytes) => bytes,
            Self::OwnedBytes(bytes) => bytes,
            Self::Lent(_) | Self::Owned(_) => unreachable!("`build` quantizes the inputs of steps over bytes"),
        }
    }

    /// The same map, not lent: a copy where it is.
    fn into_owned(self, pass: &mut Pass<'_>) -> Map<'static> {
        match self {
            Self::Lent(tensor) => Map::Owned(pass.workspace.take_copy(tensor, tensor.precision())),
            Self::Owned(tensor) => Map::Owned(tensor),
            Self::LentBytes(bytes) => {
                let mut copy = pass.bytes(bytes.batch(), bytes.shape(), bytes.quantization);
                copy.values_mut().copy_from_slice(bytes.values());
                Map::OwnedBytes(copy)
            }
            Self::OwnedBytes(bytes) => Map::OwnedBytes(bytes),
        }
    }

    /// The map as f32 values.
    pub fn into_float(self, workspace: &mut Workspace) -> Tensor {
        match self {
            Self::Lent(tensor) => workspace.take_copy(tensor, tensor.precision()),
            Self::Owned(tensor) => tensor,
            Self::LentBytes(bytes) => values(bytes, workspace),
            Self::OwnedBytes(bytes) => {
                let tensor = values(&bytes, workspace);
                workspace.give_buffer(bytes.into_memory());
                tensor
            }
        }
    }
}

fn values(bytes: &Bytes, workspace: &mut Workspace) -> Tensor {
    let mut tensor = workspace.take(bytes.batch(), bytes.shape());
    map::dequantize(bytes, tensor.data_mut());
    tensor
}

/// The output of all of these steps. The last one may add the bytes of another map.
pub fn run<'a>(steps: &[Int8Step], x: Map<'a>, add: Option<&Bytes>, pass: &mut Pass<'_>) -> Map<'a> {
    let mut map = x;
    for step in steps {
        let start = pass.profiler.clock();
        map = operate(&step.operation, map, add, pass);
        pass.profiler.record_forward(&step.layer, start);
    }
    map
}

fn operate<'a>(operation: &Int8Operation, x: Map<'a>, add: Option<&Bytes>, pass: &mut Pass<'_>) -> Map<'a> {
    match operation {
        Int8Operation::Float(step) => {
            if step.is_output() {
                // The map itself is the input of the next step.
                let copy = x.lend().into_float(pass.workspace);
                let copy = pass.run_float(step, float::Map::Owned(copy));
                pass.workspace.give(copy);
                return x;
            }
            let x = match x {
                Map::Lent(tensor) => float::Map::Lent(tensor),
                map => float::Map::Owned(map.into_float(pass.workspace)),
            };
            Map::Owned(pass.run_float(step, x))
        }
        Int8Operation::First { convolution, pooling } => {
            let tensor = x.into_float(pass.workspace);
            let y = first(convolution, &tensor, pooling.as_ref(), pass);
            pass.workspace.give(tensor);
            Map::OwnedBytes(y)
        }
        Int8Operation::Quantize(quantization) => {
            let tensor = x.into_float(pass.workspace);
            quantize(tensor, *quantization, pass)
        }
        Int8Operation::Convolution { convolution, output, adds } => {
            let y = convolve(convolution, x.bytes(), *output, add.filter(|_| *adds), pass);
            pass.give(x);
            y
        }
        Int8Operation::MaxPooling(window) => {
            let bytes = x.bytes();
            let mut y = pass.bytes(bytes.batch(), window.output_shape(window.input.channels), bytes.quantization);
            map::max(window, bytes.values(), y.values_mut());
            pass.give(x);
            Map::OwnedBytes(y)
        }
        Int8Operation::GlobalAverage => {
            let bytes = x.bytes();
            let mut y = pass.workspace.take(bytes.batch(), Shape::flat(bytes.shape().channels));
            map::mean(bytes, y.data_mut());
            pass.give(x);
            Map::Owned(y)
        }
        Int8Operation::Reshape(shape) => match x.into_owned(pass) {
            Map::OwnedBytes(bytes) => Map::OwnedBytes(bytes.reshaped(*shape)),
            map => Map::Owned(map.into_float(pass.workspace).reshaped(*shape)),
        },
        Int8Operation::Residual { branch, shortcut } => {
            let other = (!shortcut.is_empty()).then(|| run(shortcut, x.lend(), None, pass).into_owned(pass));
            let y = run(branch, x.lend(), Some(other.as_ref().unwrap_or(&x).bytes()), pass).into_owned(pass);
            pass.give(x);
            other.into_iter().for_each(|other| pass.give(other));
            y
        }
        Int8Operation::Sum { branch, shortcut, activation, quantization } => {
            let mut sum = run(branch, x.lend(), None, pass).into_owned(pass).into_float(pass.workspace);
            let other = run(shortcut, x, None, pass);
            let is_simple = matches!(activation, Activation::Linear | Activation::Relu);
            let y = match (&other, quantization) {
                (Map::LentBytes(_) | Map::OwnedBytes(_), Some(quantization)) if is_simple => {
                    let mut y = pass.bytes(sum.batch(), sum.shape(), *quantization);
                    map::add(sum.data(), other.bytes(), *activation == Activation::Relu, &mut y);
                    pass.workspace.give(sum);
                    Map::OwnedBytes(y)
                }
                _ => {
                    let values = other.lend().into_float(pass.workspace);
                    add_and_apply(&values, *activation, &mut sum);
                    pass.workspace.give(values);
                    match quantization {
                        Some(quantization) => quantize(sum, *quantization, pass),
                        None => Map::Owned(sum),
                    }
                }
            };
            pass.give(other);
            y
        }
        Int8Operation::Concatenate { branches, output, quantization: Some(quantization) } => {
            let mut y = pass.bytes(x.batch(), *output, *quantization);
            let mut first = 0;
            for branch in branches {
                let part = run(branch, x.lend(), None, pass);
                map::concatenate(part.bytes(), &mut y, first);
                first += part.bytes().shape().channels;
                pass.give(part);
            }
            pass.give(x);
            Map::OwnedBytes(y)
        }
        Int8Operation::Concatenate { branches, output, quantization: None } => {
            let mut y = pass.workspace.take(x.batch(), *output);
            let mut first = 0;
            for branch in branches {
                let part = run(branch, x.lend(), None, pass).into_float(pass.workspace);
                let channels = part.shape().channels;
                concatenate::put(part.data(), channels, y.data_mut(), output.channels, first);
                first += channels;
                pass.workspace.give(part);
            }
            pass.give(x);
            Map::Owned(y)
        }
    }
}

fn first(convolution: &FirstConvolution, x: &Tensor, pooling: Option<&Window>, pass: &mut Pass<'_>) -> Bytes {
    let shape = convolution.window().output_shape(convolution.filters());
    let output = pooling.map_or(shape, |window| window.output_shape(shape.channels));
    let mut y = pass.bytes(x.batch(), output, convolution.output());
    let mut scratch = pass.workspace.take_buffer(convolution.scratch_len());
    let mut map = pooling.map(|_| pass.bytes(1, shape, convolution.output()));
    let images = x.data().chunks_exact(x.shape().len());
    for (x, y) in images.zip(y.values_mut().chunks_exact_mut(output.len())) {
        match (pooling, &mut map) {
            (Some(window), Some(map)) => {
                convolution.forward(x, map.values_mut(), &mut scratch, pass.tasks);
                map::max(window, map.values(), y);
            }
            _ => convolution.forward(x, y, &mut scratch, pass.tasks),
        }
    }
    map.into_iter().for_each(|map| pass.give_bytes(map));
    pass.workspace.give_buffer(scratch);
    y
}

fn quantize(tensor: Tensor, quantization: Quantization, pass: &mut Pass<'_>) -> Map<'static> {
    let mut y = pass.bytes(tensor.batch(), tensor.shape(), quantization);
    map::quantize(tensor.data(), quantization, y.values_mut());
    pass.workspace.give(tensor);
    Map::OwnedBytes(y)
}

fn convolve(
    convolution: &Convolution,
    x: &Bytes,
    output: Shape,
    add: Option<&Bytes>,
    pass: &mut Pass<'_>,
) -> Map<'static> {
    let mut scratch = pass.workspace.take_buffer(convolution.scratch_len(x.batch()));
    let (add, tasks) = (add.map(Bytes::values), pass.tasks);
    let y = match convolution.output() {
        Some(quantization) => {
            let mut y = pass.bytes(x.batch(), output, quantization);
            convolution.forward(x, add, y.values_mut(), &mut scratch, tasks);
            Map::OwnedBytes(y)
        }
        None => {
            let mut y = pass.workspace.take(x.batch(), output);
            convolution.forward(x, add, y.data_mut(), &mut scratch, tasks);
            Map::Owned(y)
        }
    };
    pass.workspace.give_buffer(scratch);
    y
}
