//! The gradient of a convolution's kernel.
//!
//! A grain of 32 images is summed by products of tiles: at one position, a tile contains the values of 16 channels for
//! all images, so that a tap of the kernel selects whole tiles of the input, and a sum over positions is a sum over
//! steps. Rows of positions are divided into bands, whose sums are partial results.

use super::product::{Products, pack_pair, step_len};
use super::transpose::transpose;
use crate::buffer::Buffer;
use crate::communicator::GRAIN;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::element::Bf16;
use crate::kernels::isa;
use crate::kernels::tiles::block::{BLOCK, Rows, STEP, Step, Steps};
use crate::kernels::tiles::layout::{Axis, Layout};
use crate::kernels::window::Window;
use crate::precision::Kernels;
use rayon::prelude::*;
use std::cell::RefCell;

/// Panels of 32 filters of a task.
const PANELS: usize = 4;

/// Pairs of values of the packed operands of a task, 1 MiB, unless [`FEWEST_POSITIONS`] need more.
const PACKED: usize = 256 * 1024;

/// Minimum positions of a band: a partial sum is as large as the kernel.
const FEWEST_POSITIONS: usize = 64;

/// Blocks that are copied before they are transposed, 32 KiB.
const BLOCKS: usize = 16;

/// Pairs of values in a tile of 16 channels and 32 images.
const TILE: usize = BLOCK / 2 * GRAIN / 2;

/// One step sums over the images of a grain.
const _: () = assert!(GRAIN == STEP);

thread_local! {
    static SCRATCH: RefCell<[Buffer; 2]> = RefCell::default();
}

/// The gradient of a kernel, as partial sums over grains and bands.
pub struct KernelGradient<'a> {
    window: &'a Window,
    filters: usize,
    layout: Layout,
    /// Rows of positions in a band.
    rows: usize,
}

impl<'a> KernelGradient<'a> {
    pub fn new(window: &'a Window, filters: usize) -> Self {
        let layout = Layout::new([0, 1].map(|axis| Axis::of_output(window, axis)), window.input.channels, STEP);
        let columns = filters.next_multiple_of(BLOCK).min(PANELS * BLOCK);
        let inputs = if layout.patches { window.output[1] } else { window.input.width * window.strides[0] };
        let line = (inputs * layout.depth + window.output[1] * columns) * GRAIN / 2;
        let fewest = FEWEST_POSITIONS.div_ceil(window.output[1]);
        let rows = (PACKED / line).max(fewest).clamp(1, window.output[0]);
        // Bands of equal length.
        let rows = window.output[0].div_ceil(window.output[0].div_ceil(rows));
        Self { window, filters, layout, rows }
    }

    /// Partial sums of a grain.
    pub fn bands(&self) -> usize {
        self.window.output[0].div_ceil(self.rows)
    }

    /// Computes the partial sums of `x` `[N, H, W, C]` and `dy` `[N, OH, OW, F]`, by grains and their bands, each as
    /// long as the kernel.
    pub fn compute(&self, x: &[Bf16], dy: &[Bf16], partial: &mut [f32]) {
        let (input, output) = (self.window.input.len(), self.window.positions() * self.filters);
        let grains: Vec<_> = x.chunks(GRAIN * input).zip(dy.chunks(GRAIN * output)).collect();
        let groups = self.filters.div_ceil(PANELS * BLOCK);
        let partial = SharedMut::new(partial);
        (0..grains.len() * self.bands() * groups).into_par_iter().for_each(|task| {
            let (part, group) = (task / groups, task % groups);
            let (grain, band) = (part / self.bands(), part % self.bands());
            let first = band * self.rows;
            let rows = first..self.window.output[0].min(first + self.rows);
            SCRATCH.with_borrow_mut(|scratch| {
                let band = Band { gradient: self, rows, group, x: grains[grain].0, dy: grains[grain].1 };
                band.compute(scratch, part * self.kernel_len(), &partial);
            });
        });
    }

    fn kernel_len(&self) -> usize {
        self.window.patch_len() * self.filters
    }
}

/// The task of some rows of positions and some panels of filters.
struct Band<'a> {
    gradient: &'a KernelGradient<'a>,
    rows: std::ops::Range<usize>,
    group: usize,
    x: &'a [Bf16],
    dy: &'a [Bf16],
}

impl Band<'_> {
    /// Overwrites its columns of the partial sum that starts at `start`.
    fn compute(&self, [inputs, outputs]: &mut [Buffer; 2], start: usize, partial: &SharedMut<'_>) {
        let kernels = Kernels::in_use();
        let KernelGradient { window, filters, layout, .. } = self.gradient;
        let first_filter = self.group * PANELS * BLOCK;
        let last_filter = (*filters).min(first_filter + PANELS * BLOCK);
        let positions = self.rows.len() * window.output[1];
        let lines = self.input_lines();
        let plane = self.pack_inputs(lines.clone(), inputs);
        self.pack_gradients(kernels, first_filter..last_filter, outputs);
        let words: &[u32] = bytemuck::cast_slice(inputs);
        let taps = if layout.patches { 1 } else { window.size[0] * window.size[1] };
        let steps: Vec<Steps> = (0..taps).map(|tap| self.steps(tap, lines.start)).collect();
        let products = Products::new(kernels);
        let mut sums = [0.0; BLOCK * BLOCK];
        for block in 0..layout.depth / BLOCK {
            let a = Rows { words, tiles: [2 * block * plane, (2 * block + 1) * plane], stride: GRAIN / 2 };
            for (panel, filter) in (first_filter..last_filter).step_by(BLOCK).enumerate() {
                let count = BLOCK.min(last_filter - filter);
                let b = &outputs[panel * positions * step_len(kernels)..][..positions * step_len(kernels)];
                for (tap, steps) in steps.iter().enumerate() {
                    products.multiply(a, steps, b, &mut sums);
                    let blocks = layout.depth / BLOCK;
                    for (row, sums) in sums.chunks_exact(BLOCK).enumerate() {
                        let Some(([down, across], channel)) = layout.source(tap * blocks + block, row) else {
                            continue;
                        };
                        let at = (down * window.size[1] + across) * window.input.channels + channel;
                        // SAFETY: a partial sum and a panel of filters belong to one task.
                        #[allow(unsafe_code)]
                        let to = unsafe { partial.slice(start + at * filters + filter, count) };
                        to.copy_from_slice(&sums[..count]);
                    }
                }
            }
        }
    }

    /// The lines of the input that the band reads; with patches, the rows of positions.
    fn input_lines(&self) -> std::ops::Range<usize> {
        let KernelGradient { layout, .. } = self.gradient;
        if layout.patches {
            return self.rows.clone();
        }
        let axis = &layout.axes[0];
        let first = axis.first + (self.rows.start * axis.step) as isize;
        let end = axis.first + ((self.rows.end - 1) * axis.step + axis.taps) as isize;
        let inside = |line: isize| usize::try_from(line).unwrap_or(0).min(axis.extent);
        inside(first)..inside(end).max(inside(first))
    }

    /// Packs tiles `[16 channels, 32 images]` of the inputs, by blocks of 16 channels, then positions; returns the pairs
    /// of values of a block.
    fn pack_inputs(&self, lines: std::ops::Range<usize>, packed: &mut Buffer) -> usize {
        let KernelGradient { window, layout, .. } = self.gradient;
        let channels = window.input.channels;
        let width = if layout.patches { window.output[1] } else { window.input.width };
        let plane = lines.len() * width * TILE;
        packed.resize(layout.depth / (BLOCK / 2) * plane);
        let packed: &mut [u16] = bytemuck::cast_slice_mut(packed);
        let len = window.input.len();
        // Several positions at a time, so that longer parts of each image are read.
        let blocks = layout.depth / BLOCK;
        let group = (BLOCKS / blocks).max(1);
        let mut values = vec![[[0; BLOCK]; GRAIN]; group * blocks];
        let mut patch = vec![0; layout.depth];
        let (first, end) = (lines.start * width, lines.end * width);
        for start in (first..end).step_by(group) {
            let positions = start..end.min(start + group);
            // The rows of images beyond the last one stay 0.
            for (image, x) in self.x.chunks_exact(len).enumerate() {
                for (position, values) in positions.clone().zip(values.chunks_exact_mut(blocks)) {
                    let from = if layout.patches {
                        layout.copy_patch(x, position / width, position % width, 0, &mut patch);
                        &patch
                    } else {
                        &x[position * channels..][..channels]
                    };
                    // Values beyond the last channel stay 0, too.
                    for (from, block) in from.chunks(BLOCK).zip(values) {
                        match from.first_chunk() {
                            Some(from) => block[image] = *from,
                            None => block[image][..from.len()].copy_from_slice(from),
                        }
                    }
                }
            }
            for (position, values) in positions.zip(values.chunks_exact(blocks)) {
                for (i, block) in values.iter().enumerate() {
                    let at = 2 * (2 * i * plane + (position - first) * TILE);
                    let (low, high) = packed[at..].split_at_mut(2 * plane);
                    transpose(block, [&mut low[..2 * TILE], &mut high[..2 * TILE]]);
                }
            }
        }
        plane
    }

    /// Packs a step for each panel and position of the band.
    fn pack_gradients(&self, kernels: Kernels, columns: std::ops::Range<usize>, packed: &mut Buffer) {
        let KernelGradient { window, filters, .. } = self.gradient;
        let positions = self.rows.len() * window.output[1];
        packed.resize(columns.len().div_ceil(BLOCK) * positions * step_len(kernels));
        let len = window.positions() * filters;
        let first = self.rows.start * window.output[1];
        isa::dispatch(
            #[inline(always)]
            || {
                // Two images at a time, so that they are read in order.
                for pair in 0..STEP / 2 {
                    for (i, step) in packed.chunks_exact_mut(step_len(kernels)).enumerate() {
                        let (panel, position) = (i / positions, i % positions);
                        let column = columns.start + panel * BLOCK;
                        let count = BLOCK.min(columns.end - column);
                        let at = (first + position) * filters + column;
                        let row = |image: usize| self.dy.get(image * len + at..image * len + at + count).unwrap_or(&[]);
                        pack_pair(kernels, step, pair, [row(2 * pair), row(2 * pair + 1)]);
                    }
                }
            },
        );
    }

    /// The steps of a tap: all positions of the band whose input is inside the map.
    fn steps(&self, tap: usize, first_line: usize) -> Steps {
        let KernelGradient { window, layout, .. } = self.gradient;
        let [down, across] = &layout.axes;
        let mut steps = Vec::new();
        for (i, row) in self.rows.clone().enumerate() {
            for column in 0..window.output[1] {
                let b = i * window.output[1] + column;
                if layout.patches {
                    steps.push(Step { a: b * TILE, b });
                    continue;
                }
                let line = down.input_of(row, tap / window.size[1]);
                if let Some((line, place)) = line.zip(across.input_of(column, tap % window.size[1])) {
                    steps.push(Step { a: ((line - first_line) * window.input.width + place) * TILE, b });
                }
            }
        }
        Steps::new(steps)
    }
}
