//! NHWC tensors in memory aligned to 64 bytes. Their values are `f32`; between layers of a network they may be bf16.
//!
//! A tensor has no arithmetic; kernels compute with its values.

use crate::buffer::Buffer;
use crate::kernels::element::{self, Element, with_element};
use crate::precision::Precision;
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
    precision: Precision,
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
        Self { batch, shape, precision: Precision::F32, data: Buffer::zeros(batch * shape.len()) }
    }

    /// A tensor with these values.
    ///
    /// # Panics
    /// When `values.len()` is not `batch × shape.len()`.
    #[must_use]
    pub fn from_slice(batch: usize, shape: Shape, values: &[f32]) -> Self {
        assert_eq!(values.len(), batch * shape.len(), "the number of values does not match the shape");
        Self { batch, shape, precision: Precision::F32, data: Buffer::from_slice(values) }
    }

    /// Resizes the tensor. Memory only grows; the values are unspecified (but initialized)
    /// afterwards.
    pub fn reset(&mut self, batch: usize, shape: Shape) {
        self.reset_to(batch, shape, Precision::F32);
    }

    /// [`Self::reset`] to values of this precision.
    fn reset_to(&mut self, batch: usize, shape: Shape, precision: Precision) {
        self.batch = batch;
        self.shape = shape;
        self.precision = precision;
        let needed = buffer_len(batch * shape.len(), precision);
        if self.data.len() < needed {
            self.data.resize(needed);
        }
    }

    /// Keeps only the first `batch` maps.
    pub fn shrink(&mut self, batch: usize) {
        self.batch = self.batch.min(batch);
    }

    /// A tensor in a buffer of sufficient size.
    pub(crate) fn from_buffer(batch: usize, shape: Shape, precision: Precision, data: Buffer) -> Self {
        let mut tensor = Self { batch, shape, precision, data };
        tensor.reset_to(batch, shape, precision);
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
        self.values()
    }

    /// All values, NHWC.
    pub fn data_mut(&mut self) -> &mut [f32] {
        self.values_mut()
    }

    /// Copies size and values of another tensor.
    pub fn copy_from(&mut self, other: &Self) {
        self.reset(other.batch, other.shape);
        self.convert_from(other);
    }

    /// The type of the values.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether the values are f32, as those of every tensor outside of a network.
    pub(crate) fn is_f32(&self) -> bool {
        self.precision == Precision::F32
    }

    /// All values, NHWC.
    ///
    /// # Panics
    /// When the values have another type.
    pub(crate) fn values<E: Element>(&self) -> &[E] {
        assert_eq!(self.precision, E::PRECISION, "the values of a tensor have another type");
        &bytemuck::cast_slice(&self.data)[..self.batch * self.shape.len()]
    }

    /// All values, NHWC.
    ///
    /// # Panics
    /// When the values have another type.
    pub(crate) fn values_mut<E: Element>(&mut self) -> &mut [E] {
        assert_eq!(self.precision, E::PRECISION, "the values of a tensor have another type");
        &mut bytemuck::cast_slice_mut(&mut self.data)[..self.batch * self.shape.len()]
    }

    /// Copies the values of a tensor of the same size, rounded to the type of this one.
    pub(crate) fn convert_from(&mut self, other: &Self) {
        with_element!(other, A => with_element!(self, B => element::convert(other.values::<A>(), self.values_mut::<B>())));
    }
}

/// Length of the buffer of that many values.
pub(crate) fn buffer_len(values: usize, precision: Precision) -> usize {
    match precision {
        Precision::F32 => values,
        Precision::Bf16 => values.div_ceil(2),
    }
}
