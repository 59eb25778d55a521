//! An open device: buffers, pipelines and submissions, and what went wrong with them.
//!
//! `wgpu` reports errors to handlers, and panics where there is none; here they become an [`Error`] of the call that
//! caused them.

use crate::adapter::{self, Adapter, ready};
use crate::error::Error;
use crate::kernel::Kernel;
use std::collections::HashMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// How long is waited for a submission. Its work, and that of the two before it, is limited to what takes seconds on a slow
/// processor.
const LONGEST: Duration = Duration::from_mins(2);

/// An open GPU.
pub struct Device {
    adapter: Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    bindings: wgpu::BindGroupLayout,
    layout: wgpu::PipelineLayout,
    pipelines: Mutex<HashMap<Kernel, wgpu::ComputePipeline>>,
    /// The first error that `wgpu` reported outside of a call that waits for it.
    fault: Arc<Mutex<Option<Error>>>,
    longest: Duration,
}

impl Device {
    /// Opens the adapter of this number; without one the first discrete GPU, or else the first of the best kind.
    ///
    /// # Errors
    /// When there is no such adapter, or the driver does not open it.
    pub fn open(index: Option<usize>) -> Result<Self, Error> {
        let (adapter, handle) = adapter::select(index)?;
        let descriptor = wgpu::DeviceDescriptor { required_limits: handle.limits(), ..Default::default() };
        let failed = |reason: String| Error::Open { adapter: adapter.to_string(), reason };
        let opened = ready(handle.request_device(&descriptor));
        let (device, queue) = opened
            .ok_or_else(|| failed("the driver did not respond".into()))?
            .map_err(|error| failed(error.to_string()))?;

        let fault = Arc::new(Mutex::new(None));
        device.on_uncaptured_error(Arc::new({
            let (fault, name) = (Arc::clone(&fault), adapter.to_string());
            move |error| record(&fault, Error::Driver { adapter: name.clone(), reason: error.to_string() })
        }));
        device.set_device_lost_callback({
            let (fault, name) = (Arc::clone(&fault), adapter.to_string());
            move |_, reason| record(&fault, Error::Lost { adapter: name.clone(), reason })
        });

        let bindings = device.create_bind_group_layout(&bindings());
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let opened =
            Self { adapter, device, queue, bindings, layout, pipelines: Mutex::default(), fault, longest: LONGEST };
        opened.check()?;
        Ok(opened)
    }

    /// The adapter.
    #[must_use]
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Frees the device: networks on it return [`Error::Lost`] from now on.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    pub(crate) fn limits(&self) -> wgpu::Limits {
        self.device.limits()
    }

    /// A buffer of this many bytes.
    pub(crate) fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
        let limits = self.limits();
        // A binding has at least one value.
        let size = bytes.max(4);
        if size > limits.max_buffer_size || size > limits.max_storage_buffer_binding_size {
            return Err(self.out_of_memory(bytes));
        }
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer =
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        if ready(memory.pop()).flatten().is_some() {
            return Err(self.out_of_memory(bytes));
        }
        self.check()?;
        Ok(buffer)
    }

    /// A storage buffer with these values.
    pub(crate) fn filled(&self, values: &[f32]) -> Result<wgpu::Buffer, Error> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let buffer = self.buffer(size_of_val(values) as u64, usage)?;
        self.write(&buffer, bytemuck::cast_slice(values));
        Ok(buffer)
    }

    /// Writes bytes to the start of a buffer, before the next submission.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        self.queue.write_buffer(buffer, 0, bytes);
    }

    /// The pipeline of a kernel, compiled at its first use.
    pub(crate) fn pipeline(&self, kernel: Kernel) -> Result<wgpu::ComputePipeline, Error> {
        let mut pipelines = lock(&self.pipelines);
        if let Some(pipeline) = pipelines.get(&kernel) {
            return Ok(pipeline.clone());
        }
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(kernel.source().into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&self.layout),
            module: &module,
            entry_point: Some("main"),
            // Kernels write the memory of a workgroup before they read it.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        self.check()?;
        Ok(pipelines.entry(kernel).or_insert(pipeline).clone())
    }

    /// The buffers of a launch: its parameters, three that it reads, and its output.
    pub(crate) fn bind(&self, buffers: [wgpu::BufferBinding<'_>; 5]) -> wgpu::BindGroup {
        let entries = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer) });
        let entries: Vec<_> = entries.collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &self.bindings, entries: &entries };
        self.device.create_bind_group(&descriptor)
    }

    /// Runs launches in order.
    pub(crate) fn submit<'a>(
        &self,
        launches: impl Iterator<Item = (&'a wgpu::ComputePipeline, &'a wgpu::BindGroup, [u32; 3])>,
    ) -> Result<wgpu::SubmissionIndex, Error> {
        let mut encoder = self.encoder();
        encode(&mut encoder, launches);
        let index = self.queue.submit([encoder.finish()]);
        self.check()?;
        Ok(index)
    }

    /// Runs launches in order, copies the first `bytes` of a buffer to another one, and passes them to `read`.
    pub(crate) fn run<'a>(
        &self,
        launches: impl Iterator<Item = (&'a wgpu::ComputePipeline, &'a wgpu::BindGroup, [u32; 3])>,
        [from, to]: [&wgpu::Buffer; 2],
        bytes: u64,
        read: impl FnOnce(&[u8]),
    ) -> Result<(), Error> {
        let mut encoder = self.encoder();
        encode(&mut encoder, launches);
        encoder.copy_buffer_to_buffer(from, 0, to, 0, bytes);
        let index = self.queue.submit([encoder.finish()]);
        self.check()?;

        let (sender, receiver) = mpsc::channel();
        let part = to.slice(..bytes);
        part.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver may be gone after a timeout.
            let _ = sender.send(result);
        });
        self.wait(index)?;
        self.check()?;
        // Another thread that waits for the device may be the one that calls back.
        let mapped =
            receiver.recv_timeout(self.longest).ok().and_then(Result::ok).and_then(|()| part.get_mapped_range().ok());
        let mapped = mapped.ok_or_else(|| self.failed("the result cannot be read"))?;
        read(&mapped);
        drop(mapped);
        to.unmap();
        Ok(())
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Waits for a submission.
    pub(crate) fn wait(&self, index: wgpu::SubmissionIndex) -> Result<(), Error> {
        // `wgpu` panics when the device is lost while it waits.
        let poll = |how| catch_unwind(AssertUnwindSafe(|| self.device.poll(how)));
        let adapter = self.adapter.to_string();
        let error = match poll(wgpu::PollType::Wait { submission_index: Some(index), timeout: Some(self.longest) }) {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(wgpu::PollError::Timeout)) => {
                // `wgpu` waits without end when the last handle is dropped.
                mem::forget((self.device.clone(), self.queue.clone()));
                Error::Timeout { adapter, seconds: self.longest.as_secs() }
            }
            // A device that is lost takes no submission; it is reported by the next poll.
            Ok(Err(wgpu::PollError::WrongSubmissionIndex(..))) | Err(_) => {
                let _ = poll(wgpu::PollType::Poll);
                Error::Lost { adapter, reason: "it takes no submissions".into() }
            }
        };
        record(&self.fault, error);
        self.check()
    }

    /// The error of this device, if it has one: later calls return it too.
    pub(crate) fn check(&self) -> Result<(), Error> {
        lock(&self.fault).clone().map_or(Ok(()), Err)
    }

    pub(crate) fn out_of_memory(&self, bytes: u64) -> Error {
        Error::OutOfMemory { adapter: self.adapter.to_string(), bytes }
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Driver { adapter: self.adapter.to_string(), reason: reason.to_owned() }
    }
}

fn encode<'a>(
    encoder: &mut wgpu::CommandEncoder,
    launches: impl Iterator<Item = (&'a wgpu::ComputePipeline, &'a wgpu::BindGroup, [u32; 3])>,
) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    for (pipeline, group, [x, y, z]) in launches {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A whole buffer.
pub(crate) fn whole(buffer: &wgpu::Buffer) -> wgpu::BufferBinding<'_> {
    wgpu::BufferBinding { buffer, offset: 0, size: None }
}

/// Parameters, three buffers that are read, and one that is written: the layout of all kernels.
fn bindings() -> wgpu::BindGroupLayoutDescriptor<'static> {
    const fn entry(binding: u32, ty: wgpu::BufferBindingType) -> wgpu::BindGroupLayoutEntry {
        wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        }
    }
    const READ: wgpu::BufferBindingType = wgpu::BufferBindingType::Storage { read_only: true };
    const WRITE: wgpu::BufferBindingType = wgpu::BufferBindingType::Storage { read_only: false };
    const ENTRIES: [wgpu::BindGroupLayoutEntry; 5] =
        [entry(0, wgpu::BufferBindingType::Uniform), entry(1, READ), entry(2, READ), entry(3, READ), entry(4, WRITE)];
    wgpu::BindGroupLayoutDescriptor { label: None, entries: &ENTRIES }
}

/// Keeps the first error.
fn record(fault: &Mutex<Option<Error>>, error: Error) {
    lock(fault).get_or_insert(error);
}

/// A lock that a panic of another thread has not made useless: the data is valid at all times.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::GpuNetwork;
    use moue_engine::layers::{ActivationLayer, Conv2d, Conv2dOptions, Initializer, Sequence, UpSampling2d};
    use moue_engine::random::Stream;
    use moue_engine::{Activation, Layer, Network, Padding, Shape, Tensor};

    fn opened() -> Option<Device> {
        let device = Device::open(None);
        if device == Err(Error::NoAdapter) {
            println!("SKIPPED: no adapter");
        }
        device.ok()
    }

    impl PartialEq for Device {
        fn eq(&self, other: &Self) -> bool {
            std::ptr::eq(self, other)
        }
    }

    impl std::fmt::Debug for Device {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.adapter.fmt(f)
        }
    }

    fn of(layer: impl Layer + 'static) -> Network {
        Network::new(Sequence::new("model", layer.input_shape(), vec![Box::new(layer)]))
    }

    #[test]
    fn a_submission_without_end_is_an_error() {
        let Some(mut device) = opened() else { return };
        device.longest = Duration::ZERO;
        let input = Shape::new(48, 48, 32);
        let options = Conv2dOptions {
            filters: 64,
            kernel_size: [5, 5],
            strides: [1, 1],
            padding: Padding::Same,
            use_bias: false,
            activation: Activation::Linear,
            initializer: Initializer::HeNormal,
        };
        let network = of(Conv2d::new("conv2d", input, options, &mut Stream::new(0)).unwrap());
        let gpu = GpuNetwork::new(Arc::new(device), &network).unwrap();
        let x = Tensor::zeros(8, input);
        let error = gpu.run(&x).unwrap_err();
        assert!(matches!(error, Error::Timeout { seconds: 0, .. }), "{error}");
        assert_eq!(gpu.run(&x).unwrap_err(), error, "the device is not used again");
    }

    #[test]
    fn a_lost_device_is_an_error() {
        let Some(device) = opened() else { return };
        let network = of(ActivationLayer::new("relu", Shape::flat(3), Activation::Relu));
        let gpu = GpuNetwork::new(Arc::new(device), &network).unwrap();
        let x = Tensor::from_slice(1, Shape::flat(3), &[-1.0, 0.0, 2.0]);
        assert_eq!(gpu.run(&x).unwrap().data(), [0.0, 0.0, 2.0]);
        gpu.device().destroy();
        let error = gpu.run(&x).unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
    }

    #[test]
    fn a_map_that_is_too_large_is_an_error() {
        let Some(device) = opened() else { return };
        let network = of(UpSampling2d::new("up", Shape::new(64, 64, 512), [64, 64]).unwrap());
        let error = GpuNetwork::new(Arc::new(device), &network).err().unwrap();
        assert!(matches!(error, Error::OutOfMemory { bytes: 34_359_738_368, .. }), "{error}");
    }

    #[test]
    fn a_batch_without_memory_is_divided() {
        let Some(device) = opened() else { return };
        let bytes = device.limits().max_storage_buffer_binding_size.min(1 << 31);
        // Three images do not fit one binding.
        let side = ((bytes / 4 / 5) as f64).sqrt() as usize;
        let input = Shape::new(side, side / 2, 1);
        let network = of(UpSampling2d::new("up", input, [2, 2]).unwrap());
        let gpu = GpuNetwork::new(Arc::new(device), &network).unwrap();
        let mut x = Tensor::zeros(3, input);
        let values = x.data_mut();
        (0..3).for_each(|image| values[(image + 1) * input.len() - 1] = image as f32 + 1.0);
        let y = gpu.run(&x).unwrap();
        let ends: Vec<f32> = (0..3).map(|image| y.data()[(image + 1) * 4 * input.len() - 1]).collect();
        assert_eq!(ends, [1.0, 2.0, 3.0]);
    }
}
