//! Training and inference speed of a network on this machine, in total and for each layer.
//!
//! The images are random and already in memory: reading, augmentation and evaluation are not
//! included. Each value is a median over steps.

mod batch_size;
mod layers;

pub use batch_size::{BatchSize, default_memory, fastest_batch_size};
pub use layers::{LayerCost, layers};

use crate::config::{Config, PrecisionName};
use crate::gpu::{Gpu, Images};
use moue::model::{ArchitectureError, Model, build};
use moue::{Classifier, Device, DeviceError, Precision, PrecisionChoice, PrepareError};
use moue_engine::inference::{RangeMethod, ranges};
use moue_engine::loss::{CrossEntropy, sparse_categorical_crossentropy};
use moue_engine::optimizer::Optimizer;
use moue_engine::random::Stream;
use moue_engine::{InferenceNetwork, Isa, Mode, Network, Shape, Tensor};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Number of classes: as in FER2013.
const CLASSES: usize = 7;

/// Warm-up steps: the first ones allocate memory.
const WARM_UP: usize = 2;

/// Minimum number of timed steps.
const FEWEST: usize = 5;

/// Why a network cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The network cannot be built.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// The device cannot compute it.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The device failed while it computed.
    #[error(transparent)]
    Device(DeviceError),
}

/// Options of a benchmark.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Batch size.
    pub batch_size: usize,
    /// Time for each measurement, at least five steps.
    pub time: Duration,
    /// Whether predictions compute with 8-bit integers.
    pub int8: bool,
    /// The device that is measured.
    pub device: Device,
}

/// Results of a benchmark.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Measurement {
    /// Name of the architecture.
    pub arch: String,
    /// Number of threads.
    pub threads: usize,
    /// Batch size.
    pub batch_size: usize,
    /// Instruction set of the computations in f32.
    pub isa: &'static str,
    /// Precision: `f32`, `bf16` or `int8`. With `int8`, the training is measured in the precision of the architecture
    /// file.
    pub precision: &'static str,
    /// Kernels of bf16, `amx` or `portable`, or instructions of int8, `amx`, `avx512-vnni`, `avx2` or `portable`; null in f32.
    pub kernels: Option<&'static str>,
    /// `cpu`, or the name of a GPU. On a GPU, the times include copies to and from it.
    pub device: String,
    /// Training images per second: forward pass, loss, backward pass and optimizer.
    pub train_images_per_second: f64,
    /// Inference images per second.
    pub predict_images_per_second: f64,
    /// Median latency of the prediction for one image, in milliseconds.
    pub latency_ms_p50: f64,
    /// Peak memory of the process until the end of training, in bytes; `None` where the system does
    /// not report it (Linux does).
    pub peak_rss_bytes: Option<u64>,
}

/// A network with everything that a training step needs.
struct Bench {
    network: Network,
    optimizer: Optimizer,
    learning_rate: f32,
    loss: CrossEntropy,
    images: Tensor,
    labels: Vec<u32>,
    keys: Vec<u64>,
    gradient: Tensor,
    /// Trains in place of the CPU.
    gpu: Option<Gpu>,
}

impl Bench {
    fn new(config: &Config, batch_size: usize, device: &Device) -> Result<Self, BenchError> {
        let options = &config.train;
        let mut network = build(&config.model, CLASSES, options.seed)?;
        network.set_precision(options.precision.into());
        let clip = (options.clip_norm > 0.0).then_some(options.clip_norm);
        let mut stream = Stream::new(options.seed);
        let optimizer = Optimizer::new(options.optimizer_kind(), options.weight_decay, clip, &network);
        let mut gpu = Gpu::of(device);
        if let Some(gpu) = &mut gpu {
            if options.precision != PrecisionName::F32 {
                return Err(PrepareError::from(DeviceError::Precision(options.precision.into())).into());
            }
            gpu.begin(&network, &optimizer, &[], None, batch_size).map_err(BenchError::Device)?;
        }
        Ok(Self {
            optimizer,
            learning_rate: options.learning_rate,
            loss: CrossEntropy { label_smoothing: options.label_smoothing, class_weights: None },
            images: noise(batch_size, network.input_shape(), &mut stream),
            labels: (0..batch_size).map(|_| stream.below(CLASSES) as u32).collect(),
            keys: (0..batch_size as u64).collect(),
            gradient: Tensor::default(),
            gpu,
            network,
        })
    }

    /// The network for inference, in the same precision or with 8-bit integers.
    fn ready(&self, int8: bool) -> InferenceNetwork {
        if int8 {
            let batch = |number: usize| (number == 0).then(|| self.images.clone());
            return InferenceNetwork::with_int8(
                &self.network,
                &ranges(&self.network, RangeMethod::Percentile(1.0), &batch),
            );
        }
        InferenceNetwork::with_precision(&self.network, self.network.precision())
    }

    /// A training step, on a GPU if there is one.
    fn step(&mut self) -> Result<(), DeviceError> {
        let Self { images, keys, labels, loss, .. } = self;
        if let Some(gpu) = &mut self.gpu {
            let loss = &*loss;
            let of = |&label: &u32| (0..CLASSES).map(move |class| loss.target(class, label as usize, CLASSES));
            let targets: Vec<f32> = labels.iter().flat_map(of).collect();
            let weights = &vec![1.0; labels.len()];
            return gpu.step(&Images { images, keys, labels, targets: &targets, weights }, self.learning_rate, 0.0);
        }
        self.step_on_cpu();
        Ok(())
    }

    fn step_on_cpu(&mut self) {
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

/// Benchmarks a network in the precision of its configuration; `observe` is called with the name of each measurement.
///
/// # Errors
/// When the network cannot be built, or the device cannot compute it.
pub fn measure(
    config: &Config,
    options: &BenchOptions,
    observe: &mut dyn FnMut(&str),
) -> Result<Measurement, BenchError> {
    let batch_size = options.batch_size.max(1);
    let mut bench = Bench::new(config, batch_size, &options.device)?;
    let precision = if options.int8 { Precision::Int8 } else { bench.network.precision().into() };
    // Before the training, which takes long.
    let classifier = (!options.device.is_cpu()).then(|| on_device(config, precision, &options.device)).transpose()?;
    observe("training");
    let step = training(&mut bench, options.time)?;
    let peak_rss_bytes = peak_memory();
    observe("predicting");
    let mut predict: Box<dyn FnMut(&Tensor)> = if let Some(classifier) = classifier {
        Box::new(move |x| drop(classifier.logits(x)))
    } else {
        let mut ready = bench.ready(options.int8);
        Box::new(move |x| _ = ready.run(x))
    };
    let batch = median(options.time, || predict(&bench.images));
    observe("one image at a time");
    let one = noise(1, bench.network.input_shape(), &mut Stream::new(0));
    let latency = median(options.time, || predict(&one));
    if let Some(error) = options.device.error() {
        return Err(BenchError::Device(error.clone()));
    }
    Ok(Measurement {
        arch: config.model.name.clone(),
        threads: rayon::current_num_threads(),
        batch_size,
        isa: Isa::in_use().name(),
        precision: precision.name(),
        kernels: precision.kernels(),
        device: options.device.to_string(),
        train_images_per_second: batch_size as f64 / step,
        predict_images_per_second: batch_size as f64 / batch,
        latency_ms_p50: latency * 1e3,
        peak_rss_bytes,
    })
}

/// The network on a GPU.
fn on_device(config: &Config, precision: Precision, device: &Device) -> Result<Classifier, BenchError> {
    let choice = match precision {
        Precision::F32 => PrecisionChoice::F32,
        other => return Err(PrepareError::from(DeviceError::Precision(other)).into()),
    };
    let classes = (0..CLASSES).map(|class| class.to_string()).collect();
    Ok(Classifier::prepare(Model::untrained(config.model.clone(), classes, config.train.seed)?, choice, device)?)
}

/// Median milliseconds from one normalized image to its probabilities, measured for about a second.
#[must_use]
pub fn latency_ms(classifier: &Classifier) -> f64 {
    let one = noise(1, classifier.input_shape(), &mut Stream::new(0));
    let seconds = median(Duration::from_secs(1), || {
        let _ = classifier.input_probabilities(&one);
    });
    seconds * 1e3
}

/// Median milliseconds of the prediction for one image with a network of this architecture, measured for about `time`.
///
/// # Errors
/// When the network cannot be built.
pub fn network_latency_ms(config: &Config, time: Duration) -> Result<f64, BenchError> {
    let bench = Bench::new(config, 1, &Device::default())?;
    let mut ready = bench.ready(false);
    Ok(1e3
        * median(time, || {
            ready.run(&bench.images);
        }))
}

/// Median seconds of a training step.
fn training(bench: &mut Bench, time: Duration) -> Result<f64, BenchError> {
    let mut failed = Ok(());
    let seconds = median(time, || {
        if failed.is_ok() {
            failed = bench.step();
        }
    });
    failed.map(|()| seconds).map_err(BenchError::Device)
}

/// Median seconds of `step`.
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

/// Peak memory of this process, in bytes.
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
        let options = BenchOptions { batch_size: 4, time: Duration::ZERO, int8: false, device: Device::default() };
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
        // Folded into the previous convolution.
        assert_eq!(costs[1].predict_ms, 0.0);
    }
}
