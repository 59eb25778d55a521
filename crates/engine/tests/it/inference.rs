//! Compares the network for inference with the network itself.

use crate::nets;
use moue_engine::layers::{Conv2d, Conv2dOptions, Flatten, Initializer, Output, Residual, Sequence, UpSampling2d};
use moue_engine::random::Stream;
use moue_engine::{Activation, InferenceNetwork, Layer, Mode, Network, Padding, Precision, Shape, Tensor, Workspace};

#[test]
fn inference_equals_the_network() {
    let mut training = nets::Training::new(8);
    (0..3).for_each(|step| training.step(&nets::images(8, step)));
    let x = nets::images(5, 9);
    let expected = training.network.forward(&x, Mode::Inference).data().to_vec();
    let mut ready = InferenceNetwork::new(&training.network);
    let got = ready.run(&x).data();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{got}, expected {expected}");
    }
}

#[test]
fn predictions_do_not_depend_on_the_batch() {
    let mut training = nets::Training::new(8);
    training.step(&nets::images(8, 1));
    let mut ready = InferenceNetwork::new(&training.network);
    let x = nets::images(300, 9);
    let all = ready.run(&x).data().to_vec();
    for image in [0, 7, 150, 299] {
        let one = Tensor::from_slice(1, nets::INPUT, &x.data()[image * nets::INPUT.len()..][..nets::INPUT.len()]);
        assert_eq!(ready.run(&one).data(), &all[image * nets::CLASSES..][..nets::CLASSES]);
    }
}

#[test]
fn threads_share_a_network() {
    let mut training = nets::Training::new(8);
    training.step(&nets::images(8, 1));
    let mut ready = InferenceNetwork::new(&training.network);
    let x = nets::images(4, 9);
    let expected = ready.run(&x).data().to_vec();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(ready.run_in(&x, &mut Workspace::default()).data(), expected));
        }
    });
}

/// The gradient at the depthwise layer's output, summed over the positions where its ReLU is
/// active, is the gradient of its bias: compared with central differences of the outputs.
#[test]
fn the_gradient_at_a_layer_equals_that_of_the_following_layers() {
    let mut training = nets::Training::new(8);
    (0..3).for_each(|step| training.step(&nets::images(8, step)));
    let network = &mut training.network;
    let x = nets::images(1, 9);
    let index = network.layers().children().iter().position(|layer| layer.name() == "depthwise").unwrap();
    let shift = |network: &mut Network, channel: usize, by: f32| {
        network.visit_mut(|parameter| {
            if parameter.name == "depthwise.bias" {
                parameter.value[channel] += by;
            }
        });
    };
    let (mut checked, mut off) = (0, 0);
    for class in [0, 3] {
        let mut wanted = Tensor::zeros(1, Shape::flat(nets::CLASSES));
        wanted.data_mut()[class] = 1.0;
        network.forward(&x, Mode::Inference);
        let (map, gradient) = network.gradient_at(index, &x, &wanted).unwrap();
        assert_eq!((map.shape(), gradient.shape()), (network.layers().children()[index].output_shape(), map.shape()));
        let channels = map.shape().channels;
        for channel in 0..channels {
            let places = map.data().iter().zip(gradient.data()).skip(channel).step_by(channels);
            let sum: f32 = places.filter(|(value, _)| **value > 0.0).map(|(_, gradient)| gradient).sum();
            let mut output = |by: f32| {
                shift(network, channel, by);
                let output = network.forward(&x, Mode::Inference).data()[class];
                shift(network, channel, -by);
                output
            };
            let difference = (output(1e-3) - output(-1e-3)) / 2e-3;
            checked += 1;
            off += usize::from((sum - difference).abs() > 0.01 * (1.0 + difference.abs()));
        }
    }
    // A step across a kink of ReLU or of a maximum has no derivative for the comparison.
    assert!(off * 10 <= checked, "{off} of {checked} differ");
    assert!(network.gradient_at(99, &x, &Tensor::zeros(1, Shape::flat(nets::CLASSES))).is_none());
}

/// A small feature pyramid: two levels, each with an output, the lower one with the upper one added.
fn pyramid(input: Shape) -> Network {
    let conv2d = |input: Shape, filters: usize, strides: usize| -> Box<dyn Layer> {
        let options = Conv2dOptions {
            filters,
            kernel_size: [3, 3],
            strides: [strides, strides],
            padding: Padding::Each(1),
            use_bias: true,
            activation: Activation::Relu,
            initializer: Initializer::HeNormal,
        };
        Box::new(Conv2d::new("conv2d", input, options, &mut Stream::new(filters as u64)).unwrap())
    };
    let output = |name: &str, input: Shape| -> Box<dyn Layer> {
        let head = Sequence::new("layers", input, vec![conv2d(input, 4, 1)]);
        Box::new(Output::new(&format!("output_{name}"), name, head))
    };
    let first = conv2d(input, 8, 2);
    let low = first.output_shape();
    let down = conv2d(low, 8, 2);
    let high = down.output_shape();
    let up = Box::new(UpSampling2d::new("up", high, [2, 2]).unwrap());
    let branch = Sequence::new("branch", low, vec![down, output("high", high), up]);
    let sum = Residual::new("sum", branch, Sequence::new("shortcut", low, Vec::new()), Activation::Linear).unwrap();
    Network::new(Sequence::new("model", input, vec![first, Box::new(sum), output("low", low)]))
}

#[test]
fn named_outputs_equal_those_of_the_network_at_any_size() {
    let weights = pyramid(Shape::new(16, 16, 3));
    for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 0.01)] {
        let prepared = InferenceNetwork::with_precision(&weights, precision);
        for (height, width) in [(16, 16), (8, 24), (20, 12)] {
            let shape = Shape::new(height, width, 3);
            let mut stream = Stream::new(height as u64);
            let values: Vec<f32> = (0..2 * shape.len()).map(|_| stream.between(-1.0, 1.0)).collect();
            let x = Tensor::from_slice(2, shape, &values);
            let mut network = pyramid(shape);
            network.set_precision(precision);
            let expected = network.forward(&x, Mode::Inference).clone();
            let ready = prepared.resized(shape).unwrap();
            let got = ready.run_outputs(&x, &mut Workspace::default());
            let close = |got: &Tensor, expected: &Tensor| {
                assert_eq!(got.shape(), expected.shape());
                assert!(
                    got.data().iter().zip(expected.data()).all(|(a, b)| (a - b).abs() < tolerance * (1.0 + b.abs())),
                    "{height}x{width}"
                );
            };
            close(&got.last, &expected);
            let names: Vec<&str> = got.named.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["high", "low"]);
            for (name, output) in &got.named {
                close(output, network.named_output(name).unwrap());
            }
        }
    }
}

#[test]
fn other_sizes_are_checked() {
    let error = |height, width, channels| {
        let prepared = InferenceNetwork::new(&nets::network());
        prepared.resized(Shape::new(height, width, channels)).err().map(|error| error.to_string())
    };
    assert_eq!(error(17, 15, 1), None);
    // The test network ends with global pooling.
    assert_eq!(error(25, 31, 1), None);
    assert_eq!(error(17, 15, 3).unwrap(), "an input of 17x15x3 cannot be used in place of one of 17x15x1");
    // Upsampling does not restore an odd size.
    let pyramid = InferenceNetwork::new(&pyramid(Shape::new(16, 16, 3)));
    assert!(pyramid.resized(Shape::new(18, 16, 3)).err().unwrap().to_string().contains("the shortcut in 9x8x8"));
    let flat = Shape::new(4, 4, 1);
    let layers: Vec<Box<dyn Layer>> = vec![Box::new(Flatten::new("flatten", flat))];
    let flattened = InferenceNetwork::new(&Network::new(Sequence::new("model", flat, layers)));
    assert!(flattened.resized(Shape::new(4, 5, 1)).is_err() && flattened.resized(Shape::new(2, 8, 1)).is_ok());
}

/// A rank may have no images of a small batch.
#[test]
fn an_empty_batch_has_zero_gradients() {
    let (mut network, some, x) = (nets::network(), nets::images(3, 1), nets::images(0, 1));
    let gradient = network.forward(&some, Mode::Inference).clone();
    network.backward(&some, &gradient);
    assert!(network.forward(&x, Mode::Train { keys: &[] }).data().is_empty());
    network.backward(&x, &Tensor::zeros(0, network.output_shape()));
    let (mut before, mut after) = (Vec::new(), Vec::new());
    nets::network().visit(|parameter| before.extend_from_slice(&parameter.value));
    network.visit(|parameter| {
        assert!(parameter.gradient.iter().all(|&g| g == 0.0), "{}", parameter.name);
        after.extend_from_slice(&parameter.value);
    });
    assert_eq!(after, before);
    let mut inference = InferenceNetwork::new(&nets::network());
    assert!(inference.run(&x).data().is_empty());
}
