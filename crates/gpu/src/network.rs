//! A network on a GPU.
//!
//! `plan` decides what is launched; here are the weights, the memory of a batch, and the batches themselves.

use crate::device::{Device, lock, whole};
use crate::error::Error;
use crate::kernel::Params;
use crate::packed::{Packed, params_of, stride};
use crate::plan::Plan;
use moue_engine::{Network, Shape, Tensor, inference};
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Multiply-adds of a submission: drivers reset a device that computes for seconds.
pub const MACS_AT_ONCE: u64 = 1 << 33;

/// Most images of a submission.
const IMAGES_AT_ONCE: usize = 1024;

/// A network for inference on a GPU, in f32. Threads may share it; their batches are computed one after the other.
pub struct GpuNetwork {
    device: Arc<Device>,
    input: Shape,
    plan: Plan,
    pipelines: Vec<wgpu::ComputePipeline>,
    /// The weights of each launch that has some.
    weights: Vec<Option<wgpu::Buffer>>,
    /// Most images of a submission; fewer when the device had no memory for more.
    at_once: AtomicUsize,
    memory: Mutex<Option<Memory>>,
}

/// The buffers of a batch.
struct Memory {
    /// Images that they have room for.
    images: usize,
    slots: Vec<wgpu::Buffer>,
    params: wgpu::Buffer,
    result: wgpu::Buffer,
    groups: Vec<wgpu::BindGroup>,
}

impl GpuNetwork {
    /// Prepares a network's current weights. Later changes of the network have no effect.
    ///
    /// # Errors
    /// When the device cannot compile a kernel or has not enough memory for the weights.
    pub fn new(device: Arc<Device>, network: &Network) -> Result<Self, Error> {
        let limits = device.limits();
        let mut plan = Plan::new(&inference::steps(network), network.input_shape(), &limits);
        let pipelines =
            plan.launches.iter().map(|launch| device.pipeline(launch.kernel)).collect::<Result<Vec<_>, _>>()?;
        let upload = |values: Vec<f32>| (!values.is_empty()).then(|| device.filled(&values)).transpose();
        let weights = plan.launches.iter_mut().map(|launch| upload(std::mem::take(&mut launch.weights)));
        let weights = weights.collect::<Result<Vec<_>, _>>()?;
        let at_once = images_at_once(&plan, &limits);
        if at_once == 0 {
            let largest = plan.slots.iter().max().copied().unwrap_or_default();
            return Err(device.out_of_memory((largest * size_of::<f32>()) as u64));
        }
        let input = network.input_shape();
        let at_once = AtomicUsize::new(at_once);
        Ok(Self { device, input, plan, pipelines, weights, at_once, memory: Mutex::default() })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Shape of one image.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.input
    }

    /// Frees the memory that is kept for further batches.
    pub fn release_memory(&self) {
        *lock(&self.memory) = None;
    }

    /// Runs a batch `[N, H, W, C]` and returns its outputs `[N, 1, 1, classes]`. A batch that does not fit the device's
    /// memory is divided.
    ///
    /// # Errors
    /// When the device fails, does not finish in time, or has not enough memory for one image.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    pub fn run(&self, x: &Tensor) -> Result<Tensor, Error> {
        assert_eq!(x.shape(), self.input, "images of another shape than the network's");
        let mut memory = lock(&self.memory);
        let mut outputs = Tensor::zeros(x.batch(), self.plan.output_shape);
        let len = self.plan.output_shape.len();
        let mut first = 0;
        while first < x.batch() {
            let wanted = self.at_once.load(Ordering::Relaxed).min(x.batch() - first);
            let memory = self.room(&mut memory, wanted)?;
            let images = wanted.min(memory.images);
            let inputs = &x.data()[first * self.input.len()..][..images * self.input.len()];
            self.run_at_once(memory, images, inputs, &mut outputs.data_mut()[first * len..][..images * len])?;
            first += images;
        }
        Ok(outputs)
    }

    fn run_at_once(&self, memory: &Memory, images: usize, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        let mut packed = Packed::new(&self.device.limits());
        for launch in &self.plan.launches {
            packed.push(launch.kernel, &Params { rows: launch.params.rows * images as u32, ..launch.params });
        }
        self.device.write(&memory.params, &packed.bytes);
        self.device.write(&memory.slots[self.plan.input], bytemuck::cast_slice(x));
        let launches = self.pipelines.iter().zip(&memory.groups).zip(packed.workgroups);
        let launches = launches.map(|((pipeline, group), workgroups)| (pipeline, group, workgroups));
        let output = [&memory.slots[self.plan.output], &memory.result];
        self.device.run(launches, output, size_of_val(y) as u64, |bytes| {
            bytemuck::cast_slice_mut(y).copy_from_slice(bytes);
        })
    }

    /// The memory for a batch, with room for as many of its images as the device has memory for.
    fn room<'a>(&self, memory: &'a mut Option<Memory>, images: usize) -> Result<&'a Memory, Error> {
        self.device.check()?;
        // Buffers that are too small are freed before others are allocated.
        let kept = memory.take().filter(|memory| memory.images >= images);
        let found = match kept {
            Some(kept) => kept,
            None => self.allocate_most(images)?,
        };
        Ok(memory.insert(found))
    }

    /// Halves the number of images until the device has memory for them.
    fn allocate_most(&self, mut images: usize) -> Result<Memory, Error> {
        loop {
            match self.allocate(images) {
                Err(Error::OutOfMemory { .. }) if images > 1 => {
                    images /= 2;
                    self.at_once.store(images, Ordering::Relaxed);
                }
                result => return result,
            }
        }
    }

    fn allocate(&self, images: usize) -> Result<Memory, Error> {
        use wgpu::BufferUsages as Usage;
        let Self { device, plan, .. } = self;
        let bytes = |values: usize| (values * images * size_of::<f32>()) as u64;
        let maps = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        let slots = plan.slots.iter().map(|&values| device.buffer(bytes(values), maps));
        let slots = slots.collect::<Result<Vec<_>, _>>()?;
        let limits = device.limits();
        let params = device.buffer((plan.launches.len() * stride(&limits)) as u64, Usage::UNIFORM | Usage::COPY_DST)?;
        let result = device.buffer(bytes(plan.output_shape.len()), Usage::MAP_READ | Usage::COPY_DST)?;
        let groups = plan.launches.iter().zip(&self.weights).enumerate().map(|(i, (launch, weights))| {
            let x = &slots[launch.x];
            let other = launch.other.map_or(x, |slot| &slots[slot]);
            let [x, weights, other, y] = [x, weights.as_ref().unwrap_or(x), other, &slots[launch.y]].map(whole);
            device.bind([params_of(&params, i, &limits), x, weights, other, y])
        });
        let groups = groups.collect();
        device.check()?;
        Ok(Memory { images, slots, params, result, groups })
    }
}

/// Most images of a submission: their maps fit the device's bindings and the shaders' numbers, and the work a submission.
fn images_at_once(plan: &Plan, limits: &wgpu::Limits) -> usize {
    let largest = plan.slots.iter().max().copied().unwrap_or_default().max(1) as u64;
    let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(i32::MAX as u64);
    let by_memory = bytes / (largest * size_of::<f32>() as u64);
    let macs = plan.launches.iter().map(|launch| launch.macs).sum::<u64>().max(1);
    let by_work = (MACS_AT_ONCE / macs).max(1);
    by_memory.min(by_work).min(IMAGES_AT_ONCE as u64) as usize
}
