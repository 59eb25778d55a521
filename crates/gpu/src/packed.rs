//! The parameters of launches, one after the other as bindings need them, and their workgroups.

use crate::kernel::{Kernel, Params};
use std::mem::size_of;

/// The parameters and the workgroups of launches.
pub struct Packed {
    pub bytes: Vec<u8>,
    pub workgroups: Vec<[u32; 3]>,
    stride: usize,
    most: u32,
}

impl Packed {
    pub fn new(limits: &wgpu::Limits) -> Self {
        let most = limits.max_compute_workgroups_per_dimension;
        Self { bytes: Vec::new(), workgroups: Vec::new(), stride: stride(limits), most }
    }

    /// Adds a launch.
    pub fn push(&mut self, kernel: Kernel, params: &Params) {
        self.push_as(bytemuck::bytes_of(params), kernel.workgroups(params, self.most));
    }

    /// Adds a launch with parameters of another type, of the same size.
    pub fn push_as(&mut self, params: &[u8], workgroups: [u32; 3]) {
        self.bytes.extend_from_slice(params);
        self.bytes.resize(self.bytes.len().next_multiple_of(self.stride), 0);
        self.workgroups.push(workgroups);
    }
}

/// Bytes from the parameters of one launch to those of the next.
pub fn stride(limits: &wgpu::Limits) -> usize {
    size_of::<Params>().next_multiple_of(limits.min_uniform_buffer_offset_alignment as usize)
}

/// The parameters of the launch of this number.
pub fn params_of<'a>(buffer: &'a wgpu::Buffer, number: usize, limits: &wgpu::Limits) -> wgpu::BufferBinding<'a> {
    let size = size_of::<Params>() as u64;
    wgpu::BufferBinding { buffer, offset: (number * stride(limits)) as u64, size: size.try_into().ok() }
}
