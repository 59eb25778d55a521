//! A pool of memory for the tensors of a network.
//!
//! Activations and gradients are taken from the pool and given back as soon as they are not needed,
//! so a training step uses little more memory than the activations that its backward pass reads.
//! After one step with the largest batch, further steps in f32 allocate nothing (in bf16, only small tables).

use crate::buffer::Buffer;
use crate::precision::Precision;
use crate::tensor::{Shape, Tensor, buffer_len};
use std::sync::Mutex;

/// A pool of tensors.
#[derive(Default)]
pub struct Workspace {
    free: Vec<Buffer>,
}

impl Workspace {
    /// Takes a tensor of this size; its values are unspecified (but initialized).
    pub fn take(&mut self, batch: usize, shape: Shape) -> Tensor {
        self.take_as(batch, shape, Precision::F32)
    }

    /// [`Self::take`] with values of this precision.
    pub(crate) fn take_as(&mut self, batch: usize, shape: Shape, precision: Precision) -> Tensor {
        let buffer = self.take_buffer(buffer_len(batch * shape.len(), precision));
        Tensor::from_buffer(batch, shape, precision, buffer)
    }

    /// Takes memory of at least this length; its values are unspecified (but initialized).
    pub(crate) fn take_buffer(&mut self, len: usize) -> Buffer {
        let fitting = self.free.iter().enumerate().filter(|(_, buffer)| buffer.len() >= len);
        match fitting.min_by_key(|(_, buffer)| buffer.len()).map(|(i, _)| i) {
            Some(i) => self.free.swap_remove(i),
            None => {
                // It replaces the largest one, so that tensors of rising sizes leave a constant number of buffers.
                let largest = self.free.iter().enumerate().max_by_key(|(_, buffer)| buffer.len());
                if let Some(i) = largest.map(|(i, _)| i) {
                    self.free.swap_remove(i);
                }
                Buffer::zeros(len)
            }
        }
    }

    /// Takes a copy of a tensor with values of this precision.
    pub(crate) fn take_copy(&mut self, of: &Tensor, precision: Precision) -> Tensor {
        let mut copy = self.take_as(of.batch(), of.shape(), precision);
        copy.convert_from(of);
        copy
    }

    /// The tensor with values of this precision.
    pub(crate) fn convert(&mut self, tensor: Tensor, precision: Precision) -> Tensor {
        if tensor.precision() == precision {
            return tensor;
        }
        let copy = self.take_copy(&tensor, precision);
        self.give(tensor);
        copy
    }

    /// Gives a tensor's memory back.
    pub fn give(&mut self, tensor: Tensor) {
        self.give_buffer(tensor.into_buffer());
    }

    /// Gives memory back.
    pub(crate) fn give_buffer(&mut self, buffer: Buffer) {
        if !buffer.is_empty() {
            self.free.push(buffer);
        }
    }
}

/// The workspaces of threads that share a network: each thread takes one that is free, or a new one.
#[derive(Default)]
pub struct WorkspacePool {
    free: Mutex<Vec<Workspace>>,
}

impl WorkspacePool {
    /// Calls `run` with a workspace that no other thread uses.
    pub fn with<R>(&self, run: impl FnOnce(&mut Workspace) -> R) -> R {
        // The lock is not held while the network runs: a thread that waits for other threads may
        // take another task of the pool, which would wait for the lock that this thread holds.
        let free = self.free.lock().ok().and_then(|mut free| free.pop());
        let mut workspace = free.unwrap_or_default();
        let result = run(&mut workspace);
        if let Ok(mut free) = self.free.lock() {
            free.push(workspace);
        }
        result
    }

    /// Frees the memory of the workspaces that are not in use.
    pub fn clear(&self) {
        if let Ok(mut free) = self.free.lock() {
            *free = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reused() {
        let mut workspace = Workspace::default();
        let (large, small) = (workspace.take(2, Shape::flat(100)), workspace.take(1, Shape::flat(10)));
        let at = (large.data().as_ptr(), small.data().as_ptr());
        workspace.give(large);
        workspace.give(small);
        // The smallest tensor that fits is taken.
        assert_eq!(workspace.take(1, Shape::flat(9)).data().as_ptr(), at.1);
        let again = workspace.take(1, Shape::flat(150));
        assert_eq!((again.data().as_ptr(), again.data().len()), (at.0, 150));
    }

    #[test]
    fn rising_sizes_leave_a_constant_number_of_buffers() {
        let mut workspace = Workspace::default();
        for size in (100..2000).step_by(100) {
            let pair = [size, size / 2].map(|size| workspace.take(1, Shape::flat(size)));
            pair.into_iter().for_each(|tensor| workspace.give(tensor));
        }
        assert!(workspace.free.len() <= 2, "{}", workspace.free.len());
    }

    #[test]
    fn a_pool_keeps_memory_until_it_is_cleared() {
        let pool = WorkspacePool::default();
        let write = |workspace: &mut Workspace| {
            let mut tensor = workspace.take(1, Shape::flat(10));
            let before = tensor.data()[0];
            tensor.data_mut()[0] = 1.0;
            workspace.give(tensor);
            before
        };
        assert_eq!([pool.with(write), pool.with(write)], [0.0, 1.0]);
        pool.clear();
        assert_eq!(pool.with(write), 0.0);
        // Two threads at the same time have different workspaces.
        assert_eq!(pool.with(|_| pool.with(write)), 0.0);
    }
}
