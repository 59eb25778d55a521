//! How fast a network trains and predicts on this machine, as a whole and layer
//! by layer.
//!
//! Images are noise and already in memory: reading, augmentation and evaluation
//! are not counted. Every number is a median over steps.

mod layers;

pub use layers::{LayerCost, layers};

use crate::config::Config;
use moue::Classifier;
use moue::model::{ArchitectureError, build};
use moue_engine::loss::{CrossEntropy, sparse_categorical_crossentropy};
use moue_engine::optimizer::Optimizer;
use moue_engine::random::Stream;
use moue_engine::{InferenceNetwork, Isa, Mode, Network, Shape, Tensor};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Classes of the network that is measured: those of FER2013.
const CLASSES: usize = 7;

/// Steps before the clock starts: the first ones allocate.
const WARM_UP: usize = 2;

/// Fewest steps that are timed.
const FEWEST: usize = 5;

/// What is measured, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// Images in a step.
    pub batch_size: usize,
    /// Time to spend on each figure, at least five steps.
    pub time: Duration,
}

/// What a network manages on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// Name of the architecture.
    pub arch: String,
    /// Threads in use.
    pub threads: usize,
    /// Images in a step.
    pub batch_size: usize,
    /// Instruction-set level in use.
    pub isa: &'static str,
    /// Images a second through forward pass, loss, backward pass and optimizer.
    pub train_images_per_second: f64,
    /// Images a second through the network made ready to predict.
    pub predict_images_per_second: f64,
    /// Milliseconds from one image to its answer, half of the times.
    pub latency_ms_p50: f64,
    /// Most memory that the process held up to the end of training, in bytes;
    /// `None` where the system does not tell (it does on Linux).
    pub peak_rss_bytes: Option<u64>,
}

/// A network with all that a training step needs.
struct Bench {
    network: Network,
    optimizer: Optimizer,
    learning_rate: f32,
    loss: CrossEntropy,
    images: Tensor,
    labels: Vec<u32>,
    keys: Vec<u64>,
    gradient: Tensor,
}

impl Bench {
    fn new(config: &Config, batch_size: usize) -> Result<Self, ArchitectureError> {
        let options = &config.train;
        let network = build(&config.model, CLASSES, options.seed)?;
        let clip = (options.clip_norm > 0.0).then_some(options.clip_norm);
        let mut stream = Stream::new(options.seed);
        Ok(Self {
            optimizer: Optimizer::new(options.optimizer_kind(), options.weight_decay, clip, &network),
            learning_rate: options.learning_rate,
            loss: CrossEntropy { label_smoothing: options.label_smoothing, class_weights: None },
            images: noise(batch_size, network.input_shape(), &mut stream),
            labels: (0..batch_size).map(|_| stream.below(CLASSES) as u32).collect(),
            keys: (0..batch_size as u64).collect(),
            gradient: Tensor::default(),
            network,
        })
    }

    fn step(&mut self) {
        let logits = self.network.forward(&self.images, Mode::Train { keys: &self.keys });
        sparse_categorical_crossentropy(&self.loss, logits, &self.labels, &mut self.gradient);
        self.network.backward(&self.images, &self.gradient);
        self.optimizer.step(&mut self.network, self.learning_rate);
    }
}

fn noise(batch: usize, shape: Shape, stream: &mut Stream) -> Tensor {
    let mut images = Tensor::zeros(batch, shape);
    images.data_mut().iter_mut().for_each(|value| *value = stream.normal());
    images
}

/// Measures a network; `observe` hears what is being measured.
///
/// # Errors
/// When the network cannot be built.
pub fn measure(
    config: &Config,
    options: &BenchOptions,
    observe: &mut dyn FnMut(&str),
) -> Result<Measurement, ArchitectureError> {
    let batch_size = options.batch_size.max(1);
    let mut bench = Bench::new(config, batch_size)?;
    observe("training");
    let step = median(options.time, || bench.step());
    let peak_rss_bytes = peak_memory();
    observe("predicting");
    let mut ready = InferenceNetwork::new(&bench.network);
    let batch = median(options.time, || {
        ready.run(&bench.images);
    });
    observe("one image at a time");
    let one = noise(1, ready.input_shape(), &mut Stream::new(0));
    let latency = median(options.time, || {
        ready.run(&one);
    });
    Ok(Measurement {
        arch: config.model.name.clone(),
        threads: rayon::current_num_threads(),
        batch_size,
        isa: Isa::in_use().name(),
        train_images_per_second: batch_size as f64 / step,
        predict_images_per_second: batch_size as f64 / batch,
        latency_ms_p50: latency * 1e3,
        peak_rss_bytes,
    })
}

/// Milliseconds from one normalised image to its probabilities, half of the
/// times, over about a second.
#[must_use]
pub fn latency_ms(classifier: &Classifier) -> f64 {
    let one = noise(1, classifier.input_shape(), &mut Stream::new(0));
    let seconds = median(Duration::from_secs(1), || {
        let _ = classifier.input_probabilities(&one);
    });
    seconds * 1e3
}

/// Seconds that `step` takes, half of the times.
fn median(time: Duration, mut step: impl FnMut()) -> f64 {
    (0..WARM_UP).for_each(|_| step());
    let begin = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < FEWEST || begin.elapsed() < time {
        let start = Instant::now();
        step();
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Most memory that this process has held, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const TINY: &str = r#"
        [model]
        name = "tiny"
        input = [8, 8, 1]
        layers = [
          { kind = "conv2d", filters = 8, padding = "same", use_bias = false },
          { kind = "batch_normalization", activation = "relu" },
          { kind = "residual", activation = "relu", layers = [
            { kind = "conv2d", filters = 8, padding = "same" },
          ] },
          { kind = "global_average_pooling2d" },
          { kind = "dense", units = "classes", activation = "softmax" },
        ]
    "#;

    #[test]
    fn every_layer_is_measured() {
        let config = Config::parse("tiny", TINY).expect("a valid file");
        let options = BenchOptions { batch_size: 4, time: Duration::ZERO };
        let mut observed = Vec::new();
        let measured = measure(&config, &options, &mut |what| observed.push(what.to_owned())).expect("it builds");
        assert_eq!((measured.arch.as_str(), measured.batch_size, observed.len()), ("tiny", 4, 3));
        assert!(measured.train_images_per_second > 0.0 && measured.predict_images_per_second > 0.0);
        assert!(measured.latency_ms_p50 > 0.0);
        assert!(measured.peak_rss_bytes.is_none_or(|bytes| bytes > 1 << 20));

        let costs = layers(&config, &options).expect("it builds");
        let names: Vec<&str> = costs.iter().map(|cost| cost.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "conv2d_1",
                "batch_normalization_1",
                "residual_1",
                "conv2d_2",
                "global_average_pooling2d_1",
                "dense_1",
                "loss",
                "optimizer"
            ]
        );
        let share: f64 = costs.iter().map(|cost| cost.train_share).sum();
        assert!((share - 1.0).abs() < 1e-9, "{share}");
        let convolution = &costs[3];
        assert!(convolution.forward_ms > 0.0 && convolution.backward_ms > 0.0 && convolution.predict_ms > 0.0);
        assert!(convolution.forward_gflops.is_some_and(|rate| rate > 0.0));
        // Folded into the convolution before it.
        assert_eq!(costs[1].predict_ms, 0.0);
    }
}
