//! Memory for values and gradients, aligned to 64 bytes: a cache line, and the longest vector.

use rayon::prelude::*;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Bytes to which the first value is aligned.
const ALIGNMENT: usize = 64;

/// Values that one task copies.
const CHUNK: usize = 64 * 1024;

/// A number of values, the first of which is aligned to 64 bytes.
///
/// New memory is zero but has not been written: the operating system provides its pages when the
/// threads of a kernel write to them, so in parallel.
#[derive(Default)]
pub struct Buffer {
    /// Contains the values from `first` on.
    memory: Vec<f32>,
    first: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        if len == 0 {
            return Self::default();
        }
        let memory = vec![0.0; len + ALIGNMENT / size_of::<f32>() - 1];
        let first = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, first, len }
    }

    /// A copy of these values.
    #[must_use]
    pub fn from_slice(values: &[f32]) -> Self {
        let mut buffer = Self::zeros(values.len());
        let parts = buffer.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
        parts.for_each(|(to, from)| to.copy_from_slice(from));
        buffer
    }

    /// Changes the number of values; their values are unspecified (but initialized) afterwards.
    /// Memory only grows.
    pub fn resize(&mut self, len: usize) {
        if len > self.memory.len() - self.first {
            *self = Self::zeros(len);
        }
        self.len = len;
    }

    /// The first `len` values, after growing if needed.
    pub(crate) fn grown(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            self.resize(len);
        }
        &mut self[..len]
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.first..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.first..][..self.len]
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::from_slice(self)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_aligned_and_has_its_length() {
        for len in [0, 1, 15, 16, 17, 1000, 1 << 20] {
            let mut buffer = Buffer::zeros(len);
            assert!(buffer.len() == len && buffer.iter().all(|&value| value == 0.0));
            buffer.iter_mut().enumerate().for_each(|(i, value)| *value = i as f32);
            for copy in [buffer.clone(), Buffer::from_slice(&buffer)] {
                assert_eq!(*copy, *buffer);
                assert!(len == 0 || (copy.as_ptr() as usize).is_multiple_of(ALIGNMENT));
            }
        }
    }

    #[test]
    fn a_smaller_or_equal_size_keeps_the_memory() {
        let mut buffer = Buffer::zeros(100);
        let place = buffer.as_ptr();
        for len in [100, 3, 80, 0, 100] {
            buffer.resize(len);
            assert_eq!((buffer.len(), buffer.as_ptr()), (len, place));
        }
        buffer.resize(10_000);
        assert!(buffer.len() == 10_000 && (buffer.as_ptr() as usize).is_multiple_of(ALIGNMENT));
    }
}
