//! Networks in bf16 compared with the same networks in f32.

use crate::nets;
use moue_engine::layers::{ActivationLayer, Output, Sequence};
use moue_engine::loss::{CrossEntropy, sparse_categorical_crossentropy};
use moue_engine::random::key;
use moue_engine::{Activation, InferenceNetwork, Layer, Mode, Network, Precision, Role, Shape, Tensor};

/// The loss of a training pass with the labels of [`nets::Training`], and the gradients of all parameters.
fn gradients(network: &mut Network, x: &Tensor) -> (f64, Vec<(String, Vec<f32>)>) {
    let batch = x.batch();
    let keys: Vec<u64> = (0..batch as u64).map(|image| key(&[2, image])).collect();
    let labels: Vec<u32> = (0..batch).map(|image| (image % nets::CLASSES) as u32).collect();
    let loss = CrossEntropy { label_smoothing: 0.0, class_weights: None };
    let mut gradient = Tensor::default();
    let logits = network.forward(x, Mode::Train { keys: &keys });
    let value = sparse_categorical_crossentropy(&loss, logits, &labels, &mut gradient).sum;
    network.backward(x, &gradient);
    let mut all = Vec::new();
    network.visit(|parameter| {
        if parameter.role != Role::RunningStat {
            all.push((parameter.name.clone(), parameter.gradient.to_vec()));
        }
    });
    (value, all)
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}

#[test]
fn gradients_in_bf16_are_close_to_those_in_f32() {
    // 40 images are two grains, the second one incomplete.
    let mut training = nets::Training::new(40);
    (0..3).for_each(|step| training.step(&nets::images(40, step)));
    let x = nets::images(40, 3);
    let (loss, exact) = gradients(&mut training.network, &x);
    training.network.set_precision(Precision::Bf16);
    let (loss_bf16, rounded) = gradients(&mut training.network, &x);
    assert!((loss - loss_bf16).abs() < 0.02 * loss, "{loss} and {loss_bf16}");
    let largest = exact.iter().map(|(_, values)| norm(values.iter().copied())).fold(0.0, f64::max);
    for ((name, exact), (_, rounded)) in exact.iter().zip(&rounded) {
        let difference = norm(exact.iter().zip(rounded).map(|(a, b)| a - b));
        let scale = norm(exact.iter().copied()).max(0.02 * largest);
        // Rounding moves some values over the kinks of ReLU and of maxima.
        assert!(difference < 0.3 * scale, "{name}: {difference} of {scale}");
    }
}

#[test]
fn the_loss_decreases_in_bf16_as_in_f32() {
    let x = nets::images(16, 7);
    let before = gradients(&mut nets::Training::new(16).network, &x).0;
    let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| {
        let mut training = nets::Training::new(16);
        training.network.set_precision(precision);
        (0..40).for_each(|_| training.step(&x));
        gradients(&mut training.network, &x).0
    });
    assert!(exact < 0.5 * before && rounded < 0.5 * before, "{before}, f32: {exact}, bf16: {rounded}");
    assert!((exact - rounded).abs() < 0.1 * before, "{before}, f32: {exact}, bf16: {rounded}");
}

#[test]
fn inference_in_bf16_is_close_to_f32_and_independent_of_the_batch() {
    let mut training = nets::Training::new(16);
    (0..10).for_each(|step| training.step(&nets::images(16, step)));
    let x = nets::images(70, 9);
    let exact = InferenceNetwork::new(&training.network).run(&x).data().to_vec();
    let mut ready = InferenceNetwork::with_precision(&training.network, Precision::Bf16);
    let rounded = ready.run(&x).data().to_vec();
    assert_ne!(exact, rounded);
    for (a, b) in exact.iter().zip(&rounded) {
        assert!((a - b).abs() < 0.05 * (1.0 + a.abs()), "{a} and {b}");
    }
    for image in [0, 33, 69] {
        let one = Tensor::from_slice(1, nets::INPUT, &x.data()[image * nets::INPUT.len()..][..nets::INPUT.len()]);
        assert_eq!(ready.run(&one).data(), &rounded[image * nets::CLASSES..][..nets::CLASSES]);
    }
    training.network.set_precision(Precision::Bf16);
    let unfolded = training.network.forward(&x, Mode::Inference).data();
    for (a, b) in unfolded.iter().zip(&rounded) {
        assert!((a - b).abs() < 0.05 * (1.0 + a.abs()), "{a} and {b}");
    }
}

#[test]
fn gradients_of_named_outputs_reach_the_layers_before_in_bf16() {
    let shape = Shape::new(4, 4, 8);
    let identity = || Box::new(ActivationLayer::new("identity", shape, Activation::Linear)) as Box<dyn Layer>;
    let output = Output::new("output", "middle", Sequence::new("layers", shape, Vec::new()));
    let mut network = Network::new(Sequence::new("model", shape, vec![identity(), Box::new(output), identity()]));
    network.set_precision(Precision::Bf16);
    let x = Tensor::from_slice(2, shape, &[0.5; 256]);
    assert_eq!(network.forward(&x, Mode::Train { keys: &[1, 2] }).data(), x.data());
    assert_eq!(network.named_output("middle").unwrap().data(), x.data());
    network.set_output_gradient("middle", Tensor::from_slice(2, shape, &[0.25; 256]));
    let (map, gradient) = network.gradient_at(0, &x, &Tensor::from_slice(2, shape, &[2.0; 256])).unwrap();
    assert_eq!((map.data(), gradient.data()), (x.data(), &[2.25; 256][..]));
}
