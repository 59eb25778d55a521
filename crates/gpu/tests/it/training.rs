//! Trainings compared with the CPU engine, and gradients of whole networks.

use crate::{assert_close, device, nets};
use moue_engine::layers::{Dropout, Sequence};
use moue_engine::loss::categorical_crossentropy;
use moue_engine::random::{Stream, key};
use moue_engine::{Layer, Mode, Network, Optimizer, OptimizerKind, Tensor};
use moue_gpu::{Batch, GpuTraining};

const BATCH: usize = 10;

/// A batch with targets that are distributions, and weights.
struct Cases {
    images: Tensor,
    keys: Vec<u64>,
    labels: Vec<u32>,
    targets: Vec<f32>,
    weights: Vec<f32>,
}

impl Cases {
    fn new(images: usize, seed: u64) -> Self {
        let mut stream = Stream::new(seed);
        let labels: Vec<u32> = (0..images).map(|_| stream.below(nets::CLASSES) as u32).collect();
        let target = |label: u32, class: usize| if class == label as usize { 0.86 } else { 0.14 / 6.0 };
        Self {
            images: nets::images(images, seed),
            keys: (0..images as u64).map(|image| key(&[seed, image])).collect(),
            targets: labels.iter().flat_map(|&l| (0..nets::CLASSES).map(move |c| target(l, c))).collect(),
            weights: (0..images).map(|_| stream.between(0.5, 2.0)).collect(),
            labels,
        }
    }

    fn batch(&self) -> Batch<'_> {
        let Self { images, keys, labels, targets, weights } = self;
        Batch { images, keys, labels, targets, weights }
    }
}

/// A training on the CPU.
struct Cpu {
    network: Network,
    optimizer: Optimizer,
    average: Vec<Vec<f32>>,
    offsets: Option<Vec<f32>>,
}

impl Cpu {
    fn step(&mut self, cases: &Cases, rate: f32, share: f32) -> (f64, usize) {
        let mut logits = self.network.forward(&cases.images, Mode::Train { keys: &cases.keys }).clone();
        let correct = moue_engine::loss::count_correct(&logits, &cases.labels);
        if let Some(offsets) = &self.offsets {
            logits.data_mut().iter_mut().zip(offsets.iter().cycle()).for_each(|(logit, offset)| *logit += offset);
        }
        let mut gradient = Tensor::default();
        let loss = categorical_crossentropy(&logits, &cases.targets, &cases.weights, cases.labels.len(), &mut gradient);
        self.network.backward(&cases.images, &gradient);
        self.optimizer.step(&mut self.network, rate);
        let mut average = self.average.iter_mut();
        self.network.visit(|parameter| {
            if let Some(average) = average.next() {
                average.iter_mut().zip(&parameter.value[..]).for_each(|(a, v)| *a += share * (v - *a));
            }
        });
        (loss, correct)
    }
}

fn values(network: &Network) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    network.visit(|parameter| values.push(parameter.value.to_vec()));
    values
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn named() -> Network {
    let mut network = nets::network();
    // Names are those of an architecture: each parameter has its own.
    let mut number = 0;
    network.visit_mut(|parameter| {
        if parameter.name.ends_with(".kernel") || parameter.name.ends_with(".gamma") {
            number += 1;
        }
        parameter.name = format!("{number}_{}", parameter.name);
    });
    network
}

/// Compares steps, metrics, weights, moments and averages with those of the CPU, from a state that is not the first one.
fn check(kind: OptimizerKind, clip: Option<f32>, offsets: Option<Vec<f32>>, averaged: bool, freeze: usize) {
    let Some(device) = device() else { return };
    let mut network = named();
    network.freeze(freeze);
    network.visit_mut(|parameter| parameter.l2 = if parameter.value.len() > 300 { 1e-3 } else { 0.0 });
    let optimizer = Optimizer::new(kind, 1e-2, clip, &network);
    let average = if averaged { values(&network) } else { Vec::new() };
    let mut cpu = Cpu { network, optimizer, average, offsets };
    cpu.step(&Cases::new(BATCH, 1), 0.02, 0.1);

    let offsets = cpu.offsets.clone();
    let mut gpu =
        GpuTraining::new(device, &cpu.network, &cpu.optimizer, &cpu.average, offsets.as_deref(), BATCH).unwrap();
    let mut other = named();
    other.freeze(freeze);
    let mut other = Cpu {
        network: other,
        optimizer: Optimizer::new(kind, 1e-2, clip, &cpu.network),
        average: cpu.average.clone(),
        offsets: None,
    };
    let (mut loss, mut correct) = (0.0, 0);
    // The last batch is not full.
    for (i, images) in [BATCH, BATCH, 3].into_iter().enumerate() {
        let cases = Cases::new(images, 2 + i as u64);
        let metrics = cpu.step(&cases, 0.01, 0.3);
        gpu.step(&cases.batch(), 0.01, 0.3).unwrap();
        loss += metrics.0;
        correct += metrics.1;
    }
    let metrics = gpu.metrics().unwrap();
    assert!((metrics.loss - loss).abs() < 1e-3 * loss, "{} instead of {loss}", metrics.loss);
    assert_eq!(metrics.correct, correct);
    assert_eq!(gpu.metrics().unwrap().loss, 0.0);
    gpu.read(&mut other.network, &mut other.optimizer, &mut other.average).unwrap();
    assert_eq!(other.optimizer.steps(), cpu.optimizer.steps());
    let state = |cpu: &Cpu| [values(&cpu.network), cpu.optimizer.moments().to_vec(), cpu.average.clone()].concat();
    for (got, expected) in state(&other).iter().zip(&state(&cpu)) {
        within(1e-3, got, &wide(expected));
    }
}

fn within(tolerance: f64, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1e-4, |max: f64, v| max.max(v.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected).abs() / scale;
        assert!(error < tolerance, "value {i} is {got}, on the CPU {expected}");
    }
}

#[test]
fn sgd_trains_as_on_the_cpu() {
    let sgd = |momentum, nesterov| OptimizerKind::Sgd { momentum, nesterov };
    check(sgd(0.0, false), None, None, false, 0);
    check(sgd(0.9, false), Some(0.5), None, true, 0);
    check(sgd(0.9, true), None, Some(vec![0.5, -1.0, 0.0, 2.0, 0.1, 0.2, -0.3]), true, 3);
}

#[test]
fn adam_trains_as_on_the_cpu() {
    // A large epsilon: where a gradient is rounding only, its sign would decide.
    check(OptimizerKind::Adam { beta_1: 0.9, beta_2: 0.99, epsilon: 1e-2 }, Some(100.0), None, true, 0);
}

#[test]
fn trainings_are_bit_identical_when_repeated() {
    let Some(device) = device() else { return };
    let run = || {
        let mut network = named();
        let kind = OptimizerKind::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
        let mut optimizer = Optimizer::new(kind, 0.0, Some(1.0), &network);
        let mut gpu = GpuTraining::new(device.clone(), &network, &optimizer, &[], None, BATCH).unwrap();
        for seed in 0..3 {
            gpu.step(&Cases::new(BATCH, seed).batch(), 0.01, 0.0).unwrap();
        }
        gpu.read(&mut network, &mut optimizer, &mut []).unwrap();
        values(&network).concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn the_gradients_of_a_network_are_those_of_the_cpu() {
    let Some(device) = device() else { return };
    let mut network = named();
    let cases = Cases::new(4, 9);
    let mode = Mode::Train { keys: &cases.keys };
    let dy = Tensor::from_slice(4, network.output_shape(), &cases.targets);
    let gpu = moue_gpu::gradients(&device, &network, &cases.images, mode, &dy).unwrap();
    let y = network.forward(&cases.images, mode).data().to_vec();
    network.backward(&cases.images, &dy);
    assert_close(gpu.output.data(), &wide(&y));
    let mut got = gpu.parameters.iter();
    network.visit(|parameter| {
        let got = got.next().unwrap();
        if parameter.gradient.is_empty() {
            assert!(got.iter().all(|&value| value == 0.0), "{}", parameter.name);
        } else {
            within(1e-3, got, &wide(&parameter.gradient));
        }
    });
}

/// Each layer draws from a stream of its own, and a frozen one does not draw.
#[test]
fn several_dropout_layers_have_the_masks_of_the_cpu() {
    let Some(device) = device() else { return };
    let shape = nets::INPUT;
    let dropout = |salt: u64| Box::new(Dropout::new("dropout", shape, 0.5, salt).unwrap()) as Box<dyn Layer>;
    for frozen in 0..3 {
        let mut network = Network::new(Sequence::new("model", shape, (1..4).map(dropout).collect()));
        network.freeze(frozen);
        let cases = Cases::new(5, 4);
        let mode = Mode::Train { keys: &cases.keys };
        let gpu = moue_gpu::gradients(&device, &network, &cases.images, mode, &cases.images).unwrap();
        assert_eq!(gpu.output.data(), network.forward(&cases.images, mode).data(), "{frozen} frozen layers");
    }
}

#[test]
fn a_network_without_layers_passes_gradients_on() {
    let Some(device) = device() else { return };
    let empty = Network::new(Sequence::new("model", nets::INPUT, Vec::new()));
    let x = nets::images(2, 3);
    let gpu = moue_gpu::gradients(&device, &empty, &x, Mode::Inference, &x).unwrap();
    assert_eq!([gpu.output.data(), gpu.input.data()], [x.data(), x.data()]);
    assert_eq!(empty.layers().children().len(), gpu.parameters.len());
}
