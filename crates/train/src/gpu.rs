//! A training on a GPU, in builds with the feature `gpu`. This is the only file of the crate that knows whether it is there.

use moue::{Device, DeviceError};
use moue_engine::{Network, Optimizer, Tensor};

/// The images of a step.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "gpu"), expect(dead_code))]
pub struct Images<'a> {
    /// `[N, H, W, C]`.
    pub images: &'a Tensor,
    /// A random key for each image.
    pub keys: &'a [u64],
    pub labels: &'a [u32],
    /// A probability for each class, `[N, classes]`.
    pub targets: &'a [f32],
    /// A factor for each image.
    pub weights: &'a [f32],
}

/// A GPU that trains.
#[cfg(feature = "gpu")]
pub struct Gpu {
    device: std::sync::Arc<moue_gpu::Device>,
    training: Option<moue_gpu::GpuTraining>,
    /// Images since the metrics were read.
    unread: usize,
}

#[cfg(feature = "gpu")]
impl Gpu {
    /// The GPU that a device is, if it is one.
    pub fn of(device: &Device) -> Option<Self> {
        let device = device.gpu()?.clone();
        Some(Self { device, training: None, unread: 0 })
    }

    /// Prepares steps of a network from its weights, and from the states of its optimizer and its moving average. A
    /// network whose steps were prepared before continues with its own.
    pub fn begin(
        &mut self,
        network: &Network,
        optimizer: &Optimizer,
        average: &[Vec<f32>],
        offsets: Option<&[f32]>,
        batch_size: usize,
    ) -> Result<(), DeviceError> {
        if self.training.is_none() {
            let device = self.device.clone();
            let training = moue_gpu::GpuTraining::new(device, network, optimizer, average, offsets, batch_size);
            self.training = Some(training?);
        }
        Ok(())
    }

    /// Frees the memory of the steps.
    pub fn end(&mut self) {
        self.training = None;
    }

    /// Number of steps of the optimizer.
    pub fn steps(&self) -> u64 {
        self.training.as_ref().map_or(0, moue_gpu::GpuTraining::steps)
    }

    /// Images whose metrics are not read.
    pub fn unread(&self) -> usize {
        self.unread
    }

    /// Trains on images. `share` is that of the new weights in the moving average.
    pub fn step(&mut self, images: &Images<'_>, learning_rate: f32, share: f32) -> Result<(), DeviceError> {
        let Some(training) = &mut self.training else { return Ok(()) };
        let &Images { images, keys, labels, targets, weights } = images;
        self.unread += images.batch();
        let batch = moue_gpu::Batch { images, keys, labels, targets, weights };
        Ok(training.step(&batch, learning_rate, share)?)
    }

    /// The loss and the number of correct predictions of the images since the last call.
    pub fn metrics(&mut self) -> Result<[f64; 2], DeviceError> {
        let Some(training) = &mut self.training else { return Ok([0.0; 2]) };
        let metrics = training.metrics()?;
        self.unread = 0;
        Ok([metrics.loss, metrics.correct as f64])
    }

    /// Replaces the weights and the states by those of the GPU.
    pub fn read(
        &mut self,
        network: &mut Network,
        optimizer: &mut Optimizer,
        average: &mut [Vec<f32>],
    ) -> Result<(), DeviceError> {
        let Some(training) = &mut self.training else { return Ok(()) };
        Ok(training.read(network, optimizer, average)?)
    }
}

/// There is no GPU in a build without the feature.
#[cfg(not(feature = "gpu"))]
pub enum Gpu {}

#[cfg(not(feature = "gpu"))]
impl Gpu {
    pub fn of(_: &Device) -> Option<Self> {
        None
    }

    pub fn begin(
        &mut self,
        _: &Network,
        _: &Optimizer,
        _: &[Vec<f32>],
        _: Option<&[f32]>,
        _: usize,
    ) -> Result<(), DeviceError> {
        match *self {}
    }

    pub fn end(&mut self) {
        match *self {}
    }

    pub fn steps(&self) -> u64 {
        match *self {}
    }

    pub fn unread(&self) -> usize {
        match *self {}
    }

    pub fn step(&mut self, _: &Images<'_>, _: f32, _: f32) -> Result<(), DeviceError> {
        match *self {}
    }

    pub fn metrics(&mut self) -> Result<[f64; 2], DeviceError> {
        match *self {}
    }

    pub fn read(&mut self, _: &mut Network, _: &mut Optimizer, _: &mut [Vec<f32>]) -> Result<(), DeviceError> {
        match *self {}
    }
}
