//! From the steps of a network to the launches of its kernels.
//!
//! A launch reads and writes slots: parts of the memory that is kept for a batch. A slot is used again as soon as its
//! map is not needed. Activations, the sum of a residual block and the concatenation of branches become part of the
//! kernel that computes the map, where it can do so.

use crate::kernel::{ADD, AFFINE, AVERAGE, BIAS, GATE, Kernel, Params};
use crate::slots::{Slot, Slots};
use moue_engine::inference::{Operation, Step};
use moue_engine::layers::PoolingKind;
use moue_engine::{Activation, Shape, Window};

/// One run of a kernel.
pub struct Launch {
    pub kernel: Kernel,
    pub params: Params,
    pub x: Slot,
    /// A kernel with the bias after it, or factors and offsets.
    pub weights: Vec<f32>,
    /// A map that is added, or factors of channels.
    pub other: Option<Slot>,
    pub y: Slot,
    /// Multiply-adds for one image.
    pub macs: u64,
}

/// The launches of a network.
pub struct Plan {
    pub launches: Vec<Launch>,
    /// Values of each slot for one image.
    pub slots: Vec<usize>,
    pub input: Slot,
    pub output: Slot,
    pub output_shape: Shape,
}

/// A map of the network.
#[derive(Clone, Copy)]
struct Map {
    slot: Slot,
    shape: Shape,
    /// Whether the slot may be used again after the next step.
    owned: bool,
}

/// What follows the sum of a kernel.
#[derive(Clone, Copy, Default)]
struct Epilogue {
    add: Option<Slot>,
    activation: Activation,
}

impl Plan {
    /// The launches of these steps for inputs of this shape. Further outputs of the network are not computed.
    pub fn new(steps: &[Step], input: Shape, limits: &wgpu::Limits) -> Self {
        let mut planner = Planner { launches: Vec::new(), slots: Slots::default(), limits };
        let slot = planner.slots.take(input.len());
        let output = planner.sequence(steps, Map { slot, shape: input, owned: false }, None);
        let Planner { launches, slots, .. } = planner;
        Self { launches, slots: slots.sizes, input: slot, output: output.slot, output_shape: output.shape }
    }
}

struct Planner<'a> {
    launches: Vec<Launch>,
    slots: Slots,
    limits: &'a wgpu::Limits,
}

impl Planner<'_> {
    fn give(&mut self, map: Map) {
        if map.owned {
            self.slots.give(map.slot);
        }
    }

    /// The launches of steps in order. `last` is added to the epilogue of the last step if that is a convolution without
    /// activation, or else computed on its own.
    fn sequence(&mut self, steps: &[Step], x: Map, last: Option<Epilogue>) -> Map {
        let mut map = x;
        let mut steps = steps.iter().map(Step::operation).peekable();
        let mut last = last;
        while let Some(operation) = steps.next() {
            let mut epilogue = Epilogue::default();
            if is_linear(operation) {
                if let Some(&&Operation::Activation { activation }) = steps.peek() {
                    epilogue.activation = activation;
                    steps.next();
                } else if steps.peek().is_none() {
                    epilogue = last.take().unwrap_or_default();
                }
            }
            map = self.step(operation, map, epilogue);
        }
        match last {
            Some(epilogue) => self.elementwise(map, Vec::new(), 0, epilogue),
            None => map,
        }
    }

    fn step(&mut self, operation: &Operation, x: Map, epilogue: Epilogue) -> Map {
        if let Some(filters) = operation.filters() {
            let depthwise = matches!(operation, Operation::DepthwiseConv2d { .. });
            let window = filters.window;
            let channels =
                if depthwise { window.input.channels } else { filters.kernel.len() / window.patch_len().max(1) };
            let shape = window.output_shape(channels);
            let kernel = if depthwise {
                Kernel::DepthwiseConv2d { transposed: false }
            } else {
                Kernel::conv2d(shape.positions(), channels, false, self.limits)
            };
            let weights = [filters.kernel, filters.bias.unwrap_or_default()].concat();
            let macs = shape.positions() * filters.kernel.len();
            let mut params = of_window(&window);
            params.flags = if filters.bias.is_some() { BIAS } else { 0 };
            let activation =
                if filters.activation == Activation::Linear { epilogue.activation } else { filters.activation };
            let epilogue = Epilogue { activation, ..epilogue };
            return self.launch(kernel, params, (x, weights, epilogue.add), (shape, epilogue.activation), macs as u64);
        }
        match operation {
            Operation::Affine { scale, shift, activation } => {
                let activation = if *activation == Activation::Linear { epilogue.activation } else { *activation };
                self.elementwise(x, [&scale[..], shift].concat(), AFFINE, Epilogue { activation, ..epilogue })
            }
            &Operation::Activation { activation } => {
                self.elementwise(x, Vec::new(), 0, Epilogue { add: None, activation })
            }
            Operation::Pooling { kind, window } => {
                let mut params = of_window(window);
                params.flags = if *kind == PoolingKind::Average { AVERAGE } else { 0 };
                let shape = window.output_shape(window.input.channels);
                self.launch(Kernel::Pooling, params, (x, Vec::new(), None), (shape, Activation::Linear), 0)
            }
            Operation::UpSampling { size } => {
                let shape = Shape::new(x.shape.height * size[0], x.shape.width * size[1], x.shape.channels);
                let input = [x.shape.height, x.shape.width].map(index);
                let params = Params { input, strides: size.map(index), ..Params::default() };
                self.launch(Kernel::UpSampling2d, params, (x, Vec::new(), None), (shape, Activation::Linear), 0)
            }
            &Operation::Reshape { shape } => Map { shape, ..x },
            Operation::Residual { branch, shortcut, activation } => {
                let kept = Map { owned: false, ..x };
                let other = self.sequence(shortcut, kept, None);
                let y = self.sequence(branch, kept, Some(Epilogue { add: Some(other.slot), activation: *activation }));
                self.give(other);
                self.give(x);
                y
            }
            Operation::Concatenate { branches, output } => self.concatenate(branches, *output, x),
            Operation::Gate { gate } => {
                let factors = self.sequence(gate, Map { owned: false, ..x }, None);
                let y = self.gated(x, factors.slot);
                self.give(factors);
                y
            }
            // A classifier has one output.
            Operation::Output { .. } => x,
            // Those have filters.
            Operation::Conv2d { .. } | Operation::DepthwiseConv2d { .. } => x,
        }
    }

    /// Branches on the same map, whose last kernels write into parts of one map.
    fn concatenate(&mut self, branches: &[Vec<Step>], output: Shape, x: Map) -> Map {
        let y = Map { slot: self.slots.take(output.len()), shape: output, owned: true };
        let mut offset = 0;
        for branch in branches {
            let part = self.sequence(branch, Map { owned: false, ..x }, None);
            let channels = part.shape.channels;
            // Only the last launch can have written the whole map of the branch; not that of a concatenation or reshaping.
            let writes_it =
                |launch: &Launch| part.owned && launch.y == part.slot && launch.params.filters as usize == channels;
            if !self.launches.last().is_some_and(writes_it) {
                let copy = self.elementwise(Map { owned: false, ..part }, Vec::new(), 0, Epilogue::default());
                self.give(copy);
            }
            if let Some(launch) = self.launches.last_mut() {
                launch.y = y.slot;
                launch.params.row_length = index(output.channels);
                launch.params.row_offset = index(offset);
            }
            self.give(part);
            offset += channels;
        }
        self.give(x);
        y
    }

    fn gated(&mut self, x: Map, factors: Slot) -> Map {
        let params = Params { flags: GATE, ..Params::default() };
        self.launch(Kernel::Elementwise, params, (x, Vec::new(), Some(factors)), (x.shape, Activation::Linear), 0)
    }

    fn elementwise(&mut self, x: Map, weights: Vec<f32>, flags: u32, epilogue: Epilogue) -> Map {
        let params = Params { flags, ..Params::default() };
        let inputs = (x, weights, epilogue.add);
        self.launch(Kernel::Elementwise, params, inputs, (x.shape, epilogue.activation), 0)
    }

    /// Adds a launch that computes a map of `shape`; `params` has what is special for the kernel.
    fn launch(
        &mut self,
        kernel: Kernel,
        params: Params,
        (x, weights, other): (Map, Vec<f32>, Option<Slot>),
        (shape, activation): (Shape, Activation),
        macs: u64,
    ) -> Map {
        let y = Map { slot: self.slots.take(shape.len()), shape, owned: true };
        let (number, slope) = activation_of(activation);
        let adds = other.is_some() && params.flags & GATE == 0;
        let params = Params {
            rows: index(shape.positions()),
            channels: index(x.shape.channels),
            filters: index(shape.channels),
            activation: number,
            slope,
            output: [shape.height, shape.width].map(index),
            row_length: index(shape.channels),
            row_offset: 0,
            flags: params.flags | if adds { ADD } else { 0 },
            ..params
        };
        self.launches.push(Launch { kernel, params, x: x.slot, weights, other, y: y.slot, macs });
        self.give(x);
        if activation == Activation::Softmax {
            return self.launch(
                Kernel::Softmax,
                Params::default(),
                (y, Vec::new(), None),
                (shape, Activation::Linear),
                0,
            );
        }
        y
    }
}

/// Whether the kernel of an operation can apply an activation or add a map.
fn is_linear(operation: &Operation) -> bool {
    match operation {
        Operation::Affine { activation, .. } => *activation == Activation::Linear,
        operation => operation.filters().is_some_and(|filters| filters.activation == Activation::Linear),
    }
}

/// The number of an activation in the shaders, and its slope. Softmax has a kernel of its own.
pub fn activation_of(activation: Activation) -> (u32, f32) {
    match activation {
        Activation::Linear | Activation::Softmax => (0, 0.0),
        Activation::Relu => (1, 0.0),
        Activation::LeakyRelu { slope } => (2, slope),
        Activation::Silu => (3, 0.0),
        Activation::Sigmoid => (4, 0.0),
        Activation::Tanh => (5, 0.0),
    }
}

/// The geometry of a window.
pub fn of_window(window: &Window) -> Params {
    Params {
        input: [window.input.height, window.input.width].map(index),
        size: window.size.map(index),
        strides: window.strides.map(index),
        before: window.before.map(index),
        ..Params::default()
    }
}

/// A size as the shaders' type. Larger ones do not fit a buffer, which is an error before any launch.
pub fn index(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
