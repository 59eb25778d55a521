//! Networks with 8-bit integers compared with the same networks in f32.

use moue_engine::inference::{RangeMethod, Ranges, int8_layers, ranges};
use moue_engine::layers::{
    BatchNormalization, BatchNormalizationOptions, Concatenate, Conv2d, Conv2dOptions, Dense, DenseOptions,
    DepthwiseConv2d, DepthwiseConv2dOptions, Flatten, Initializer, Output, Pooling2d, PoolingKind, Residual, Sequence,
    SqueezeExcite, UpSampling2d,
};
use moue_engine::random::{Stream, key};
use moue_engine::{Activation, InferenceNetwork, Layer, Mode, Network, Padding, Shape, Tensor, Workspace};

const INPUT: Shape = Shape::new(17, 15, 1);

/// Layers with distinct names.
struct Chain<'a> {
    input: Shape,
    layers: Vec<Box<dyn Layer>>,
    count: &'a mut u64,
}

impl<'a> Chain<'a> {
    fn new(input: Shape, count: &'a mut u64) -> Self {
        Self { input, layers: Vec::new(), count }
    }

    fn shape(&self) -> Shape {
        self.layers.last().map_or(self.input, |layer| layer.output_shape())
    }

    fn push(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    fn name(&mut self, kind: &str) -> String {
        *self.count += 1;
        format!("{kind}_{}", self.count)
    }

    fn conv(mut self, filters: usize, size: usize, stride: usize, activation: Activation) -> Self {
        let name = self.name("conv2d");
        let options = Conv2dOptions {
            filters,
            kernel_size: [size, size],
            strides: [stride, stride],
            padding: Padding::Same,
            use_bias: true,
            activation,
            initializer: Initializer::HeNormal,
        };
        let layer = Conv2d::new(&name, self.shape(), options, &mut Stream::new(*self.count)).unwrap();
        self.push(layer)
    }

    fn normalization(mut self, activation: Activation) -> Self {
        let name = self.name("batch_normalization");
        let options = BatchNormalizationOptions { momentum: 0.5, epsilon: 1e-3, activation };
        let layer = BatchNormalization::new(&name, self.shape(), options).unwrap();
        self.push(layer)
    }

    fn dense(mut self, units: usize, activation: Activation) -> Self {
        let name = self.name("dense");
        let options = DenseOptions { units, use_bias: true, activation, initializer: Initializer::GlorotUniform };
        let layer = Dense::new(&name, self.shape(), options, &mut Stream::new(*self.count)).unwrap();
        self.push(layer)
    }

    fn pool(mut self, kind: PoolingKind) -> Self {
        let name = self.name("pooling");
        let layer = Pooling2d::new(&name, self.shape(), kind, [2, 2], [2, 2], Padding::Valid).unwrap();
        self.push(layer)
    }

    /// A global pooling.
    fn global(mut self, kind: PoolingKind) -> Self {
        let name = self.name("global_pooling");
        let layer = Pooling2d::global(&name, self.shape(), kind).unwrap();
        self.push(layer)
    }

    /// A residual block of this branch and shortcut.
    fn residual(
        mut self,
        activation: Activation,
        branch: impl FnOnce(Chain<'_>) -> Chain<'_>,
        shortcut: impl FnOnce(Chain<'_>) -> Chain<'_>,
    ) -> Self {
        let name = self.name("residual");
        let branch = branch(Chain::new(self.shape(), self.count)).sequence();
        let shortcut = shortcut(Chain::new(self.shape(), self.count)).sequence();
        let layer = Residual::new(&name, branch, shortcut, activation).unwrap();
        self.push(layer)
    }

    fn squeeze_excite(mut self) -> Self {
        let name = self.name("squeeze_excite");
        let channels = self.shape().channels;
        let gate = Chain::new(self.shape(), self.count)
            .global(PoolingKind::Average)
            .dense(4, Activation::Relu)
            .dense(channels, Activation::Sigmoid)
            .sequence();
        let layer = SqueezeExcite::new(&name, gate).unwrap();
        self.push(layer)
    }

    fn concatenate(mut self, branches: Vec<Sequence>) -> Self {
        let name = self.name("concatenate");
        let layer = Concatenate::new(&name, branches).unwrap();
        self.push(layer)
    }

    fn sequence(self) -> Sequence {
        Sequence::new("layers", self.input, self.layers)
    }
}

fn same(chain: Chain<'_>) -> Chain<'_> {
    chain
}

/// Every way in which bytes and f32 values follow each other.
fn network() -> Network {
    let mut count = 0;
    let chain = Chain::new(INPUT, &mut count)
        // The first convolution is f32; a normalization follows the activation of the second.
        .conv(12, 3, 1, Activation::Relu)
        .conv(20, 3, 1, Activation::Relu)
        .normalization(Activation::Linear)
        // The last convolution adds the input, then a convolution of the input.
        .residual(
            Activation::Relu,
            |branch| branch.conv(20, 3, 1, Activation::Relu).conv(20, 3, 1, Activation::Linear),
            same,
        )
        .residual(
            Activation::Relu,
            |branch| branch.conv(24, 3, 2, Activation::Relu).conv(24, 1, 1, Activation::Linear),
            |shortcut| shortcut.conv(24, 1, 2, Activation::Linear),
        )
        .pool(PoolingKind::Max)
        // Sums that are computed after the branch.
        .residual(
            Activation::Relu,
            |branch| branch.conv(24, 3, 1, Activation::Relu).conv(24, 3, 1, Activation::Linear).squeeze_excite(),
            same,
        )
        .residual(Activation::Linear, |branch| branch.conv(24, 3, 1, Activation::Tanh), same)
        .residual(Activation::LeakyRelu { slope: 0.1 }, |branch| branch.conv(24, 3, 1, Activation::Linear), same);
    let shape = chain.shape();
    let branches = vec![
        Chain::new(shape, chain.count).conv(17, 3, 1, Activation::Relu).sequence(),
        Chain::new(shape, chain.count).conv(5, 1, 1, Activation::LeakyRelu { slope: 0.1 }).sequence(),
        Chain::new(shape, chain.count).sequence(),
    ];
    let chain = chain.concatenate(branches).conv(24, 3, 1, Activation::Silu);
    let shape = chain.shape();
    let depthwise = DepthwiseConv2dOptions {
        kernel_size: [3, 3],
        strides: [1, 1],
        padding: Padding::Same,
        use_bias: true,
        activation: Activation::Relu,
        initializer: Initializer::HeNormal,
    };
    let depthwise = DepthwiseConv2d::new("depthwise", shape, depthwise, &mut Stream::new(77)).unwrap();
    let chain = chain
        .push(depthwise)
        .conv(16, 3, 1, Activation::Relu)
        .push(UpSampling2d::new("up_sampling", Shape::new(shape.height, shape.width, 16), [2, 2]).unwrap())
        .conv(16, 3, 1, Activation::Relu);
    let side =
        Chain::new(chain.shape(), chain.count).global(PoolingKind::Average).dense(3, Activation::Linear).sequence();
    let chain =
        chain.push(Output::new("side", "side", side)).pool(PoolingKind::Average).conv(16, 3, 1, Activation::Relu);
    let shape = chain.shape();
    let pools =
        [PoolingKind::Average, PoolingKind::Max].map(|kind| Chain::new(shape, chain.count).global(kind).sequence());
    let chain = chain.concatenate(pools.into()).dense(10, Activation::Relu).dense(7, Activation::Linear);
    Network::new(chain.sequence())
}

/// A flattened map, as in the networks of the tutorial.
fn flattened() -> Network {
    let mut count = 0;
    let chain = Chain::new(INPUT, &mut count)
        .conv(12, 3, 1, Activation::Relu)
        .pool(PoolingKind::Max)
        .conv(20, 3, 1, Activation::Relu)
        .normalization(Activation::Linear)
        .pool(PoolingKind::Max);
    let flatten = Flatten::new("flatten", chain.shape());
    let chain = chain.push(flatten).dense(40, Activation::Relu).dense(7, Activation::Linear);
    Network::new(chain.sequence())
}

/// A residual block whose branch ends with pooling of values of both signs, and a further output as the last layer.
fn pooled_branch() -> Network {
    let mut count = 0;
    let chain = Chain::new(INPUT, &mut count).conv(12, 3, 1, Activation::Relu).conv(12, 3, 1, Activation::Relu);
    let chain = chain.residual(
        Activation::Relu,
        |branch| {
            let branch = branch.conv(12, 3, 1, Activation::Linear);
            let pool = Pooling2d::new("pool", branch.shape(), PoolingKind::Max, [3, 3], [1, 1], Padding::Same).unwrap();
            branch.push(pool)
        },
        same,
    );
    let chain = chain.conv(12, 3, 1, Activation::Relu).global(PoolingKind::Average).dense(7, Activation::Linear);
    let side = Chain::new(chain.shape(), chain.count).dense(3, Activation::Linear).sequence();
    Network::new(chain.push(Output::new("side", "side", side)).sequence())
}

fn images(batch: usize, seed: u64) -> Tensor {
    let mut stream = Stream::new(seed);
    let values: Vec<f32> = (0..batch * INPUT.len()).map(|_| stream.between(-1.0, 1.0)).collect();
    Tensor::from_slice(batch, INPUT, &values)
}

/// A network with statistics of some images, and the ranges of its layers for others.
fn prepared(mut network: Network) -> (Network, Ranges) {
    for step in 0..8 {
        let keys: Vec<u64> = (0..16).map(|image| key(&[step, image])).collect();
        network.forward(&images(16, step), Mode::Train { keys: &keys });
    }
    let ranges =
        ranges(&network, RangeMethod::Percentile(0.9999), &|batch| (batch < 2).then(|| images(40, 100 + batch as u64)));
    (network, ranges)
}

/// The error of all outputs, relative to their differences from their mean.
fn relative_error(exact: &[f32], rounded: &[f32], outputs: usize) -> f64 {
    let images = exact.len() / outputs;
    let mut sums = [0.0; 2];
    for output in 0..outputs {
        let of = |values: &[f32]| -> Vec<f64> {
            values.iter().skip(output).step_by(outputs).map(|&value| f64::from(value)).collect()
        };
        let (exact, rounded) = (of(exact), of(rounded));
        let mean = exact.iter().sum::<f64>() / images as f64;
        for (exact, rounded) in exact.iter().zip(&rounded) {
            sums[0] += (exact - rounded).powi(2);
            sums[1] += (exact - mean).powi(2);
        }
    }
    (sums[0] / sums[1]).sqrt()
}

#[test]
fn logits_are_close_to_those_in_f32() {
    for (network, limit) in [(network(), 0.3), (flattened(), 0.1), (pooled_branch(), 0.1)] {
        let (network, ranges) = prepared(network);
        let names: Vec<String> = int8_layers(&network);
        assert!(names.len() >= 2 && names.iter().all(|name| ranges.contains_key(name)) && ranges.len() == names.len());
        let x = images(200, 200);
        let exact = InferenceNetwork::new(&network).run(&x).data().to_vec();
        let mut int8 = InferenceNetwork::with_int8(&network, &ranges);
        assert!(int8.is_int8());
        let error = relative_error(&exact, int8.run(&x).data(), 7);
        assert!(error < limit && error > 1e-4, "{error}");
        // Without ranges, everything is computed in f32.
        let mut float = InferenceNetwork::with_int8(&network, &Ranges::new());
        assert!(relative_error(&exact, float.run(&x).data(), 7) < 1e-4);
    }
}

#[test]
fn the_layer_before_a_last_further_output_is_computed_in_f32() {
    // The layers between the first convolution and the last dense layer.
    assert_eq!(int8_layers(&pooled_branch()), ["conv2d_2", "conv2d_4", "conv2d_5"]);
}

#[test]
fn every_layer_is_computed_with_bytes_close_to_f32() {
    let (network, ranges) = prepared(network());
    let x = images(100, 300);
    let exact = InferenceNetwork::new(&network).run(&x).data().to_vec();
    for (name, range) in &ranges {
        let one = Ranges::from([(name.clone(), *range)]);
        let error = relative_error(&exact, InferenceNetwork::with_int8(&network, &one).run(&x).data(), 7);
        assert!(error > 0.0 && error < 0.15, "{name}: {error}");
    }
}

#[test]
fn results_do_not_depend_on_the_batch_or_the_threads() {
    let (network, ranges) = prepared(network());
    let int8 = InferenceNetwork::with_int8(&network, &ranges);
    let x = images(23, 400);
    let run = |x: &Tensor, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| int8.run_outputs(x, &mut Workspace::default()))
    };
    let all = run(&x, 1);
    assert_eq!((all.last.data().len(), all.named.len()), (23 * 7, 1));
    for threads in [2, 3, 8] {
        let others = run(&x, threads);
        assert_eq!(others.last.data(), all.last.data(), "{threads} threads");
        assert_eq!(others.named[0].1.data(), all.named[0].1.data(), "{threads} threads");
    }
    for image in [0, 11, 22] {
        let one = Tensor::from_slice(1, INPUT, &x.data()[image * INPUT.len()..][..INPUT.len()]);
        for threads in [1, 4] {
            let one = run(&one, threads);
            assert_eq!(one.last.data(), &all.last.data()[image * 7..][..7]);
            assert_eq!(one.named[0].1.data(), &all.named[0].1.data()[image * 3..][..3]);
        }
    }
    assert!(run(&Tensor::zeros(0, INPUT), 2).last.data().is_empty());
}

#[test]
fn a_network_of_one_layer_is_computed_in_f32() {
    let mut count = 0;
    let flat = Shape::flat(20);
    let layers = Chain::new(flat, &mut count).dense(7, Activation::Linear).sequence();
    let network = Network::new(layers);
    assert!(int8_layers(&network).is_empty());
    let x = Tensor::from_slice(2, flat, &[0.25; 40]);
    let exact = InferenceNetwork::new(&network).run(&x).data().to_vec();
    assert_eq!(InferenceNetwork::with_int8(&network, &Ranges::new()).run(&x).data(), exact);
}

#[test]
fn weights_that_are_not_finite_give_logits_that_are_not() {
    let (mut network, ranges) = prepared(flattened());
    network.visit_mut(|parameter| {
        if parameter.name == "conv2d_3.kernel" {
            parameter.value[0] = f32::NAN;
        }
    });
    let mut int8 = InferenceNetwork::with_int8(&network, &ranges);
    assert!(int8.run(&images(2, 1)).data().iter().any(|logit| logit.is_nan()));

    // Statistics that have no square root.
    let (mut network, ranges) = prepared(flattened());
    network.visit_mut(|parameter| {
        if parameter.name.ends_with("variance") {
            parameter.value.fill(-1.0);
        }
    });
    let mut int8 = InferenceNetwork::with_int8(&network, &ranges);
    assert!(int8.run(&images(2, 1)).data().iter().any(|logit| logit.is_nan()));
}
