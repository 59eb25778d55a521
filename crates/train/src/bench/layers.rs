//! Benchmark of each layer.

use super::{Bench, BenchError, BenchOptions, WARM_UP};
use crate::config::Config;
use moue::Device;
use moue::model::summary;
use moue_engine::layers::Layer;
use moue_engine::loss::sparse_categorical_crossentropy;
use moue_engine::{Mode, Profile};
use serde::Serialize;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The time of a layer for one batch: means over the measured steps. The times of a block do not
/// include those of its layers.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LayerCost {
    /// Name in the network; `loss` and `optimizer` come last.
    pub name: String,
    /// Depth in nested blocks.
    pub depth: usize,
    /// The algorithm, where the layer has several.
    pub method: String,
    /// `[height, width, channels]`, or `[units]` when flat.
    pub output_shape: Vec<usize>,
    /// Milliseconds of the forward pass in training.
    pub forward_ms: f64,
    /// GFLOP/s of the forward pass, with two operations for each multiply-add of the direct
    /// convolution.
    pub forward_gflops: Option<f64>,
    /// Milliseconds of the backward pass.
    pub backward_ms: f64,
    /// GFLOP/s of the backward pass, for both gradients, or the one that is computed.
    pub backward_gflops: Option<f64>,
    /// Share of the training step.
    pub train_share: f64,
    /// Milliseconds at inference; 0 for layers that are folded into the previous layer.
    pub predict_ms: f64,
    /// GFLOP/s at inference.
    pub predict_gflops: Option<f64>,
    /// Share of the inference time.
    pub predict_share: f64,
}

/// Benchmarks each layer of a network in the precision of its configuration.
///
/// # Errors
/// When the network cannot be built.
pub fn layers(config: &Config, options: &BenchOptions) -> Result<Vec<LayerCost>, BenchError> {
    let batch_size = options.batch_size.max(1);
    let mut bench = Bench::new(config, batch_size, &Device::default())?;
    let (train, [loss, optimizer], train_steps) = profile_training(&mut bench, options.time);
    let (predict, predict_steps) = profile_prediction(&bench, options);
    let train = Times::new(&train, train_steps);
    let predict = Times::new(&predict, predict_steps);

    let rows = summary(&bench.network);
    let mut methods = HashMap::new();
    collect_methods(bench.network.layers(), &mut methods);
    let mut first = true;
    let mut costs: Vec<LayerCost> = rows
        .iter()
        .enumerate()
        .map(|(i, row)| {
            let inside = rows[i + 1..].iter().take_while(|inner| inner.depth > row.depth);
            let inside: Vec<&str> =
                inside.filter(|inner| inner.depth == row.depth + 1).map(|inner| inner.name.as_str()).collect();
            let [forward_ms, backward_ms] = train.own(&row.name, &inside);
            let [predict_ms, _] = predict.own(&row.name, &inside);
            let operations = (2 * row.macs * batch_size) as f64;
            let rate = |operations: f64, ms: f64| (operations > 0.0 && ms > 0.0).then(|| operations / ms / 1e6);
            // The gradient of the images is not needed.
            let gradients = if first { 1.0 } else { 2.0 };
            first &= row.macs == 0;
            LayerCost {
                name: row.name.clone(),
                depth: row.depth,
                method: methods.get(row.name.as_str()).copied().unwrap_or_default().to_owned(),
                output_shape: row.output_shape.clone(),
                forward_ms,
                forward_gflops: rate(operations, forward_ms),
                backward_ms,
                backward_gflops: rate(gradients * operations, backward_ms),
                predict_ms,
                predict_gflops: rate(operations, predict_ms),
                ..LayerCost::default()
            }
        })
        .collect();
    for (name, time) in [("loss", loss), ("optimizer", optimizer)] {
        let forward_ms = milliseconds(time, train_steps);
        costs.push(LayerCost { name: name.to_owned(), forward_ms, ..LayerCost::default() });
    }
    let train: f64 = costs.iter().map(|cost| cost.forward_ms + cost.backward_ms).sum();
    let predict: f64 = costs.iter().map(|cost| cost.predict_ms).sum();
    for cost in &mut costs {
        cost.train_share = (cost.forward_ms + cost.backward_ms) / train;
        cost.predict_share = cost.predict_ms / predict;
    }
    Ok(costs)
}

fn milliseconds(time: Duration, steps: usize) -> f64 {
    time.as_secs_f64() * 1e3 / steps as f64
}

/// The times of the layers, of the loss and of the optimizer, and the number of steps.
fn profile_training(bench: &mut Bench, time: Duration) -> (Profile, [Duration; 2], usize) {
    (0..WARM_UP).for_each(|_| bench.step_on_cpu());
    bench.network.start_profile();
    let mut others = [Duration::ZERO; 2];
    let mut steps = 0;
    let begin = Instant::now();
    while steps == 0 || begin.elapsed() < time {
        let logits = bench.network.forward(&bench.images, Mode::Train { keys: &bench.keys });
        let start = Instant::now();
        sparse_categorical_crossentropy(&bench.loss, logits, &bench.labels, &mut bench.gradient);
        others[0] += start.elapsed();
        bench.network.backward(&bench.images, &bench.gradient);
        let start = Instant::now();
        bench.optimizer.step(&mut bench.network, bench.learning_rate);
        others[1] += start.elapsed();
        steps += 1;
    }
    (bench.network.take_profile(), others, steps)
}

fn profile_prediction(bench: &Bench, options: &BenchOptions) -> (Profile, usize) {
    let mut ready = bench.ready(options.int8);
    (0..WARM_UP).for_each(|_| {
        ready.run(&bench.images);
    });
    ready.start_profile();
    let mut steps = 0;
    let begin = Instant::now();
    while steps == 0 || begin.elapsed() < options.time {
        ready.run(&bench.images);
        steps += 1;
    }
    (ready.take_profile(), steps)
}

/// Milliseconds of a step, forward and backward, by layer.
struct Times<'a>(HashMap<&'a str, [f64; 2]>);

impl<'a> Times<'a> {
    fn new(profile: &'a Profile, steps: usize) -> Self {
        let row = |time: &'a moue_engine::LayerTime| {
            (time.name.as_str(), [milliseconds(time.forward, steps), milliseconds(time.backward, steps)])
        };
        Self(profile.layers.iter().map(row).collect())
    }

    /// A layer's own time, without the layers directly inside it.
    fn own(&self, name: &str, inside: &[&str]) -> [f64; 2] {
        let of = |name: &str| self.0.get(name).copied().unwrap_or_default();
        inside.iter().fold(of(name), |[forward, backward], name| {
            let [inner_forward, inner_backward] = of(name);
            [(forward - inner_forward).max(0.0), (backward - inner_backward).max(0.0)]
        })
    }
}

fn collect_methods<'a>(layer: &'a dyn Layer, methods: &mut HashMap<&'a str, &'static str>) {
    methods.insert(layer.name(), layer.method());
    layer.children().into_iter().for_each(|child| collect_methods(child, methods));
}
