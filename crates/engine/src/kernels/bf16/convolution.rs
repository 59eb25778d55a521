//! The output of a convolution, and the gradient of its input.
//!
//! Both are sums over taps of a map; the gradient has one sum for each remainder of positions modulo the stride. A task
//! copies a part of a batch (`layout`) and multiplies its blocks by panels of 32 columns of the kernel.

use super::product::{Products, Sums, pack_pair, step_len};
use super::transpose::{Block, transpose};
use crate::buffer::Buffer;
use crate::kernels::activation::Activation;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::element::{Bf16, Element};
use crate::kernels::epilogue::Epilogue;
use crate::kernels::isa::{self, load};
use crate::kernels::tiles::block::{BLOCK, Rows, STEP, Steps};
use crate::kernels::tiles::layout::{Axis, Layout, Part};
use crate::kernels::window::Window;
use crate::precision::Kernels;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// Number of tasks for a small batch, so that threads have equal work.
const TASKS: usize = 16;

/// Positions of a task, if that leaves [`TASKS`] of them.
const POSITIONS: usize = 256;

/// Minimum positions of a task: two blocks.
const FEWEST_POSITIONS: usize = 2 * BLOCK;

/// Values of the copy of a task, 512 KiB, unless one row needs more.
const COPY: usize = 256 * 1024;

thread_local! {
    static SCRATCH: RefCell<(Buffer, Steps)> = RefCell::default();
}

/// Prepares a kernel `[height, width, channels, filters]` for [`forward`].
pub fn prepare(window: &Window, filters: usize, kernel: &[f32], prepared: &mut Buffer) {
    let layout = output_layout(window);
    let channels = window.input.channels;
    pack(
        &layout,
        filters,
        prepared,
        #[inline(always)]
        |step, first, block| {
            for (k, row) in block.iter_mut().enumerate() {
                if let Some(([down, across], channel)) = layout.source(step, k) {
                    let at = (down * window.size[1] + across) * channels + channel;
                    round_some(&kernel[at * filters + first..(at + 1) * filters], row);
                }
            }
        },
    );
}

/// `y = epilogue(x ∗ kernel)` with a prepared kernel. `x` is `[N, H, W, C]`, `y` `[N, OH, OW, F]`. The epilogue adds no
/// map.
pub fn forward(window: &Window, filters: usize, x: &[Bf16], prepared: &[f32], epilogue: &Epilogue<'_>, y: &mut [Bf16]) {
    let sum = TapSum { layout: output_layout(window), columns: filters, output: window.output };
    let images = x.len() / window.input.len();
    sum.compute(images, x, prepared, epilogue, &SharedMut::new(y));
}

fn output_layout(window: &Window) -> Layout {
    Layout::new([0, 1].map(|axis| Axis::of_output(window, axis)), window.input.channels, STEP)
}

/// Computes `dx` from `dy`; overwrites `dx`. `prepared` is scratch.
pub fn backward_input(
    window: &Window,
    filters: usize,
    dy: &[Bf16],
    kernel: &[f32],
    prepared: &mut Buffer,
    dx: &mut [Bf16],
) {
    let channels = window.input.channels;
    let [down, across] = window.strides;
    let images = dx.len() / window.input.len();
    let dx = SharedMut::new(dx);
    for class in 0..down * across {
        let rest = [class / across, class % across];
        let axes = [0, 1].map(|axis| Axis::of_input_gradient(window, axis, rest[axis]));
        if axes.iter().any(|axis| axis.positions == 0) {
            continue;
        }
        let layout = Layout::new(axes, filters, STEP);
        let row_of = |tap: [usize; 2], channel: usize| {
            let [down, across] =
                [0, 1].map(|axis| rest[axis] + (axes[axis].taps - 1 - tap[axis]) * window.strides[axis]);
            &kernel[((down * window.size[1] + across) * channels + channel) * filters..][..filters]
        };
        pack(
            &layout,
            channels,
            prepared,
            #[inline(always)]
            |step, first, block| {
                let count = BLOCK.min(channels - first);
                if layout.patches {
                    for (k, row) in block.iter_mut().enumerate() {
                        if let Some((tap, filter)) = layout.source(step, k) {
                            let values = (first..first + count).map(|channel| row_of(tap, channel)[filter]);
                            row.iter_mut().zip(values).for_each(|(to, value)| *to = Bf16::round(value));
                        }
                    }
                } else if let Some((tap, filter)) = layout.source(step, 0) {
                    let mut columns = [[0; BLOCK]; BLOCK];
                    for (channel, column) in columns[..count].iter_mut().enumerate() {
                        round_some(&row_of(tap, first + channel)[filter..], column);
                    }
                    let (low, high) = block.split_at_mut(BLOCK / 2);
                    transpose(&columns, [low.as_flattened_mut(), high.as_flattened_mut()]);
                }
            },
        );
        let output = [window.input.height, window.input.width];
        let epilogue = Epilogue { bias: None, add: None, activation: Activation::Linear };
        TapSum { layout, columns: channels, output }.compute(images, dy, prepared, &epilogue, &dx);
    }
}

/// Rounds as many values as fit, or as there are.
#[inline(always)]
fn round_some(from: &[f32], to: &mut [Bf16; BLOCK]) {
    if let Some(from) = from.first_chunk::<BLOCK>() {
        to.iter_mut().zip(from).for_each(|(to, value)| *to = Bf16::round(*value));
    } else {
        to.iter_mut().zip(from).for_each(|(to, value)| *to = Bf16::round(*value));
    }
}

/// Packs a matrix of `columns` columns into panels; `fill(step, first, block)` writes the rows of a step, from column
/// `first` on, into a block of zeros.
fn pack(layout: &Layout, columns: usize, packed: &mut Buffer, fill: impl Fn(usize, usize, &mut Block) + Sync) {
    let kernels = Kernels::in_use();
    let steps = layout.step_count();
    packed.resize(columns.div_ceil(BLOCK) * steps * step_len(kernels));
    packed.par_chunks_mut(step_len(kernels)).enumerate().for_each(|(i, packed)| {
        isa::dispatch(
            #[inline(always)]
            || {
                let mut block = [[0; BLOCK]; STEP];
                fill(i % steps, i / steps * BLOCK, &mut block);
                for (pair, [even, odd]) in block.as_chunks::<2>().0.iter().enumerate() {
                    pack_pair(kernels, packed, pair, [even, odd]);
                }
            },
        );
    });
}

/// A sum over the taps of a kernel at every position.
struct TapSum {
    layout: Layout,
    /// Channels of the result.
    columns: usize,
    /// Height and width of the result.
    output: [usize; 2],
}

impl TapSum {
    fn compute(&self, images: usize, x: &[Bf16], packed: &[f32], epilogue: &Epilogue<'_>, y: &SharedMut<'_, Bf16>) {
        let parts = self.parts(images);
        let panels = self.columns.div_ceil(BLOCK);
        let groups = TASKS.div_ceil(parts.len().max(1)).clamp(1, panels);
        let per_group = panels.div_ceil(groups);
        let groups = panels.div_ceil(per_group);
        (0..parts.len() * groups).into_par_iter().for_each(|task| {
            let first = task / parts.len() * per_group;
            let panels = first..panels.min(first + per_group);
            self.compute_part(&parts[task % parts.len()], panels, x, packed, epilogue, y);
        });
    }

    /// Divides a batch into parts. The results do not depend on the division.
    fn parts(&self, images: usize) -> Vec<Part> {
        let [rows, columns] = self.layout.axes.map(|axis| axis.positions);
        let one = rows * columns;
        let longest = (COPY / (self.layout.pitch * self.layout.depth).max(1)).max(1);
        if images >= TASKS && rows <= longest || one < 2 * FEWEST_POSITIONS {
            let wanted = POSITIONS.div_ceil(one).min(images / TASKS).max(FEWEST_POSITIONS.div_ceil(one));
            let whole = |image| Part { image, images: wanted.min(images - image), row: 0, rows };
            return (0..images).step_by(wanted).map(whole).collect();
        }
        let bands = TASKS.div_ceil(images.max(1)).min(one / FEWEST_POSITIONS).clamp(1, rows);
        let length = rows.div_ceil(bands).min(longest);
        let band = |image, row| Part { image, images: 1, row, rows: length.min(rows - row) };
        (0..images).flat_map(|image| (0..rows).step_by(length).map(move |row| band(image, row))).collect()
    }

    fn compute_part(
        &self,
        part: &Part,
        panels: std::ops::Range<usize>,
        x: &[Bf16],
        packed: &[f32],
        epilogue: &Epilogue<'_>,
        y: &SharedMut<'_, Bf16>,
    ) {
        let products = Products::new(Kernels::in_use());
        let layout = &self.layout;
        let panel_len = layout.step_count() * step_len(products.kernels);
        SCRATCH.with_borrow_mut(|(scratch, steps)| {
            layout.steps(part, steps);
            let len = layout.len(part);
            let copy: &mut [u16] = bytemuck::cast_slice_mut(scratch.grown(len / 2));
            layout.copy(x, part, 0, copy);
            let words: &[u32] = bytemuck::cast_slice(copy);
            let stride = layout.depth / 2;
            let places = self.places(part);
            let mut sums = [0.0; BLOCK * BLOCK];
            for panel in panels {
                let packed = &packed[panel * panel_len..][..panel_len];
                for (block, places) in places.iter().enumerate() {
                    let tiles = [0, BLOCK / 2].map(|row| (block * BLOCK + row) * stride);
                    products.multiply(Rows { words, tiles, stride }, steps, packed, &mut sums);
                    self.store(places, panel * BLOCK, &sums, epilogue, y);
                }
            }
        });
    }

    /// Stores the rows of a block that are positions of maps.
    fn store(&self, places: &Places, column: usize, sums: &Sums, epilogue: &Epilogue<'_>, y: &SharedMut<'_, Bf16>) {
        let count = BLOCK.min(self.columns - column);
        let mut bias = [0.0; BLOCK];
        if let Some(values) = epilogue.bias {
            bias[..count].copy_from_slice(&values[column..][..count]);
        }
        let (width, activation) = (self.columns, epilogue.activation);
        isa::dispatch(Store { sums, bias, activation, places, width, column, count, y });
    }

    /// The positions of the output of a part's blocks, or [`PADDING`].
    fn places(&self, part: &Part) -> Vec<Places> {
        let [down, across] = &self.layout.axes;
        let (pitch, lines) = (self.layout.pitch, self.layout.lines(part));
        let mut places = vec![[PADDING; BLOCK]; self.layout.positions(part).div_ceil(BLOCK)];
        for image in 0..part.images {
            for row in 0..part.rows {
                let start = (image * lines + row) * pitch;
                let line = (part.image + image) * self.output[0] + down.to_first + (part.row + row) * down.to_step;
                let to = &mut places.as_flattened_mut()[start..][..across.positions];
                for (column, to) in to.iter_mut().enumerate() {
                    *to = line * self.output[1] + across.to_first + column * across.to_step;
                }
            }
        }
        places
    }
}

/// Adds the bias to a block, applies the activation and stores the rows that are positions of the output.
struct Store<'a> {
    sums: &'a Sums,
    bias: [f32; BLOCK],
    activation: Activation,
    places: &'a Places,
    /// Channels of the output.
    width: usize,
    /// First channel of the block, and their number.
    column: usize,
    count: usize,
    y: &'a SharedMut<'a, Bf16>,
}

impl WithSimd for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums, bias, activation, places, width, column, count, y } = self;
        let zero = simd.splat_f32s(0.0);
        for (sums, &place) in sums.as_chunks::<BLOCK>().0.iter().zip(places) {
            if place == PADDING {
                continue;
            }
            // SAFETY: a position belongs to one task, and a column to one panel.
            #[allow(unsafe_code)]
            let to = unsafe { y.slice(place * width + column, count) };
            if !matches!(activation, Activation::Linear | Activation::Relu) {
                let mut values: [f32; BLOCK] = std::array::from_fn(|i| sums[i] + bias[i]);
                activation.apply_inlined(&mut values[..count], count);
                to.iter_mut().zip(values).for_each(|(to, value)| *to = Bf16::round(value));
                continue;
            }
            for first in (0..count).step_by(S::F32_LANES) {
                let lanes = first..first + S::F32_LANES;
                let sum = simd.add_f32s(load(simd, &sums[lanes.clone()]), load(simd, &bias[lanes]));
                // Not a maximum, which would drop a NaN.
                let relu = simd.select_f32s(simd.less_than_f32s(sum, zero), zero, sum);
                let value = if activation == Activation::Relu { relu } else { sum };
                Bf16::store(simd, &mut to[first..count.min(first + S::F32_LANES)], value);
            }
        }
    }
}

/// The positions of the output of a block's rows.
type Places = [usize; BLOCK];

/// A row of a block that is not a position of the output.
const PADDING: usize = usize::MAX;
