//! The backward pass of a recorded forward pass.

use super::tape::{Kind, Map, Node, Place, Tape, extent, over};
use crate::kernel::{self, Kernel, NORMALIZED, Normalization, Params};
use crate::plan::{activation_of, index, of_window};
use moue_engine::Activation;
use moue_engine::layers::{Filtered, PoolingKind};

impl Tape<'_> {
    /// Records the gradients of a node's parameters and, where it is wanted, that of its input, from that of its output.
    /// The map of the output is not needed any more.
    pub fn backward(&mut self, node: Node<'_>, dy: Map, wants_dx: bool) -> Option<Map> {
        let Node { kind, x, y } = node;
        if !wants_dx && !kind.has_parameters() {
            self.give(dy);
            self.give(y);
            return None;
        }
        let dx = match kind {
            Kind::Identity => Some(Map { shape: x.shape, ..dy }),
            Kind::Conv2d(filtered) => self.convolution(&filtered, false, [x, y], dy, wants_dx),
            Kind::DepthwiseConv2d(filtered) => self.convolution(&filtered, true, [x, y], dy, wants_dx),
            Kind::BatchNormalization { activation, parameters, state, stored } => {
                let dy = self.differentiate(activation, y, dy);
                self.normalization(parameters, Place::Fixed(state), stored, [x, dy], wants_dx)
            }
            Kind::Activation(Activation::Silu) => Some(self.differentiate(Activation::Silu, x, dy)),
            Kind::Activation(activation) => Some(self.differentiate(activation, y, dy)),
            Kind::Pooling(kind, window) => {
                let flags = if kind == PoolingKind::Average { kernel::AVERAGE } else { 0 };
                let params = over(Params { flags, ..of_window(&window) }, x.shape);
                let params = Params { output: window.output.map(index), ..params };
                let dx = self.map(x.shape);
                self.launch(Kernel::PoolingGradient, params, [x.place(), dy.place(), x.place()], dx.place());
                self.give(dy);
                Some(dx)
            }
            Kind::UpSampling(size) => {
                let params = Params { input: extent(dy.shape), strides: size.map(index), ..Params::default() };
                let dx = self.each(Kernel::UpSampling2dGradient, params, [dy.place(); 3], x.shape);
                self.give(dy);
                Some(dx)
            }
            Kind::Dropout(params) => {
                let dx = self.map(x.shape);
                let reads = [dy.place(), dy.place(), Place::Map(self.keys)];
                self.launch(Kernel::Dropout, params, reads, dx.place());
                self.give(dy);
                Some(dx)
            }
            Kind::Sequence { nodes, frozen } => {
                // The gradients of frozen layers are not needed.
                let first = if wants_dx { 0 } else { frozen };
                let mut gradient = Some(dy);
                for (i, node) in nodes.into_iter().enumerate().skip(first).rev() {
                    let Some(dy) = gradient.take() else { break };
                    gradient = self.backward(node, dy, wants_dx || i > first);
                }
                gradient
            }
            Kind::Residual { branches, activation } => {
                let dy = self.differentiate(activation, y, dy);
                let [branch, shortcut] = branches.map(|branch| self.backward(*branch, dy.borrowed(), wants_dx));
                self.add_up([branch, shortcut], Some(dy))
            }
            Kind::Concatenate(branches) => {
                let mut first = 0;
                let mut sum = None;
                for branch in branches {
                    let shape = branch.y.shape;
                    let part = Params {
                        flags: kernel::PART,
                        chunk: index(dy.shape.channels),
                        first: index(first),
                        ..Params::default()
                    };
                    let part = self.each(Kernel::Elementwise, part, [dy.place(); 3], shape);
                    first += shape.channels;
                    let dx = self.backward(branch, part, wants_dx);
                    sum = self.add_up([sum, dx], None);
                }
                self.give(dy);
                sum
            }
            Kind::SqueezeExcite(gate) => {
                let factors = gate.y;
                let dfactors = self.map(factors.shape);
                // One chunk for each image, so that its partial sums are the sums.
                let params = Params {
                    flags: kernel::PRODUCT,
                    chunk: index(x.shape.positions()),
                    ..over(Params::default(), x.shape)
                };
                self.launch(Kernel::Reduce, params, [dy.place(), dy.place(), x.place()], dfactors.place());
                let through = wants_dx.then(|| self.gated(dy, factors));
                let through_gate = self.backward(*gate, dfactors, wants_dx);
                self.add_up([through, through_gate], Some(dy))
            }
        };
        self.give(y);
        match dx {
            Some(dx) if !wants_dx => {
                self.give(dx);
                None
            }
            dx => dx,
        }
    }

    /// The sum of gradients, whose maps are given back, and with them another one that they may borrow from.
    fn add_up(&mut self, parts: [Option<Map>; 2], other: Option<Map>) -> Option<Map> {
        let sum = match parts {
            [Some(a), Some(b)] => {
                let sum = self.sum([a, b], Activation::Linear);
                self.give(a);
                self.give(b);
                Some(sum)
            }
            [one, two] => one.or(two),
        };
        other.into_iter().for_each(|map| self.give(map));
        sum
    }

    /// The gradient of the input of an activation; `at` is its output, or its input for SiLU.
    fn differentiate(&mut self, activation: Activation, at: Map, dy: Map) -> Map {
        if activation == Activation::Linear {
            return dy;
        }
        let (number, slope) = activation_of(activation);
        let params = Params { activation: number, slope, ..Params::default() };
        let kernel = if activation == Activation::Softmax { Kernel::SoftmaxGradient } else { Kernel::Differentiate };
        let dx = self.each(kernel, params, [dy.place(), at.place(), dy.place()], dy.shape);
        self.give(dy);
        dx
    }

    fn convolution(
        &mut self,
        filtered: &Filtered<'_>,
        depthwise: bool,
        [x, y]: [Map; 2],
        dy: Map,
        wants_dx: bool,
    ) -> Option<Map> {
        let dy = self.differentiate(filtered.activation, y, dy);
        let offset = self.layout.offset(filtered.kernel);
        if filtered.bias.is_some() {
            let first = filtered.kernel.value.len();
            self.sums(0, [dy.place(); 3], dy.shape, Place::Gradients(offset), first);
        }
        self.kernel_gradient(filtered, depthwise, [x, dy]);
        let dx = wants_dx.then(|| {
            let params = over(of_window(&filtered.window), x.shape);
            let params = Params { input: extent(dy.shape), channels: index(dy.shape.channels), ..params };
            let dx = self.map(x.shape);
            let kernel = self.conv2d(depthwise, true, x.shape);
            let reads = [dy.place(), Place::Parameters(offset), dy.place()];
            let launch = self.launch(kernel, params, reads, dx.place());
            launch.macs = (dy.shape.positions() * filtered.kernel.value.len()) as u64;
            dx
        });
        self.give(dy);
        dx
    }

    fn normalization(
        &mut self,
        parameters: usize,
        state: Place,
        stored: bool,
        [x, dy]: [Map; 2],
        wants_dx: bool,
    ) -> Option<Map> {
        let channels = x.shape.channels;
        let sums = Place::Fixed(self.fixed(2 * channels));
        self.sums(NORMALIZED, [x.place(), state, dy.place()], x.shape, sums, 0);
        let flags = if stored { kernel::STORED } else { 0 };
        let params = Params { flags, ..over(Params::default(), x.shape) };
        let reads = [sums, state, state];
        self.launch(Kernel::Normalization(Normalization::Gradient), params, reads, Place::Gradients(parameters));
        let dx = wants_dx.then(|| {
            let factors = Place::Fixed(self.fixed(3 * channels));
            self.launch(Kernel::Normalization(Normalization::Factors), params, reads, factors);
            let params = Params { flags: kernel::COMBINE, ..Params::default() };
            self.each(Kernel::Elementwise, params, [dy.place(), factors, x.place()], x.shape)
        });
        self.give(dy);
        dx
    }
}
