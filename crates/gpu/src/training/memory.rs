//! The memory of a training, and how its launches are bound to it.

use super::parameters::Layout;
use super::tape::{Launch, Place};
use crate::device::{Device, whole};
use crate::error::Error;
use crate::kernel::{Kernel, Params};
use crate::packed::{params_of, stride};
use std::mem::size_of;

/// A launch that is ready to run.
pub type Run = (wgpu::ComputePipeline, wgpu::BindGroup);

/// What a launch reads and writes.
type Bindings<'a> = [wgpu::BufferBinding<'a>; 4];

/// The buffers.
pub struct Memory {
    pub slots: Vec<wgpu::Buffer>,
    pub fixed: Vec<wgpu::Buffer>,
    /// Sections: parameters, moments, average.
    pub state: wgpu::Buffer,
    pub gradients: wgpu::Buffer,
    pub options: wgpu::Buffer,
    pub params: wgpu::Buffer,
}

impl Memory {
    /// Buffers for this many images and launches.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn new(
        device: &Device,
        slots: &[usize],
        fixed: &[usize],
        layout: &Layout,
        sections: usize,
        (images, launches): (usize, usize),
    ) -> Result<Self, Error> {
        use wgpu::BufferUsages as Usage;
        let storage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        let buffer = |values: usize| {
            let bytes = (values * size_of::<f32>()) as u64;
            // The shaders compute places with numbers of 32 bits.
            if bytes > i32::MAX as u64 { Err(device.out_of_memory(bytes)) } else { device.buffer(bytes, storage) }
        };
        let limits = device.limits();
        Ok(Self {
            slots: slots.iter().map(|&values| buffer(values * images)).collect::<Result<_, _>>()?,
            fixed: fixed.iter().map(|&values| buffer(values)).collect::<Result<_, _>>()?,
            state: buffer(sections * layout.len)?,
            gradients: buffer(layout.len)?,
            options: buffer(2 * layout.len)?,
            params: device.buffer((launches * stride(&limits)) as u64, Usage::UNIFORM | Usage::COPY_DST)?,
        })
    }

    fn binding(&self, place: Place) -> wgpu::BufferBinding<'_> {
        let from = |buffer, offset: usize| wgpu::BufferBinding {
            buffer,
            offset: (offset * size_of::<f32>()) as u64,
            size: None,
        };
        match place {
            Place::Map(slot) => whole(&self.slots[slot]),
            Place::Fixed(index) => whole(&self.fixed[index]),
            Place::Parameters(offset) => from(&self.state, offset),
            Place::Gradients(offset) => from(&self.gradients, offset),
        }
    }

    /// What launches read and write.
    pub fn bindings<'a>(&'a self, launches: &'a [Launch]) -> impl Iterator<Item = (Kernel, Bindings<'a>)> {
        launches.iter().map(|launch| {
            let [x, weights, other] = launch.reads.map(|place| self.binding(place));
            (launch.kernel, [x, weights, other, self.binding(launch.write)])
        })
    }

    /// The norm of the gradients, its sum, and the step of the optimizer.
    pub fn optimizer(&self, norm: usize) -> [(Kernel, Bindings<'_>); 3] {
        let [gradients, options, state] = [&self.gradients, &self.options, &self.state].map(whole);
        let [partial, norm] = [0, norm].map(|index| whole(&self.fixed[index]));
        [
            (Kernel::Norm, [gradients.clone(), options.clone(), state.clone(), partial.clone()]),
            (Kernel::Fold, [partial.clone(), partial.clone(), partial, norm.clone()]),
            (Kernel::Update, [gradients, options, norm, state]),
        ]
    }

    /// The pipelines and the buffers of launches, whose parameters follow each other.
    pub fn runs<'a>(
        &self,
        device: &Device,
        launches: impl Iterator<Item = (Kernel, Bindings<'a>)>,
    ) -> Result<Vec<Run>, Error> {
        let limits = device.limits();
        let runs = launches.enumerate().map(|(i, (kernel, [x, weights, other, y]))| {
            let group = device.bind([params_of(&self.params, i, &limits), x, weights, other, y]);
            Ok((device.pipeline(kernel)?, group))
        });
        let runs = runs.collect::<Result<_, _>>()?;
        device.check()?;
        Ok(runs)
    }

    /// The first values of a buffer.
    pub fn read(device: &Device, buffer: &wgpu::Buffer, values: usize) -> Result<Vec<f32>, Error> {
        let bytes = (values * size_of::<f32>()) as u64;
        let copy = device.buffer(bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?;
        let mut read = Vec::new();
        device.run(std::iter::empty(), [buffer, &copy], bytes, |bytes| read = bytemuck::pod_collect_to_vec(bytes))?;
        Ok(read)
    }
}

/// The parameters of a launch for a batch.
pub fn of_batch(launch: &Launch, images: usize) -> Params {
    let params = Params { rows: launch.params.rows * images as u32, ..launch.params };
    if launch.splits == 0 {
        return params;
    }
    let chunk = params.rows.div_ceil(launch.splits as u32).max(1).next_multiple_of(16);
    Params { chunk, ..params }
}
