//! The output and the gradients of every layer compared with a direct sum in f64.

use crate::reference::{self, Geometry, Reference, Zeros, geometry, parts};
use crate::{assert_close, device, outputs};
use moue_engine::layers::{
    ActivationLayer, BatchNormalization, BatchNormalizationOptions, Conv2d, Conv2dOptions, Dense, DenseOptions,
    DepthwiseConv2d, DepthwiseConv2dOptions, Dropout, Initializer, Pooling2d, PoolingKind, Sequence, UpSampling2d,
};
use moue_engine::random::Stream;
use moue_engine::{Activation, Layer, Mode, Network, Shape, Tensor};
use moue_gpu::Device;
use proptest::prelude::*;
use std::sync::Arc;

const ACTIVATIONS: [Activation; 7] = [
    Activation::Linear,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Silu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softmax,
];

fn draw(len: usize, stream: &mut Stream) -> Vec<f32> {
    (0..len).map(|_| stream.between(-1.0, 1.0)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Compares the output at inference and the gradients of a layer with random parameters with its reference.
fn check(layer: impl Layer + 'static, reference: &impl Reference, batch: usize, key: u64) {
    let Some((device, network, x, parameters)) = drawn(layer, batch, key) else { return };
    let y = outputs(device.clone(), &network, &x);
    assert_close(y.data(), &reference.run(&wide(x.data()), &parameters));
    check_gradients(&device, &network, reference, &x, &parameters, Mode::Inference);
}

/// A device, a network of one layer with random parameters, images, and the parameters in f64.
type Drawn = (Arc<Device>, Network, Tensor, Vec<Vec<f64>>);

fn drawn(mut layer: impl Layer + 'static, batch: usize, key: u64) -> Option<Drawn> {
    let device = device()?;
    let mut stream = Stream::new(key);
    let mut parameters = Vec::new();
    layer.visit_mut(&mut |parameter| {
        let mut values = draw(parameter.value.len(), &mut stream);
        if parameter.name.ends_with("variance") {
            values.iter_mut().for_each(|v| *v = v.abs() + 0.5);
        }
        parameter.value.copy_from_slice(&values);
        parameters.push(wide(&values));
    });
    let input = layer.input_shape();
    let x = draw(batch * input.len(), &mut stream);
    let network = Network::new(Sequence::new("model", input, vec![Box::new(layer)]));
    Some((device, network, Tensor::from_slice(batch, input, &x), parameters))
}

fn check_gradients(
    device: &Device,
    network: &Network,
    reference: &impl Reference,
    x: &Tensor,
    parameters: &[Vec<f64>],
    mode: Mode<'_>,
) {
    let shape = network.output_shape();
    let mut dy = Tensor::from_slice(x.batch(), shape, &draw(x.batch() * shape.len(), &mut Stream::new(1)));
    let x64 = wide(x.data());
    let expected = |dy: &Tensor| reference::gradients(reference, &x64, parameters, &wide(dy.data()));
    // Where rounding moves an output over the kink of ReLU, the gradient is another one.
    let y = expected(&dy).0;
    let got = moue_gpu::gradients(device, network, x, mode, &dy).unwrap().output;
    let moved = got.data().iter().zip(&y).map(|(got, y)| (*got == 0.0) != (*y == 0.0));
    dy.data_mut().iter_mut().zip(moved).for_each(|(dy, moved)| *dy = if moved { 0.0 } else { *dy });

    let (y, dx, dparameters) = expected(&dy);
    let got = moue_gpu::gradients(device, network, x, mode, &dy).unwrap();
    assert_close(got.output.data(), &y);
    assert_close(got.input.data(), &dx);
    let mut all = got.parameters.iter().zip(&dparameters);
    network.visit(|parameter| {
        let (got, expected) = all.next().unwrap();
        if parameter.gradient.is_empty() {
            assert!(got.iter().all(|&value| value == 0.0), "a gradient of {}", parameter.name);
        } else {
            assert_close(got, expected);
        }
    });
}

/// A convolution and the activation of its output.
struct Activated(reference::Conv2d, reference::Activation);

impl Reference for Activated {
    fn run<T: reference::Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T> {
        self.1.run(&self.0.run(x, parameters), &[])
    }
}

/// Each position of a map `[height, width, channels]`, repeated.
struct Repeated {
    input: [usize; 3],
    size: [usize; 2],
}

impl Reference for Repeated {
    fn run<T: reference::Real>(&self, x: &[T], _: &[Vec<T>]) -> Vec<T> {
        let [height, width, channels] = self.input;
        let mut y = Vec::new();
        for image in x.chunks(height * width * channels) {
            for row in 0..height * self.size[0] {
                for column in 0..width * self.size[1] {
                    let at = (row / self.size[0] * width + column / self.size[1]) * channels;
                    y.extend_from_slice(&image[at..at + channels]);
                }
            }
        }
        y
    }
}

fn check_conv2d(g: Geometry, filters: usize, use_bias: bool, activation: Activation, key: u64) {
    let (input, padding) = parts(&g);
    // A layer applies the others on their own.
    let activation = if activation.works_in_place() { activation } else { Activation::Linear };
    let options = Conv2dOptions {
        filters,
        kernel_size: g.size,
        strides: g.strides,
        padding,
        use_bias,
        activation,
        initializer: Initializer::HeNormal,
    };
    let layer = Conv2d::new("conv2d", input, options, &mut Stream::new(0)).unwrap();
    let sum = reference::Conv2d { geometry: g, filters, relu: false };
    check(layer, &Activated(sum, reference::Activation { activation, channels: filters }), g.batch, key);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn conv2d_is_a_direct_sum(g in geometry([8, 5, 4]), filters in 1usize..5, bias: bool, kind in 0usize..7, key: u64) {
        check_conv2d(g, filters, bias, ACTIVATIONS[kind], key);
    }

    #[test]
    fn depthwise_conv2d_is_a_direct_sum(g in geometry([8, 5, 70]), bias: bool, relu: bool, key: u64) {
        let (input, padding) = parts(&g);
        let options = DepthwiseConv2dOptions {
            kernel_size: g.size,
            strides: g.strides,
            padding,
            use_bias: bias,
            activation: if relu { Activation::Relu } else { Activation::Linear },
            initializer: Initializer::HeNormal,
        };
        let layer = DepthwiseConv2d::new("depthwise", input, options, &mut Stream::new(0)).unwrap();
        check(layer, &reference::DepthwiseConv2d { geometry: g, relu }, g.batch, key);
    }

    #[test]
    fn pooling_is_a_direct_maximum_or_mean(g in geometry([8, 5, 70]), max: bool, key: u64) {
        let (input, padding) = parts(&g);
        let kind = if max { PoolingKind::Max } else { PoolingKind::Average };
        let layer = Pooling2d::new("pool", input, kind, g.size, g.strides, padding).unwrap();
        check(layer, &reference::Pooling { geometry: g, max }, g.batch, key);
    }

    #[test]
    fn global_pooling(batch in 1usize..4, h in 1usize..6, w in 1usize..6, channels in 1usize..5, max: bool, key: u64) {
        let kind = if max { PoolingKind::Max } else { PoolingKind::Average };
        let layer = Pooling2d::global("pool", Shape::new(h, w, channels), kind).unwrap();
        let geometry = Geometry { batch, input: [h, w, channels], size: [h, w], strides: [1, 1], padding: Zeros::Each(0) };
        check(layer, &reference::Pooling { geometry, max }, batch, key);
    }

    #[test]
    fn up_sampling_repeats_positions(
        batch in 1usize..4, input in [1usize..5, 1usize..5, 1usize..6], size in [1usize..4, 1usize..4], key: u64,
    ) {
        let [height, width, channels] = input;
        let layer = UpSampling2d::new("up", Shape::new(height, width, channels), size).unwrap();
        check(layer, &Repeated { input, size }, batch, key);
    }

    #[test]
    fn batch_normalization_with_stored_statistics(batch in 1usize..5, size in 1usize..4, channels in 1usize..70, key: u64) {
        let options = BatchNormalizationOptions { momentum: 0.9, epsilon: 1e-3, activation: Activation::Linear };
        let layer = BatchNormalization::new("bn", Shape::new(size, size, channels), options).unwrap();
        let reference = reference::BatchNormalization { channels, epsilon: f64::from(1e-3f32), training: false };
        check(layer, &reference, batch, key);
    }

    #[test]
    fn batch_normalization_with_batch_statistics(batch in 2usize..40, size in 1usize..12, channels in 1usize..70, key: u64) {
        let options = BatchNormalizationOptions { momentum: 0.9, epsilon: 1e-3, activation: Activation::Linear };
        let layer = BatchNormalization::new("bn", Shape::new(size, size, channels), options).unwrap();
        let reference = reference::BatchNormalization { channels, epsilon: f64::from(1e-3f32), training: true };
        let Some((device, network, x, parameters)) = drawn(layer, batch, key) else { return Ok(()) };
        let keys = vec![0; batch];
        check_gradients(&device, &network, &reference, &x, &parameters, Mode::Train { keys: &keys });
    }

    #[test]
    fn dropout_has_the_mask_of_the_cpu(batch in 1usize..4, len in 1usize..50, whole: bool, salt: u64, key: u64) {
        let shape = Shape::new(3, 1, len);
        let of = if whole { Dropout::stochastic_depth } else { Dropout::new };
        let Some((device, mut network, x, _)) = drawn(of("dropout", shape, 0.4, salt).unwrap(), batch, key) else {
            return Ok(());
        };
        let keys: Vec<u64> = (0..batch as u64).map(|image| key.rotate_left(7) ^ image).collect();
        let mode = Mode::Train { keys: &keys };
        let got = moue_gpu::gradients(&device, &network, &x, mode, &x).unwrap();
        let expected = network.forward(&x, mode).data();
        prop_assert_eq!(got.output.data(), expected);
        prop_assert_eq!(got.input.data(), expected);
    }

    #[test]
    fn dense_is_a_matrix_product(batch in 1usize..40, inputs in 1usize..200, units in 1usize..80, key: u64) {
        let options = DenseOptions {
            units, use_bias: true, activation: Activation::Linear, initializer: Initializer::GlorotUniform,
        };
        let layer = Dense::new("dense", Shape::flat(inputs), options, &mut Stream::new(0)).unwrap();
        let geometry = Geometry { batch, input: [1, 1, inputs], size: [1, 1], strides: [1, 1], padding: Zeros::Each(0) };
        check(layer, &reference::Conv2d { geometry, filters: units, relu: false }, batch, key);
    }

    #[test]
    fn activations(batch in 1usize..4, channels in 1usize..70, kind in 0usize..7, key: u64) {
        let activation = ACTIVATIONS[kind];
        let layer = ActivationLayer::new("activation", Shape::new(3, 2, channels), activation);
        check(layer, &reference::Activation { activation, channels }, batch, key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Tiles of all sizes, complete and partial.
    #[test]
    fn a_large_conv2d_is_a_direct_sum(g in geometry([14, 4, 40]), filters in 20usize..140, bias: bool, key: u64) {
        check_conv2d(g, filters, bias, Activation::Relu, key);
    }
}

/// Each value on its own, so that small ones are compared as exactly as large ones.
#[test]
fn activations_of_small_and_large_values() {
    let Some(device) = device() else { return };
    let values = [-90.0, -20.0, -3.0, -0.3, -0.24, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 0.24, 0.26, 1.0, 9.5, 30.0, 90.0];
    let x = Tensor::from_slice(values.len(), Shape::flat(1), &values);
    for activation in [Activation::Silu, Activation::Sigmoid, Activation::Tanh] {
        let layer = ActivationLayer::new("activation", Shape::flat(1), activation);
        let network = Network::new(Sequence::new("model", Shape::flat(1), vec![Box::new(layer)]));
        let y = outputs(device.clone(), &network, &x);
        let exact = |v: f32| match activation {
            Activation::Tanh => f64::from(v).tanh(),
            Activation::Silu => f64::from(v) / (1.0 + (-f64::from(v)).exp()),
            _ => 1.0 / (1.0 + (-f64::from(v)).exp()),
        };
        for (&x, &y) in values.iter().zip(y.data()) {
            let error = (f64::from(y) - exact(x)).abs();
            assert!(error <= 1e-4 * exact(x).abs() + 1e-30, "{activation:?} of {x} is {y}, not {}", exact(x));
        }
    }
}
