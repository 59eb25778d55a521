//! A small network with every kind of convolution, and its training step.

use moue_engine::layers::{
    BatchNormalization, BatchNormalizationOptions, Concatenate, Conv2d, Conv2dOptions, Dense, DenseOptions,
    DepthwiseConv2d, DepthwiseConv2dOptions, Dropout, Initializer, Pooling2d, PoolingKind, Residual, Sequence,
};
use moue_engine::loss::{CrossEntropy, sparse_categorical_crossentropy};
use moue_engine::random::{Stream, key};
use moue_engine::{Activation, Layer, Mode, Network, Optimizer, OptimizerKind, Padding, Shape, Tensor};

/// Images are 17 × 15, so that some tiles and vectors are partial.
pub const INPUT: Shape = Shape::new(17, 15, 1);
pub const CLASSES: usize = 7;

struct Chain {
    layers: Vec<Box<dyn Layer>>,
    shape: Shape,
}

impl Chain {
    fn new(shape: Shape) -> Self {
        Self { layers: Vec::new(), shape }
    }

    fn push(&mut self, layer: impl Layer + 'static) {
        self.shape = layer.output_shape();
        self.layers.push(Box::new(layer));
    }

    fn conv2d(&mut self, filters: usize, size: usize, stride: usize, batch_normalization: bool) {
        let options = Conv2dOptions {
            filters,
            kernel_size: [size, size],
            strides: [stride, stride],
            padding: Padding::Same,
            use_bias: !batch_normalization,
            activation: if batch_normalization { Activation::Linear } else { Activation::Relu },
            initializer: Initializer::HeNormal,
        };
        let seed = self.layers.len() as u64;
        self.push(Conv2d::new("conv2d", self.shape, options, &mut Stream::new(seed)).unwrap());
        if batch_normalization {
            let options = BatchNormalizationOptions { momentum: 0.9, epsilon: 1e-3, activation: Activation::Relu };
            self.push(BatchNormalization::new("batch_normalization", self.shape, options).unwrap());
        }
    }

    fn finish(self, name: &str, input: Shape) -> Sequence {
        Sequence::new(name, input, self.layers)
    }
}

/// Convolutions of one channel, by Winograd with both tile sizes, with stride, pointwise and
/// depthwise; pooling, dropout, a residual block, two concatenated pools, dense.
pub fn network() -> Network {
    let mut chain = Chain::new(INPUT);
    chain.conv2d(12, 3, 1, true);
    chain.conv2d(20, 3, 1, true);
    let before = chain.shape;
    let mut branch = Chain::new(before);
    branch.conv2d(20, 3, 1, true);
    branch.conv2d(20, 3, 1, false);
    let block = Residual::new(
        "residual",
        branch.finish("branch", before),
        Sequence::new("shortcut", before, Vec::new()),
        Activation::Relu,
    );
    chain.push(block.unwrap());
    chain.push(Pooling2d::new("pool", chain.shape, PoolingKind::Max, [2, 2], [2, 2], Padding::Valid).unwrap());
    let options = DepthwiseConv2dOptions {
        kernel_size: [3, 3],
        strides: [2, 2],
        padding: Padding::Same,
        use_bias: true,
        activation: Activation::Relu,
        initializer: Initializer::HeNormal,
    };
    chain.push(DepthwiseConv2d::new("depthwise", chain.shape, options, &mut Stream::new(77)).unwrap());
    chain.conv2d(36, 1, 1, true);
    chain.conv2d(24, 3, 2, true);
    chain.conv2d(24, 3, 1, true);
    chain.push(Dropout::new("dropout", chain.shape, 0.2, 1).unwrap());
    let map = chain.shape;
    let pool = |kind| Pooling2d::global("pool", map, kind).unwrap();
    let branch = |kind| Sequence::new("branch", map, vec![Box::new(pool(kind)) as Box<dyn Layer>]);
    let sides = [PoolingKind::Average, PoolingKind::Max].map(branch).into();
    chain.push(Concatenate::new("concatenate", sides).unwrap());
    let options = DenseOptions {
        units: CLASSES,
        use_bias: true,
        activation: Activation::Linear,
        initializer: Initializer::GlorotUniform,
    };
    chain.push(Dense::new("dense", chain.shape, options, &mut Stream::new(99)).unwrap());
    Network::new(chain.finish("model", INPUT))
}

/// Random images.
pub fn images(batch: usize, seed: u64) -> Tensor {
    let mut stream = Stream::new(seed);
    let values: Vec<f32> = (0..batch * INPUT.len()).map(|_| stream.between(-1.0, 1.0)).collect();
    Tensor::from_slice(batch, INPUT, &values)
}

/// A network and its optimizer.
pub struct Training {
    pub network: Network,
    optimizer: Optimizer,
    loss: CrossEntropy,
    gradient: Tensor,
    keys: Vec<u64>,
    labels: Vec<u32>,
}

impl Training {
    pub fn new(batch: usize) -> Self {
        let network = network();
        let kind = OptimizerKind::Sgd { momentum: 0.9, nesterov: true };
        Self {
            optimizer: Optimizer::new(kind, 1e-3, Some(1.0), &network),
            network,
            loss: CrossEntropy { label_smoothing: 0.1, class_weights: None },
            gradient: Tensor::default(),
            keys: (0..batch as u64).map(|image| key(&[1, image])).collect(),
            labels: (0..batch).map(|image| (image % CLASSES) as u32).collect(),
        }
    }

    pub fn step(&mut self, x: &Tensor) {
        let logits = self.network.forward(x, Mode::Train { keys: &self.keys });
        sparse_categorical_crossentropy(&self.loss, logits, &self.labels, &mut self.gradient);
        self.network.backward(x, &self.gradient);
        self.optimizer.step(&mut self.network, 0.05);
    }
}
