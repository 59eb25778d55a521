//! From a network to the launches of a training step: the forward pass, which this module records, and what both passes
//! have in common.
//!
//! Every map of the forward pass is kept until `backward` has used it.

use super::parameters::Layout;
use crate::kernel::{self, AFFINE, Kernel, MOMENTS, Normalization, Params, STORED, WHOLE};
use crate::plan::{activation_of, index, of_window};
use crate::slots::{Slot, Slots};
use moue_engine::layers::{Description, Filtered, PoolingKind};
use moue_engine::{Activation, Layer, Shape, Window};

/// Most partial sums of a value.
const SPLITS: usize = 128;

/// Tiles of a product that keep a GPU busy.
const TILES: usize = 512;

/// What a launch reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Values for each image.
    Map(Slot),
    /// Values that do not depend on the batch.
    Fixed(usize),
    /// Parameters, from those of a layer on.
    Parameters(usize),
    /// Their gradients.
    Gradients(usize),
}

/// One run of a kernel.
pub struct Launch {
    pub kernel: Kernel,
    /// For one image: its rows are multiplied by the batch.
    pub params: Params,
    /// Into how many partial sums its rows are divided; 0 where its chunk is given.
    pub splits: usize,
    pub reads: [Place; 3],
    pub write: Place,
    /// Multiply-adds for one image.
    pub macs: u64,
}

/// A map, or its gradient.
#[derive(Clone, Copy)]
pub struct Map {
    pub slot: Slot,
    pub shape: Shape,
    /// Whether the slot may be used again after this map.
    pub owned: bool,
}

impl Map {
    /// The same values, whose slot someone else gives back.
    pub fn borrowed(self) -> Self {
        Self { owned: false, ..self }
    }

    pub fn place(self) -> Place {
        Place::Map(self.slot)
    }
}

/// A layer of the forward pass, with what its backward pass needs.
pub struct Node<'a> {
    pub kind: Kind<'a>,
    pub x: Map,
    pub y: Map,
}

/// What a [`Node`] computes.
pub enum Kind<'a> {
    /// The input, maybe in another shape.
    Identity,
    Conv2d(Filtered<'a>),
    DepthwiseConv2d(Filtered<'a>),
    BatchNormalization {
        activation: Activation,
        /// Offset of its parameters.
        parameters: usize,
        /// Index of its state.
        state: usize,
        /// Whether it uses stored statistics.
        stored: bool,
    },
    Activation(Activation),
    Pooling(PoolingKind, Window),
    UpSampling([usize; 2]),
    Dropout(Params),
    Sequence {
        nodes: Vec<Node<'a>>,
        frozen: usize,
    },
    Residual {
        branches: [Box<Node<'a>>; 2],
        activation: Activation,
    },
    Concatenate(Vec<Node<'a>>),
    SqueezeExcite(Box<Node<'a>>),
}

impl Kind<'_> {
    /// Whether it may have parameters, of its own or in layers inside.
    pub fn has_parameters(&self) -> bool {
        !matches!(
            self,
            Self::Identity | Self::Activation(_) | Self::Pooling(..) | Self::UpSampling(_) | Self::Dropout(_)
        )
    }
}

/// The launches and the memory of a training step.
pub struct Tape<'a> {
    pub layout: &'a Layout,
    limits: &'a wgpu::Limits,
    pub launches: Vec<Launch>,
    pub slots: Slots,
    /// Lengths of the buffers that do not depend on the batch; the first one is for partial sums.
    pub fixed: Vec<usize>,
    /// The state of each image's streams.
    pub keys: Slot,
    /// The salts of the dropout layers; those that are not recorded have 0.
    pub salts: Vec<u64>,
    /// Number of dropout layers that are recorded.
    dropouts: usize,
}

/// The buffer for partial sums.
const PARTIAL: Place = Place::Fixed(0);

impl<'a> Tape<'a> {
    /// An empty tape for a network with this many dropout layers.
    pub fn new(layout: &'a Layout, limits: &'a wgpu::Limits, dropouts: usize) -> Self {
        let mut slots = Slots::default();
        let keys = slots.take((4 * dropouts).max(1));
        let salts = vec![0; dropouts];
        Self { layout, limits, launches: Vec::new(), slots, fixed: vec![1], keys, salts, dropouts: 0 }
    }

    /// A map of this shape.
    pub fn map(&mut self, shape: Shape) -> Map {
        Map { slot: self.slots.take(shape.len()), shape, owned: true }
    }

    pub fn give(&mut self, map: Map) {
        if map.owned {
            self.slots.give(map.slot);
        }
    }

    /// A buffer of this length that does not depend on the batch.
    pub fn fixed(&mut self, len: usize) -> usize {
        self.fixed.push(len);
        self.fixed.len() - 1
    }

    pub fn launch(&mut self, kernel: Kernel, params: Params, reads: [Place; 3], write: Place) -> &mut Launch {
        self.launches.push(Launch { kernel, params, splits: 0, reads, write, macs: 0 });
        let last = self.launches.len() - 1;
        &mut self.launches[last]
    }

    /// Values of a map of `shape` by [`Kernel::Elementwise`] or another kernel of its kind.
    pub fn each(&mut self, kernel: Kernel, params: Params, reads: [Place; 3], shape: Shape) -> Map {
        let y = self.map(shape);
        self.launch(kernel, over(params, shape), reads, y.place());
        y
    }

    /// The sum of two maps, after an activation.
    pub fn sum(&mut self, [a, b]: [Map; 2], activation: Activation) -> Map {
        let (number, slope) = activation_of(activation);
        let params = Params { activation: number, slope, flags: kernel::ADD, ..Params::default() };
        self.each(Kernel::Elementwise, params, [a.place(), a.place(), b.place()], a.shape)
    }

    /// Sums over the rows of a map by channel, one or two for each, as `flags` says.
    pub fn sums(&mut self, flags: u32, reads: [Place; 3], shape: Shape, write: Place, first: usize) {
        let values = if flags & (MOMENTS | kernel::NORMALIZED) == 0 { 1 } else { 2 };
        let params = Params { flags, ..over(Params::default(), shape) };
        self.summed((Kernel::Reduce, params, 0), SPLITS, values * shape.channels, reads, write, first);
    }

    /// The gradient of a kernel, of which each partial sum has `len` values.
    pub fn kernel_gradient(&mut self, filtered: &Filtered<'_>, depthwise: bool, [x, dy]: [Map; 2]) {
        let (len, filters) = (filtered.kernel.value.len(), dy.shape.channels);
        let kernel = if depthwise {
            Kernel::DepthwiseConv2dGradient
        } else {
            Kernel::conv2d_gradient(len / filters.max(1), filters, self.limits)
        };
        let splits = match kernel {
            Kernel::Conv2dGradient { values, filters: columns } => {
                let tiles = (len / filters.max(1)).div_ceil(values as usize) * filters.div_ceil(columns as usize);
                (TILES / tiles.max(1)).clamp(1, SPLITS)
            }
            _ => SPLITS,
        };
        let params = Params { channels: index(x.shape.channels), ..over(of_window(&filtered.window), dy.shape) };
        let write = Place::Gradients(self.layout.offset(filtered.kernel));
        let reads = [x.place(), x.place(), dy.place()];
        let macs = (dy.shape.positions() * len) as u64;
        self.summed((kernel, params, macs), splits, len, reads, write, 0);
    }

    /// Records a launch that writes partial sums of `len` values each, and the one that adds them to `write`, from the index
    /// `first` on.
    fn summed(
        &mut self,
        (kernel, params, macs): (Kernel, Params, u64),
        splits: usize,
        len: usize,
        reads: [Place; 3],
        write: Place,
        first: usize,
    ) {
        self.fixed[0] = self.fixed[0].max(splits * len);
        let launch = self.launch(kernel, params, reads, PARTIAL);
        (launch.splits, launch.macs) = (splits, macs);
        let params = Params { row_length: index(len), first: index(first), ..params };
        self.launch(Kernel::Fold, params, [PARTIAL; 3], write).splits = splits;
    }

    /// The kernel of a convolution for an output of this shape.
    pub fn conv2d(&self, depthwise: bool, transposed: bool, shape: Shape) -> Kernel {
        if depthwise {
            return Kernel::DepthwiseConv2d { transposed };
        }
        Kernel::conv2d(shape.positions(), shape.channels, transposed, self.limits)
    }

    /// Records the forward pass of a layer. Without `training` it uses stored statistics, and no dropout.
    pub fn forward<'l>(&mut self, layer: &'l dyn Layer, x: Map, training: bool) -> Node<'l> {
        let shape = layer.output_shape();
        let identity = Map { shape, ..x.borrowed() };
        let (kind, y) = match layer.describe() {
            Description::Conv2d(filtered) => (Kind::Conv2d(filtered), self.convolve(&filtered, false, x, shape)),
            Description::DepthwiseConv2d(filtered) => {
                (Kind::DepthwiseConv2d(filtered), self.convolve(&filtered, true, x, shape))
            }
            Description::BatchNormalization { momentum, epsilon, activation, parameters: [gamma, ..] } => {
                let parameters = self.layout.offset(gamma);
                let state = self.normalize(momentum, epsilon, parameters, x, training);
                let (number, slope) = activation_of(activation);
                let params = Params { activation: number, slope, flags: AFFINE, ..Params::default() };
                let y = self.each(Kernel::Elementwise, params, [x.place(), Place::Fixed(state), x.place()], shape);
                (Kind::BatchNormalization { activation, parameters, state, stored: !training }, y)
            }
            Description::Activation(activation) => (Kind::Activation(activation), self.activate(activation, x)),
            Description::Pooling { kind, window } => {
                let flags = if kind == PoolingKind::Average { kernel::AVERAGE } else { 0 };
                let params = Params { flags, ..of_window(&window) };
                (Kind::Pooling(kind, window), self.each(Kernel::Pooling, params, [x.place(); 3], shape))
            }
            Description::UpSampling { size } => {
                let params = Params { input: extent(x.shape), strides: size.map(index), ..Params::default() };
                (Kind::UpSampling(size), self.each(Kernel::UpSampling2d, params, [x.place(); 3], shape))
            }
            Description::Reshape => (Kind::Identity, identity),
            Description::Output { layers } => {
                // Without a gradient, only its statistics change.
                self.forward(layers, x.borrowed(), training);
                (Kind::Identity, identity)
            }
            Description::Dropout { rate, whole, salt } => {
                if !training {
                    return Node { kind: Kind::Identity, x, y: identity };
                }
                let params = self.dropout(rate, whole, salt, shape);
                let reads = [x.place(), x.place(), Place::Map(self.keys)];
                let y = self.map(shape);
                self.launch(Kernel::Dropout, params, reads, y.place());
                (Kind::Dropout(params), y)
            }
            Description::Sequence { layers, frozen } => {
                let mut nodes = Vec::new();
                let mut map = x.borrowed();
                for (i, layer) in layers.iter().enumerate() {
                    let node = self.forward(&**layer, map, training && i >= frozen);
                    map = node.y.borrowed();
                    nodes.push(node);
                }
                (Kind::Sequence { nodes, frozen }, map)
            }
            Description::Residual { branches, activation } => {
                let branches = branches.map(|branch| Box::new(self.forward(branch, x.borrowed(), training)));
                let y = self.sum([branches[0].y, branches[1].y], activation);
                (Kind::Residual { branches, activation }, y)
            }
            Description::Concatenate { branches } => {
                let y = self.map(shape);
                let nodes: Vec<_> =
                    branches.into_iter().map(|branch| self.forward(branch, x.borrowed(), training)).collect();
                let mut first = 0;
                for node in &nodes {
                    let part = node.y;
                    let params = over(Params::default(), part.shape);
                    let params = Params { row_length: index(shape.channels), row_offset: index(first), ..params };
                    self.launch(Kernel::Elementwise, params, [part.place(); 3], y.place());
                    first += part.shape.channels;
                }
                (Kind::Concatenate(nodes), y)
            }
            Description::SqueezeExcite { gate } => {
                let gate = self.forward(gate, x.borrowed(), training);
                let y = self.gated(x, gate.y);
                (Kind::SqueezeExcite(Box::new(gate)), y)
            }
        };
        Node { kind, x, y }
    }

    fn convolve(&mut self, filtered: &Filtered<'_>, depthwise: bool, x: Map, shape: Shape) -> Map {
        let (number, slope) = activation_of(filtered.activation);
        let flags = if filtered.bias.is_some() { kernel::BIAS } else { 0 };
        let params = Params { activation: number, slope, flags, ..over(of_window(&filtered.window), shape) };
        let params = Params { channels: index(x.shape.channels), ..params };
        let weights = Place::Parameters(self.layout.offset(filtered.kernel));
        let y = self.map(shape);
        let kernel = self.conv2d(depthwise, false, shape);
        let launch = self.launch(kernel, params, [x.place(), weights, x.place()], y.place());
        launch.macs = (shape.positions() * filtered.kernel.value.len()) as u64;
        y
    }

    /// The state of a normalization: from the batch, which changes the running statistics, or from these.
    fn normalize(&mut self, momentum: f32, epsilon: f32, parameters: usize, x: Map, training: bool) -> usize {
        let channels = x.shape.channels;
        let weights = Place::Parameters(parameters);
        let state = self.fixed(5 * channels);
        let stored = Place::Fixed(state);
        let mut sums = x.place();
        if training {
            sums = Place::Fixed(self.fixed(2 * channels));
            self.sums(MOMENTS, [x.place(); 3], x.shape, sums, 0);
        }
        let flags = if training { 0 } else { STORED };
        let params = Params { flags, slope: epsilon, ..over(Params::default(), x.shape) };
        self.launch(Kernel::Normalization(Normalization::State), params, [sums, weights, x.place()], stored);
        if training {
            let params = Params { slope: momentum, ..params };
            self.launch(Kernel::Normalization(Normalization::Running), params, [stored; 3], weights);
        }
        state
    }

    fn activate(&mut self, activation: Activation, x: Map) -> Map {
        let (number, slope) = activation_of(activation);
        let params = Params { activation: number, slope, ..Params::default() };
        let kernel = if activation == Activation::Softmax { Kernel::Softmax } else { Kernel::Elementwise };
        self.each(kernel, params, [x.place(); 3], x.shape)
    }

    /// A map times one factor for each image and channel.
    pub fn gated(&mut self, x: Map, factors: Map) -> Map {
        let params = Params { flags: kernel::GATE, ..Params::default() };
        self.each(Kernel::Elementwise, params, [x.place(), x.place(), factors.place()], x.shape)
    }

    fn dropout(&mut self, rate: f32, whole: bool, salt: u64, shape: Shape) -> Params {
        let number = self.dropouts;
        self.dropouts += 1;
        self.salts[number] = salt;
        Params {
            row_length: index(shape.len()),
            row_offset: (f64::from(rate) * f64::from(1u32 << 31) * 2.0) as u32,
            slope: 1.0 / (1.0 - rate),
            chunk: index(4 * self.salts.len()),
            first: index(4 * number),
            flags: if whole { WHOLE } else { 0 },
            ..over(Params::default(), shape)
        }
    }
}

/// Parameters for a kernel over a map of this shape.
pub fn over(params: Params, shape: Shape) -> Params {
    Params {
        rows: index(shape.positions()),
        channels: index(shape.channels),
        filters: index(shape.channels),
        output: extent(shape),
        row_length: index(shape.channels),
        ..params
    }
}

/// Height and width.
pub fn extent(shape: Shape) -> [u32; 2] {
    [shape.height, shape.width].map(index)
}
