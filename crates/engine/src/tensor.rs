//! NHWC tensors of `f32` in memory aligned to 64 bytes.
//!
//! A tensor has no arithmetic; kernels compute with its values.

use crate::buffer::Buffer;
use std::fmt;

/// The shape of one image or feature map: `[height, width, channels]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels, innermost in memory.
    pub channels: usize,
}

impl Shape {
    /// The shape of a map: `height × width × channels`.
    #[must_use]
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// The shape of a flat vector: `1 × 1 × units`.
    #[must_use]
    pub const fn flat(units: usize) -> Self {
        Self::new(1, 1, units)
    }

    /// Values in one map.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether a map of this shape has no values.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions in one map: `height × width`.
    #[must_use]
    pub const fn positions(&self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// A batch of maps, `[N, H, W, C]`, channels innermost.
#[derive(Clone, Debug)]
pub struct Tensor {
    batch: usize,
    shape: Shape,
    /// May be longer than the tensor; see [`Self::data`].
    data: Buffer,
}

impl Default for Tensor {
    fn default() -> Self {
        Self::zeros(0, Shape::default())
    }
}

impl Tensor {
    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(batch: usize, shape: Shape) -> Self {
        Self { batch, shape, data: Buffer::zeros(batch * shape.len()) }
    }

    /// A tensor with these values.
    ///
    /// # Panics
    /// When `values.len()` is not `batch × shape.len()`.
    #[must_use]
    pub fn from_slice(batch: usize, shape: Shape, values: &[f32]) -> Self {
        assert_eq!(values.len(), batch * shape.len(), "the number of values does not match the shape");
        Self { batch, shape, data: Buffer::from_slice(values) }
    }

    /// Resizes the tensor. Memory only grows; the values are unspecified (but initialized)
    /// afterwards.
    pub fn reset(&mut self, batch: usize, shape: Shape) {
        self.batch = batch;
        self.shape = shape;
        if self.data.len() < batch * shape.len() {
            self.data.resize(batch * shape.len());
        }
    }

    /// Keeps only the first `batch` maps.
    pub fn shrink(&mut self, batch: usize) {
        self.batch = self.batch.min(batch);
    }

    /// A tensor in a buffer of sufficient size.
    pub(crate) fn from_buffer(batch: usize, shape: Shape, data: Buffer) -> Self {
        let mut tensor = Self { batch, shape, data };
        tensor.reset(batch, shape);
        tensor
    }

    /// The memory, which may be longer than the tensor.
    pub(crate) fn into_buffer(self) -> Buffer {
        self.data
    }

    /// Reshapes the maps to another shape of the same length.
    pub(crate) fn reshaped(mut self, shape: Shape) -> Self {
        debug_assert_eq!(shape.len(), self.shape.len());
        self.shape = shape;
        self
    }

    /// Maps in the batch (`N`).
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Shape of one map.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Rows when read as a matrix `[N·H·W, C]`.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batch * self.shape.positions()
    }

    /// All values, NHWC.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data[..self.batch * self.shape.len()]
    }

    /// All values, NHWC.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.batch * self.shape.len()]
    }

    /// Copies size and values of another tensor.
    pub fn copy_from(&mut self, other: &Self) {
        self.reset(other.batch, other.shape);
        self.data_mut().copy_from_slice(other.data());
    }
}
