//! Whole networks compared with the CPU engine: how layers follow each other, batches, and threads.

use crate::{assert_close, device, nets, outputs};
use moue_engine::layers::{
    ActivationLayer, BatchNormalization, BatchNormalizationOptions, Concatenate, Conv2d, Conv2dOptions, Dense,
    DenseOptions, Flatten, Initializer, Output, Pooling2d, PoolingKind, Residual, Sequence, SqueezeExcite,
};
use moue_engine::random::Stream;
use moue_engine::{Activation, InferenceNetwork, Layer, Mode, Network, Padding, Shape, Tensor};
use moue_gpu::{Device, GpuNetwork};

const SHAPE: Shape = Shape::new(6, 5, 8);

fn boxed(layer: impl Layer + 'static) -> Box<dyn Layer> {
    Box::new(layer)
}

fn conv(input: Shape, filters: usize, activation: Activation) -> Box<dyn Layer> {
    let options = Conv2dOptions {
        filters,
        kernel_size: [3, 3],
        strides: [1, 1],
        padding: Padding::Same,
        use_bias: true,
        activation,
        initializer: Initializer::HeNormal,
    };
    boxed(Conv2d::new("conv2d", input, options, &mut Stream::new(filters as u64)).unwrap())
}

fn activation(input: Shape, activation: Activation) -> Box<dyn Layer> {
    boxed(ActivationLayer::new("activation", input, activation))
}

fn normalization(input: Shape, activation: Activation) -> Box<dyn Layer> {
    let options = BatchNormalizationOptions { momentum: 0.9, epsilon: 1e-3, activation };
    boxed(BatchNormalization::new("bn", input, options).unwrap())
}

fn sequence(input: Shape, layers: Vec<Box<dyn Layer>>) -> Sequence {
    Sequence::new("layers", input, layers)
}

fn gate(input: Shape) -> Box<dyn Layer> {
    let options = DenseOptions {
        units: input.channels,
        use_bias: true,
        activation: Activation::Sigmoid,
        initializer: Initializer::GlorotUniform,
    };
    let flat = Shape::flat(input.channels);
    let layers = vec![
        boxed(Pooling2d::global("pool", input, PoolingKind::Average).unwrap()),
        boxed(Dense::new("dense", flat, options, &mut Stream::new(7)).unwrap()),
    ];
    boxed(SqueezeExcite::new("squeeze_excite", sequence(input, layers)).unwrap())
}

fn residual(branch: Vec<Box<dyn Layer>>, shortcut: Vec<Box<dyn Layer>>, activation: Activation) -> Box<dyn Layer> {
    let (branch, shortcut) = (sequence(SHAPE, branch), sequence(SHAPE, shortcut));
    boxed(Residual::new("residual", branch, shortcut, activation).unwrap())
}

fn concatenate(branches: Vec<Vec<Box<dyn Layer>>>) -> Box<dyn Layer> {
    let branches = branches.into_iter().map(|layers| sequence(SHAPE, layers)).collect();
    boxed(Concatenate::new("concatenate", branches).unwrap())
}

fn images(batch: usize, shape: Shape) -> Tensor {
    let mut stream = Stream::new(5);
    let values: Vec<f32> = (0..batch * shape.len()).map(|_| stream.between(-1.0, 1.0)).collect();
    Tensor::from_slice(batch, shape, &values)
}

/// Compares networks of layers on maps of [`SHAPE`] with the CPU.
fn check(networks: Vec<Vec<Box<dyn Layer>>>) {
    let Some(device) = device() else { return };
    for layers in networks {
        let mut network = Network::new(sequence(SHAPE, layers));
        let mut stream = Stream::new(3);
        network.visit_mut(|parameter| {
            let is_variance = parameter.name.ends_with("variance");
            let low = if is_variance { 0.5 } else { -0.5 };
            parameter.value.iter_mut().for_each(|value| *value = stream.between(low, 0.9));
        });
        let x = images(3, SHAPE);
        let cpu = InferenceNetwork::new(&network).run(&x).data().to_vec();
        let expected: Vec<f64> = cpu.into_iter().map(f64::from).collect();
        assert_close(outputs(device.clone(), &network, &x).data(), &expected);
        check_gradients(&device, network, &x);
    }
}

/// Compares the gradients of a network with those of the CPU. Each parameter gets a name of its own.
fn check_gradients(device: &Device, mut network: Network, x: &Tensor) {
    let mut number = 0;
    network.visit_mut(|parameter| {
        let array = parameter.name.rsplit_once('.').map_or("", |(_, array)| array).to_owned();
        if matches!(&array[..], "kernel" | "gamma") {
            number += 1;
        }
        parameter.name = format!("layer_{number}.{array}");
    });
    let mode = Mode::Train { keys: &[1, 2, 3] };
    let dy = images(3, network.output_shape());
    let gpu = moue_gpu::gradients(device, &network, x, mode, &dy).unwrap();
    let y = network.forward(x, mode).data().to_vec();
    network.backward(x, &dy);
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    assert_close(gpu.output.data(), &wide(&y));
    // All at once, since that of a bias before a normalization is nothing but rounding.
    let (mut own, mut expected) = (Vec::new(), Vec::new());
    let mut got = gpu.parameters.iter();
    network.visit(|parameter| {
        let got = got.next().unwrap();
        if !parameter.gradient.is_empty() {
            own.extend_from_slice(got);
            expected.extend(wide(&parameter.gradient));
        }
    });
    assert_close(&own, &expected);
}

#[test]
fn activations_and_normalization_after_convolutions() {
    let silu = Activation::Silu;
    check(vec![
        vec![conv(SHAPE, 8, Activation::Linear), activation(SHAPE, silu)],
        vec![conv(SHAPE, 8, Activation::Linear), activation(SHAPE, Activation::Softmax)],
        vec![conv(SHAPE, 8, Activation::Linear), normalization(SHAPE, Activation::Linear), activation(SHAPE, silu)],
        vec![conv(SHAPE, 8, Activation::Relu), normalization(SHAPE, Activation::Relu)],
        vec![conv(SHAPE, 8, Activation::Relu), activation(SHAPE, silu), activation(SHAPE, Activation::Tanh)],
        vec![normalization(SHAPE, Activation::Linear), activation(SHAPE, Activation::Softmax)],
        vec![gate(SHAPE), activation(SHAPE, silu)],
    ]);
}

#[test]
fn residual_blocks() {
    let (linear, relu) = (Activation::Linear, Activation::Relu);
    check(vec![
        vec![residual(vec![conv(SHAPE, 8, relu), conv(SHAPE, 8, linear)], Vec::new(), relu)],
        vec![residual(vec![conv(SHAPE, 8, relu)], vec![conv(SHAPE, 8, linear)], relu)],
        vec![residual(vec![conv(SHAPE, 8, linear), gate(SHAPE)], vec![normalization(SHAPE, linear)], relu)],
        vec![residual(vec![normalization(SHAPE, linear)], Vec::new(), linear)],
        vec![residual(Vec::new(), vec![conv(SHAPE, 8, linear), activation(SHAPE, Activation::Silu)], relu)],
        vec![residual(Vec::new(), Vec::new(), relu), conv(SHAPE, 3, relu)],
        vec![
            conv(SHAPE, 8, relu),
            residual(vec![residual(vec![conv(SHAPE, 8, linear)], Vec::new(), relu)], vec![gate(SHAPE)], linear),
            conv(SHAPE, 4, relu),
        ],
    ]);
}

#[test]
fn concatenations() {
    let (linear, relu) = (Activation::Linear, Activation::Relu);
    let flat = || vec![conv(SHAPE, 2, relu), boxed(Flatten::new("flatten", Shape::new(6, 5, 2)))];
    let inner = || concatenate(vec![vec![conv(SHAPE, 3, relu)], Vec::new()]);
    check(vec![
        vec![concatenate(vec![vec![conv(SHAPE, 3, relu)], Vec::new(), vec![conv(SHAPE, 5, linear)]])],
        vec![conv(SHAPE, 8, relu), concatenate(vec![vec![inner()], vec![gate(SHAPE)]])],
        vec![concatenate(vec![flat(), vec![boxed(Flatten::new("flatten", SHAPE))]])],
        vec![concatenate(vec![vec![conv(SHAPE, 8, linear), activation(SHAPE, Activation::Softmax)], Vec::new()])],
        vec![concatenate(vec![vec![residual(vec![conv(SHAPE, 8, linear)], Vec::new(), relu)], vec![inner()]])],
    ]);
}

#[test]
fn further_outputs_are_not_computed() {
    let side = sequence(SHAPE, vec![conv(SHAPE, 2, Activation::Relu)]);
    check(vec![vec![
        conv(SHAPE, 8, Activation::Relu),
        boxed(Output::new("output", "side", side)),
        conv(SHAPE, 3, Activation::Linear),
    ]]);
}

#[test]
fn a_network_without_kernels_is_the_identity() {
    check(vec![Vec::new(), vec![boxed(Flatten::new("flatten", SHAPE))]]);
}

/// Every kind of layer, trained for some steps, so that statistics are not those of the start.
#[test]
fn a_trained_network_predicts_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let mut training = nets::Training::new(4);
    let x = nets::images(4, 1);
    (0..3).for_each(|_| training.step(&x));
    let logits = training.network.forward(&x, Mode::Inference).data().to_vec();
    let expected: Vec<f64> = logits.into_iter().map(f64::from).collect();
    assert_close(outputs(device, &training.network, &x).data(), &expected);
}

#[test]
fn the_prediction_for_an_image_does_not_depend_on_its_batch() {
    let Some(device) = device() else { return };
    let gpu = GpuNetwork::new(device, &nets::network()).unwrap();
    let x = nets::images(70, 2);
    let all = gpu.run(&x).unwrap();
    assert_eq!(all.shape(), Shape::flat(nets::CLASSES));
    for first in [0, 33, 69] {
        let one = Tensor::from_slice(1, nets::INPUT, &x.data()[first * nets::INPUT.len()..][..nets::INPUT.len()]);
        assert_eq!(gpu.run(&one).unwrap().data(), &all.data()[first * nets::CLASSES..][..nets::CLASSES]);
    }
    assert_eq!(gpu.run(&Tensor::zeros(0, nets::INPUT)).unwrap().data(), [0.0; 0]);
    gpu.release_memory();
    assert_eq!(gpu.run(&x).unwrap().data(), all.data());
}

#[test]
fn threads_share_a_network() {
    let Some(device) = device() else { return };
    let gpu = GpuNetwork::new(device, &nets::network()).unwrap();
    let batches: Vec<Tensor> = (0..3).map(|seed| nets::images(2, seed)).collect();
    let expected: Vec<Vec<f32>> = batches.iter().map(|x| gpu.run(x).unwrap().data().to_vec()).collect();
    std::thread::scope(|scope| {
        let runs: Vec<_> = batches.iter().map(|x| scope.spawn(|| gpu.run(x).unwrap().data().to_vec())).collect();
        for (run, expected) in runs.into_iter().zip(expected) {
            assert_eq!(run.join().unwrap(), expected);
        }
    });
}
