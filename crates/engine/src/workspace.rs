//! A pool of memory for the tensors of a network.
//!
//! Activations and gradients are taken from the pool and given back as soon as they are not needed,
//! so a training step uses little more memory than the activations that its backward pass reads.
//! After one step with the largest batch, further steps allocate nothing.

use crate::buffer::Buffer;
use crate::tensor::{Shape, Tensor};

/// A pool of tensors.
#[derive(Default)]
pub struct Workspace {
    free: Vec<Buffer>,
}

impl Workspace {
    /// Takes a tensor of this size; its values are unspecified (but initialized).
    pub fn take(&mut self, batch: usize, shape: Shape) -> Tensor {
        let len = batch * shape.len();
        let fitting = self.free.iter().enumerate().filter(|(_, buffer)| buffer.len() >= len);
        match fitting.min_by_key(|(_, buffer)| buffer.len()).map(|(i, _)| i) {
            Some(i) => Tensor::from_buffer(batch, shape, self.free.swap_remove(i)),
            None => Tensor::zeros(batch, shape),
        }
    }

    /// Gives a tensor's memory back.
    pub fn give(&mut self, tensor: Tensor) {
        let buffer = tensor.into_buffer();
        if !buffer.is_empty() {
            self.free.push(buffer);
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
}
