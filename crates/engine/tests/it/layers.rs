//! Compares the output and gradients of every layer with direct f64 references.

use crate::reference::{self, Geometry, Real, Reference, Zeros, geometry, parts};
use moue_engine::layers::{
    ActivationLayer, BatchNormalization, BatchNormalizationOptions, Conv2d, Conv2dOptions, Dense, DenseOptions,
    DepthwiseConv2d, DepthwiseConv2dOptions, Dropout, Flatten, Initializer, Pooling2d, PoolingKind, Sequence,
    UpSampling2d,
};
use moue_engine::loss::{self, categorical_crossentropy, sparse_categorical_crossentropy};
use moue_engine::random::{Stream, key};
use moue_engine::{Activation, Context, Isa, Layer, Mode, Precision, Role, Shape, Tensor};
use proptest::prelude::*;
use std::process::Command;

mod composite;

/// Values that bf16 represents, so that no kink is between a value and its rounded value.
fn draw(len: usize, stream: &mut Stream) -> Vec<f64> {
    let mut value = || f32::from_bits(stream.between(-1.0, 1.0).to_bits() & 0xffff_0000);
    (0..len).map(|_| f64::from(value())).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

fn assert_close(what: &str, got: &[f32], expected: &[f64]) {
    assert_within(2e-5, what, got, expected);
}

fn assert_within(tolerance: f64, what: &str, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |max: f64, v| max.max(v.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected).abs() / scale;
        assert!(error < tolerance, "{what}[{i}] is {got}, but the reference is {expected}");
    }
}

/// bf16 has 8 bits, and a few roundings follow one another.
fn assert_close_in_bf16(what: &str, got: &[f32], expected: &[f64]) {
    assert_within(0.02, what, got, expected);
}

const KEYS: [u64; 4] = [11, 12, 13, 14];

/// Compares output, input gradient and parameter gradients of a layer with its
/// reference, and the reference's gradients with central differences.
fn check(layer: impl Layer + 'static, reference: &impl Reference, batch: usize, training: bool, key: u64) {
    check_against(layer, reference, batch, training, key, true);
}

/// Compares with the reference only, for large layers.
fn check_against(
    mut layer: impl Layer + 'static,
    reference: &impl Reference,
    batch: usize,
    training: bool,
    key: u64,
    differences: bool,
) {
    let mut stream = Stream::new(key);
    let x = draw(batch * layer.input_shape().len(), &mut stream);
    let mut weights = draw(batch * layer.output_shape().len(), &mut stream);
    let mut parameters = Vec::new();
    layer.visit_mut(&mut |parameter| {
        let mut values = draw(parameter.value.len(), &mut stream);
        if parameter.name.ends_with("variance") {
            values.iter_mut().for_each(|v| *v = f64::from((v.abs() + 0.5) as f32));
        }
        parameter.value.copy_from_slice(&narrow(&values));
        parameters.push(values);
    });

    let mode = if training { Mode::Train { keys: &KEYS[..batch] } } else { Mode::Inference };
    let x32 = Tensor::from_slice(batch, layer.input_shape(), &narrow(&x));
    let mut y32 = Tensor::zeros(batch, layer.output_shape());
    let mut context = Context::default();
    layer.forward(&x32, &mut y32, mode, &mut context);
    let (y, dx, dparameters) = gradients(reference, &x, &parameters, &mut weights, y32.data());
    assert_close("y", y32.data(), &y);
    if differences {
        let (checked, passed_over) = reference::check_by_differences(reference, &x, &parameters, &weights);
        // Of a few positions, two may be at a kink by chance.
        let few = passed_over == 0 || passed_over < checked && passed_over <= 2 + checked / 10;
        assert!(few, "{passed_over} of {checked} positions are at a kink");
    }
    let dy32 = Tensor::from_slice(batch, layer.output_shape(), &narrow(&weights));
    let dx32 = layer.backward(&x32, &y32, dy32, true, &mut context).unwrap();
    assert_close("dx", dx32.data(), &dx);
    assert_gradients(assert_close, &layer, &dparameters);

    // The same layer between two others, in bf16.
    let identity = |shape| Box::new(ActivationLayer::new("identity", shape, Activation::Linear)) as Box<dyn Layer>;
    let layers = vec![identity(x32.shape()), Box::new(layer), identity(y32.shape())];
    let mut layers = Sequence::new("layers", x32.shape(), layers);
    let mut context = Context::default();
    context.precision = Precision::Bf16;
    layers.forward(&x32, &mut y32, mode, &mut context);
    let (y, dx, dparameters) = gradients(reference, &x, &parameters, &mut weights, y32.data());
    assert_close_in_bf16("y in bf16", y32.data(), &y);
    let dy32 = Tensor::from_slice(batch, y32.shape(), &narrow(&weights));
    let dx32 = layers.backward(&x32, &y32, dy32, true, &mut context).unwrap();
    assert_close_in_bf16("dx in bf16", dx32.data(), &dx);
    assert_gradients(assert_close_in_bf16, &layers, &dparameters);
}

/// The reference's output and gradients. An output that rounding moves over the kink of ReLU has another gradient than
/// the reference's, so its weight becomes 0.
fn gradients(
    reference: &impl Reference,
    x: &[f64],
    parameters: &[Vec<f64>],
    weights: &mut [f64],
    got: &[f32],
) -> (Vec<f64>, Vec<f64>, Vec<Vec<f64>>) {
    let found = reference::gradients(reference, x, parameters, weights);
    let moved = |at: &usize| (got[*at] == 0.0) != (found.0[*at] == 0.0);
    let moved: Vec<usize> = (0..got.len().min(found.0.len())).filter(moved).collect();
    if moved.is_empty() {
        return found;
    }
    moved.into_iter().for_each(|at| weights[at] = 0.0);
    reference::gradients(reference, x, parameters, weights)
}

fn assert_gradients(assert_close: fn(&str, &[f32], &[f64]), layer: &impl Layer, expected: &[Vec<f64>]) {
    let mut expected = expected.iter();
    layer.visit(&mut |parameter| {
        let expected = expected.next().unwrap();
        if parameter.role != Role::RunningStat {
            assert_close(&parameter.name, &parameter.gradient, expected);
        }
    });
}

fn conv2d(geometry: &Geometry, filters: usize, bias: bool, relu: bool) -> Conv2d {
    let (input, padding) = parts(geometry);
    let options = Conv2dOptions {
        filters,
        kernel_size: geometry.size,
        strides: geometry.strides,
        padding,
        use_bias: bias,
        activation: if relu { Activation::Relu } else { Activation::Linear },
        initializer: Initializer::HeNormal,
    };
    Conv2d::new("conv2d", input, options, &mut Stream::new(0)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn conv2d_is_a_direct_sum(g in geometry([8, 5, 4]), filters in 1usize..5, bias: bool, relu: bool, key: u64) {
        check(conv2d(&g, filters, bias, relu), &reference::Conv2d { geometry: g, filters, relu }, g.batch, true, key);
    }

    #[test]
    fn depthwise_conv2d_is_a_direct_sum(g in geometry([8, 5, 4]), bias: bool, relu: bool, key: u64) {
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
        check(layer, &reference::DepthwiseConv2d { geometry: g, relu }, g.batch, true, key);
    }

    #[test]
    fn pooling_is_a_direct_maximum_or_mean(g in geometry([8, 5, 4]), max: bool, key: u64) {
        let (input, padding) = parts(&g);
        let kind = if max { PoolingKind::Max } else { PoolingKind::Average };
        let layer = Pooling2d::new("pool", input, kind, g.size, g.strides, padding).unwrap();
        check(layer, &reference::Pooling { geometry: g, max }, g.batch, true, key);
    }

    #[test]
    fn up_sampling_repeats_positions(batch in 1usize..4, input in [1usize..5, 1usize..5, 1usize..6], size in [1usize..4, 1usize..4], key: u64) {
        let [height, width, channels] = input;
        let layer = UpSampling2d::new("up", Shape::new(height, width, channels), size).unwrap();
        check(layer, &UpSamplingReference { input, size }, batch, true, key);
    }

    #[test]
    fn batch_normalization_with_batch_and_stored_statistics(
        batch in 2usize..5, size in 2usize..4, channels in 1usize..6, training: bool, key: u64,
    ) {
        let options = BatchNormalizationOptions { momentum: 0.9, epsilon: 1e-3, activation: Activation::Linear };
        let layer = BatchNormalization::new("bn", Shape::new(size, size, channels), options).unwrap();
        let reference = reference::BatchNormalization { channels, epsilon: f64::from(1e-3f32), training };
        check(layer, &reference, batch, training, key);
    }

    #[test]
    fn dense_is_a_matrix_product(batch in 1usize..5, inputs in 1usize..20, units in 1usize..9, key: u64) {
        let options = DenseOptions {
            units, use_bias: true, activation: Activation::Linear, initializer: Initializer::GlorotUniform,
        };
        let layer = Dense::new("dense", Shape::flat(inputs), options, &mut Stream::new(0)).unwrap();
        let geometry = Geometry { batch, input: [1, 1, inputs], size: [1, 1], strides: [1, 1], padding: Zeros::Each(0) };
        check(layer, &reference::Conv2d { geometry, filters: units, relu: false }, batch, true, key);
    }

    #[test]
    fn activations(batch in 1usize..4, channels in 1usize..6, kind in 0usize..7, key: u64) {
        let activation = [
            Activation::Linear, Activation::Relu, Activation::LeakyRelu { slope: 0.1 }, Activation::Silu,
            Activation::Sigmoid, Activation::Tanh, Activation::Softmax,
        ][kind];
        let layer = ActivationLayer::new("activation", Shape::new(3, 2, channels), activation);
        check(layer, &reference::Activation { activation, channels }, batch, true, key);
    }

    #[test]
    fn global_pooling(batch in 1usize..4, h in 1usize..6, w in 1usize..6, channels in 1usize..5, max: bool, key: u64) {
        let kind = if max { PoolingKind::Max } else { PoolingKind::Average };
        let layer = Pooling2d::global("pool", Shape::new(h, w, channels), kind).unwrap();
        let geometry = Geometry { batch, input: [h, w, channels], size: [h, w], strides: [1, 1], padding: Zeros::Each(0) };
        check(layer, &reference::Pooling { geometry, max }, batch, true, key);
    }

    #[test]
    fn the_loss_and_its_gradient(batch in 1usize..5, classes in 2usize..8, smooth: bool, weigh: bool, key: u64) {
        let mut stream = Stream::new(key);
        let labels: Vec<u32> = (0..batch).map(|_| stream.below(classes) as u32).collect();
        let weights: Vec<f64> = (0..classes).map(|c| if weigh { 0.5 + c as f64 } else { 1.0 }).collect();
        let smoothing = if smooth { 0.125 } else { 0.0 };
        let x: Vec<f64> = draw(batch * classes, &mut stream).iter().map(|v| 4.0 * v).collect();
        let target = |at: usize| {
            let hit = if at % classes == labels[at / classes] as usize { 1.0 - smoothing } else { 0.0 };
            hit + smoothing / classes as f64
        };
        let reference = reference::CrossEntropy {
            targets: (0..batch * classes).map(target).collect(),
            weights: labels.iter().map(|&label| weights[label as usize]).collect(),
        };
        reference::check_by_differences(&reference, &x, &[], &[1.0]);
        let (value, dx, _) = reference::gradients(&reference, &x, &[], &[1.0]);
        let options = loss::CrossEntropy {
            label_smoothing: smoothing as f32,
            class_weights: weigh.then(|| narrow(&weights)),
        };
        let logits = Tensor::from_slice(batch, Shape::flat(classes), &narrow(&x));
        let mut gradient = Tensor::default();
        let loss = sparse_categorical_crossentropy(&options, &logits, &labels, &mut gradient);
        prop_assert!((loss.sum / batch as f64 - value[0]).abs() < 1e-5 * (1.0 + value[0]));
        prop_assert_eq!(loss.correct, loss::count_correct(&logits, &labels));
        assert_close("gradient", gradient.data(), &dx);
    }

    #[test]
    fn the_loss_of_soft_targets(batch in 1usize..5, classes in 2usize..8, key: u64) {
        let mut stream = Stream::new(key);
        let x: Vec<f64> = draw(batch * classes, &mut stream).iter().map(|v| 4.0 * v).collect();
        let mut targets: Vec<f64> = draw(batch * classes, &mut stream).iter().map(|v| v.abs() + 0.01).collect();
        for row in targets.chunks_exact_mut(classes) {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|target| *target /= sum);
        }
        let weights: Vec<f64> = draw(batch, &mut stream).iter().map(|v| v.abs() + 0.5).collect();
        let reference = reference::CrossEntropy { targets: targets.clone(), weights: weights.clone() };
        reference::check_by_differences(&reference, &x, &[], &[1.0]);
        let (value, dx, _) = reference::gradients(&reference, &x, &[], &[1.0]);
        let logits = Tensor::from_slice(batch, Shape::flat(classes), &narrow(&x));
        let mut gradient = Tensor::default();
        let sum = categorical_crossentropy(&logits, &narrow(&targets), &narrow(&weights), weights.len(), &mut gradient);
        prop_assert!((sum / batch as f64 - value[0]).abs() < 1e-5 * (1.0 + value[0]));
        assert_close("gradient", gradient.data(), &dx);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Maps and channels for which Winograd is selected, with complete and partial tiles and vectors.
    #[test]
    fn winograd_is_a_direct_sum(
        batch in 1usize..4, extents in [3usize..15, 3usize..15], channels in 8usize..36, filters in 8usize..36,
        padding in prop_oneof![Just(Zeros::Same), (0usize..3).prop_map(Zeros::Each)], bias: bool, relu: bool, key: u64,
    ) {
        let input = [extents[0], extents[1], channels];
        let g = Geometry { batch, input, size: [3, 3], strides: [1, 1], padding };
        let layer = conv2d(&g, filters, bias, relu);
        prop_assert!(layer.method().starts_with("winograd"));
        check_against(layer, &reference::Conv2d { geometry: g, filters, relu }, batch, true, key, false);
    }
}

/// A sum of this case is 1.3e-6 in f64, and not positive in f32.
#[test]
fn a_sum_next_to_the_kink_of_relu_is_not_compared() {
    let g = Geometry { batch: 3, input: [10, 5, 22], size: [3, 3], strides: [1, 1], padding: Zeros::Same };
    let reference = reference::Conv2d { geometry: g, filters: 16, relu: true };
    check_against(conv2d(&g, 16, false, true), &reference, 3, true, 2_771_171_512_696_023_317, false);
}

/// Each position of a map `[height, width, channels]`, repeated.
struct UpSamplingReference {
    input: [usize; 3],
    size: [usize; 2],
}

impl Reference for UpSamplingReference {
    fn run<T: Real>(&self, x: &[T], _: &[Vec<T>]) -> Vec<T> {
        let ([height, width, channels], [down, across]) = (self.input, self.size);
        let mut y = Vec::new();
        for image in x.chunks(height * width * channels) {
            for row in 0..height * down {
                for column in 0..width * across {
                    let at = (row / down * width + column / across) * channels;
                    y.extend_from_slice(&image[at..at + channels]);
                }
            }
        }
        y
    }
}

#[test]
fn up_sampling_factors_are_limited() {
    let shape = Shape::new(2, 2, 1);
    for size in [[0, 1], [1, 65]] {
        assert!(UpSampling2d::new("up", shape, size).is_err());
    }
}

/// Multiplies by the mask of the dropout layer's forward pass.
struct Mask(Vec<f64>);

impl Reference for Mask {
    fn run<T: Real>(&self, x: &[T], _: &[Vec<T>]) -> Vec<T> {
        x.iter().zip(&self.0).map(|(&x, &m)| x * T::of(m)).collect()
    }
}

#[test]
fn dropout_masks_gradients_like_values() {
    let shape = Shape::new(3, 3, 5);
    let mut layer = Dropout::new("dropout", shape, 0.4, 9).unwrap();
    let ones = Tensor::from_slice(4, shape, &[1.0; 180]);
    let mut mask = Tensor::zeros(4, shape);
    layer.forward(&ones, &mut mask, Mode::Train { keys: &KEYS }, &mut Context::default());
    let factors: Vec<f64> = mask.data().iter().map(|&v| f64::from(v)).collect();
    assert!(factors.contains(&0.0) && factors.iter().any(|&f| (f - 1.0 / 0.6).abs() < 1e-6));
    check(layer, &Mask(factors), 4, true, key(&[1]));
    check(Dropout::new("dropout", shape, 0.4, 9).unwrap(), &Mask(vec![1.0; 180]), 4, false, 2);
}

#[test]
fn flatten_keeps_the_order() {
    check(Flatten::new("flatten", Shape::new(2, 3, 4)), &Mask(vec![1.0; 48]), 2, true, 3);
}

#[test]
fn a_map_of_several_tasks_equals_a_direct_sum() {
    let g = Geometry { batch: 3, input: [33, 30, 2], size: [3, 3], strides: [1, 1], padding: Zeros::Same };
    let mut layer = conv2d(&g, 3, true, false);
    let reference = reference::Conv2d { geometry: g, filters: 3, relu: false };
    let mut stream = Stream::new(8);
    let x = draw(3 * 33 * 30 * 2, &mut stream);
    let mut parameters: Vec<Vec<f64>> = Vec::new();
    layer.visit(&mut |p| parameters.push(p.value.iter().map(|&v| f64::from(v)).collect()));
    let weights = draw(3 * 33 * 30 * 3, &mut stream);
    let (y, dx, dparameters) = reference::gradients(&reference, &x, &parameters, &weights);
    let input = Tensor::from_slice(3, layer.input_shape(), &narrow(&x));
    let mut output = Tensor::zeros(3, layer.output_shape());
    let dy = Tensor::from_slice(3, layer.output_shape(), &narrow(&weights));
    let mut context = Context::default();
    layer.forward(&input, &mut output, Mode::Train { keys: &KEYS[..3] }, &mut context);
    assert_close("y", output.data(), &y);
    let dinput = layer.backward(&input, &output, dy, true, &mut context).unwrap();
    assert_close("dx", dinput.data(), &dx);
    let mut expected = dparameters.iter();
    layer.visit(&mut |p| assert_close(&p.name, &p.gradient, expected.next().unwrap()));
}

/// Set for the child processes below, which must not start further processes.
const AT_A_LEVEL: &str = "MOUE_TEST_AT_A_LEVEL";

#[test]
fn layers_are_correct_at_all_instruction_set_levels() {
    if std::env::var_os(AT_A_LEVEL).is_some() {
        return;
    }
    for isa in Isa::available().filter(|&isa| isa != Isa::in_use()) {
        let program = std::env::current_exe().unwrap();
        let mut tests = Command::new(program);
        let output = tests.arg("layers::").env(AT_A_LEVEL, "1").env("MOUE_ISA", isa.name()).output().unwrap();
        assert!(output.status.success(), "{}: {}", isa.name(), String::from_utf8_lossy(&output.stdout));
    }
}
