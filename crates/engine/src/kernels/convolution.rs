//! Convolution with an algorithm selected by its shape: the output, the input's gradient and the
//! kernel's gradient.
//!
//! In f32, 3 × 3 kernels of stride 1 use [`winograd`], all others [`im2col`]; in bf16, all use [`bf16`]. The
//! selection depends on the shape alone ([`Convolution::new`]), so that the same network is always computed in the same way.

use super::activation::Activation;
use super::epilogue::Epilogue;
use super::window::Window;
use super::winograd::{self, Geometry, TileSize};
use super::{bf16, few_channels, im2col};
use crate::buffer::Buffer;
use crate::error::BuildError;
use crate::precision::Precision;
use crate::tensor::{Shape, Tensor};

/// Minimum number of channels, and of filters, for which Winograd is faster.
const FEWEST_FOR_WINOGRAD: usize = 8;

/// Minimum number of tiles of an image for Winograd at inference, by the side of the tile:
/// transformed filters are 4 times (4 × 4) or 16/9 times (2 × 2) as large as the kernel, and a
/// single image reads all of them for its few tiles.
const FEWEST_TILES: [(TileSize, usize); 2] = [(TileSize::Two, 4), (TileSize::Four, 9)];

/// A convolution: its geometry, its number of filters and its algorithm. Kernels are `[kernel
/// height, kernel width, channels, filters]`.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    pub window: Window,
    pub filters: usize,
    /// For the output and the kernel's gradient; `None` is matrix multiplication over patches.
    forward: Option<Geometry>,
    /// For the input's gradient.
    backward: Option<Geometry>,
}

impl Convolution {
    /// Selects the algorithm: Winograd where both sides have at least 8 channels, with the tile
    /// that needs fewer multiplications for this map (the smaller tile when equal, since its
    /// filters need less memory).
    pub fn new(window: Window, filters: usize) -> Self {
        let channels = window.input.channels;
        let eligible = window.size == [3, 3]
            && window.strides == [1, 1]
            && channels >= FEWEST_FOR_WINOGRAD
            && filters >= FEWEST_FOR_WINOGRAD;
        let forward = eligible.then(|| {
            best_tile(Geometry {
                tile: TileSize::Four,
                input: [window.input.height, window.input.width],
                channels,
                before: window.before,
                output: window.output,
                filters,
            })
        });
        Self { window, filters, forward, backward: forward.map(|geometry| best_tile(geometry.transposed())) }
    }

    /// The algorithm for inference, where a single image is as important as a batch: Winograd only
    /// where an image has enough tiles.
    pub fn for_inference(self) -> Self {
        let forward = self.forward.and_then(|geometry| {
            let enough = FEWEST_TILES.map(|(tile, fewest)| {
                let geometry = Geometry { tile, ..geometry };
                (geometry.tiles_per_image() >= fewest).then_some(geometry)
            });
            enough.into_iter().flatten().min_by_key(Geometry::multiplications)
        });
        Self { forward, ..self }
    }

    /// The same convolution, by the same algorithm, on maps of another height and width: a prepared
    /// kernel fits both.
    pub fn resized(&self, input: Shape) -> Result<Self, BuildError> {
        let window = self.window.resized(input)?;
        let of_window = |geometry: Geometry| Geometry {
            input: [input.height, input.width],
            before: window.before,
            output: window.output,
            ..geometry
        };
        let forward = self.forward.map(of_window);
        Ok(Self { window, filters: self.filters, forward, backward: forward.map(|geometry| geometry.transposed()) })
    }

    /// Multiply-adds of the direct convolution for one image.
    pub fn macs(&self) -> usize {
        self.window.positions() * self.window.patch_len() * self.filters
    }

    /// Name of the algorithm of the forward pass.
    pub fn method(&self) -> &'static str {
        match self.forward {
            Some(Geometry { tile: TileSize::Four, .. }) => "winograd 4x4",
            Some(Geometry { tile: TileSize::Two, .. }) => "winograd 2x2",
            None => "gemm",
        }
    }

    /// Whether the output may be bf16 while the input is f32, as in the first layer of a network.
    pub fn reads_f32(&self) -> bool {
        bf16::first::applies(&self.window)
    }

    /// Prepares a kernel for [`Self::forward`] of an input and an output of these precisions.
    pub fn prepare(&self, precisions: [Precision; 2], kernel: &[f32], prepared: &mut Buffer) {
        match (precisions, &self.forward) {
            ([Precision::F32, Precision::Bf16], _) => bf16::first::prepare(self.filters, kernel, prepared),
            ([Precision::Bf16, _], _) => bf16::convolution::prepare(&self.window, self.filters, kernel, prepared),
            (_, Some(geometry)) => {
                prepared.resize(geometry.transformed_len());
                winograd::transform_filters(geometry, kernel, prepared);
            }
            (_, None) => im2col::prepare(&self.window, self.filters, kernel, prepared),
        }
    }

    /// `y = epilogue(x ∗ kernel)` with a prepared kernel, for maps of one precision or where [`Self::reads_f32`]. `x` is
    /// `[N, H, W, C]`, `y` `[N, OH, OW, F]`.
    pub fn forward(&self, x: &Tensor, prepared: &[f32], epilogue: &Epilogue<'_>, y: &mut Tensor) {
        match y.precision() {
            Precision::F32 => self.forward_f32(x.data(), prepared, epilogue, y.data_mut()),
            Precision::Bf16 if x.is_f32() => {
                bf16::first::forward(&self.window, self.filters, x.data(), prepared, epilogue, y.values_mut());
            }
            Precision::Bf16 => {
                bf16::convolution::forward(&self.window, self.filters, x.values(), prepared, epilogue, y.values_mut());
            }
        }
    }

    fn forward_f32(&self, x: &[f32], prepared: &[f32], epilogue: &Epilogue<'_>, y: &mut [f32]) {
        match &self.forward {
            _ if y.is_empty() => {}
            Some(geometry) => winograd::convolve(geometry, x, prepared, epilogue, y),
            None if few_channels::applies(&self.window) => {
                few_channels::forward(&self.window, self.filters, x, prepared, epilogue, y);
            }
            None => im2col::forward(&self.window, self.filters, x, prepared, epilogue, y),
        }
    }

    /// Computes `dx` from `dy`, for maps of one precision; overwrites `dx`. The two buffers are scratch.
    pub fn backward_input(&self, dy: &Tensor, kernel: &[f32], scratch: [&mut Buffer; 2], dx: &mut Tensor) {
        match dx.precision() {
            Precision::F32 => self.backward_input_f32(dy.data(), kernel, scratch, dx.data_mut()),
            Precision::Bf16 => {
                let [prepared, _] = scratch;
                let (dy, dx) = (dy.values(), dx.values_mut());
                bf16::convolution::backward_input(&self.window, self.filters, dy, kernel, prepared, dx);
            }
        }
    }

    fn backward_input_f32(&self, dy: &[f32], kernel: &[f32], scratch: [&mut Buffer; 2], dx: &mut [f32]) {
        if dx.is_empty() {
            return;
        }
        let [turned, prepared] = scratch;
        let Some(geometry) = &self.backward else {
            return im2col::backward_input(&self.window, self.filters, dy, kernel, turned, prepared, dx);
        };
        turned.resize(kernel.len());
        prepared.resize(geometry.transformed_len());
        winograd::flip_and_transpose(kernel, self.window.input.channels, self.filters, turned);
        winograd::transform_filters(geometry, turned, prepared);
        let epilogue = Epilogue { bias: None, add: None, activation: Activation::Linear };
        winograd::convolve(geometry, dy, prepared, &epilogue, dx);
    }

    /// Computes the kernel's gradient from `x` and `dy` in f32; overwrites `dkernel`.
    pub fn backward_kernel(&self, x: &[f32], dy: &[f32], scratch: &mut Buffer, dkernel: &mut [f32]) {
        match &self.forward {
            _ if dy.is_empty() => dkernel.fill(0.0),
            Some(geometry) => winograd::backward_kernel(geometry, x, dy, scratch, dkernel),
            None => im2col::backward_kernel(&self.window, self.filters, x, dy, scratch, dkernel),
        }
    }
}

/// The tile that needs fewer multiplications for this map, the smaller one when equal.
fn best_tile(geometry: Geometry) -> Geometry {
    let two = Geometry { tile: TileSize::Two, ..geometry };
    let four = Geometry { tile: TileSize::Four, ..geometry };
    if two.multiplications() <= four.multiplications() { two } else { four }
}
