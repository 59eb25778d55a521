//! The output of a convolution, and the gradient of its input.
//!
//! Both are sums over taps of a map; the gradient has one sum for each remainder of positions modulo the stride. A task
//! copies a part of a batch (`layout`) and multiplies its blocks by panels of 32 columns of the kernel.

use super::layout::{Axis, Layout, Part};
use super::product::{BLOCK, Products, Rows, STEP, Sums, pack_pair, step_len};
use crate::buffer::Buffer;
use crate::kernels::activation::Activation;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::element::{Bf16, Element};
use crate::kernels::epilogue::Epilogue;
use crate::kernels::isa;
use crate::kernels::window::Window;
use crate::precision::Kernels;
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
    static SCRATCH: RefCell<Buffer> = RefCell::default();
}

/// Prepares a kernel `[height, width, channels, filters]` for [`forward`].
pub fn prepare(window: &Window, filters: usize, kernel: &[f32], prepared: &mut Buffer) {
    let layout = output_layout(window);
    let channels = window.input.channels;
    pack(&layout, filters, prepared, |[row, column], channel, first, to| {
        let at = (row * window.size[1] + column) * channels + channel;
        let from = &kernel[at * filters + first..];
        to.iter_mut().zip(from).for_each(|(to, value)| *to = Bf16::round(*value));
    });
}

/// `y = epilogue(x ∗ kernel)` with a prepared kernel. `x` is `[N, H, W, C]`, `y` `[N, OH, OW, F]`. The epilogue adds no
/// map.
pub fn forward(window: &Window, filters: usize, x: &[Bf16], prepared: &[f32], epilogue: &Epilogue<'_>, y: &mut [Bf16]) {
    let sum = TapSum { layout: output_layout(window), columns: filters, output: window.output };
    let images = x.len() / window.input.len();
    sum.compute(images, x, prepared, epilogue, &SharedMut::new(y));
}

fn output_layout(window: &Window) -> Layout {
    Layout::new([0, 1].map(|axis| Axis::of_output(window, axis)), window.input.channels)
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
        let layout = Layout::new(axes, filters);
        pack(&layout, channels, prepared, |tap, filter, first, to| {
            let [row, column] =
                [0, 1].map(|axis| rest[axis] + (axes[axis].taps - 1 - tap[axis]) * window.strides[axis]);
            let from = &kernel[((row * window.size[1] + column) * channels + first) * filters + filter..];
            to.iter_mut().zip(from.iter().step_by(filters)).for_each(|(to, value)| *to = Bf16::round(*value));
        });
        let output = [window.input.height, window.input.width];
        let epilogue = Epilogue { bias: None, add: None, activation: Activation::Linear };
        TapSum { layout, columns: channels, output }.compute(images, dy, prepared, &epilogue, &dx);
    }
}

/// Packs a matrix of `columns` columns into panels; `fill(tap, channel, first, to)` writes the values of a row from
/// column `first` on.
fn pack(
    layout: &Layout,
    columns: usize,
    packed: &mut Buffer,
    fill: impl Fn([usize; 2], usize, usize, &mut [Bf16]) + Sync,
) {
    let kernels = Kernels::in_use();
    let steps = layout.step_count();
    let panel = steps * step_len(kernels);
    packed.resize(columns.div_ceil(BLOCK) * panel);
    if panel == 0 {
        return;
    }
    packed.par_chunks_mut(step_len(kernels)).enumerate().for_each(|(i, packed)| {
        let (first, step) = (i / steps * BLOCK, i % steps);
        let count = BLOCK.min(columns - first);
        for pair in 0..STEP / 2 {
            let mut rows = [[0; BLOCK]; 2];
            for (odd, row) in rows.iter_mut().enumerate() {
                if let Some((tap, channel)) = layout.source(step, 2 * pair + odd) {
                    fill(tap, channel, first, &mut row[..count]);
                }
            }
            pack_pair(kernels, packed, pair, [&rows[0], &rows[1]]);
        }
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
        let steps = layout.steps(part);
        let panel_len = layout.step_count() * step_len(products.kernels);
        SCRATCH.with_borrow_mut(|scratch| {
            let len = layout.len(part);
            if scratch.len() < len / 2 {
                scratch.resize(len / 2);
            }
            let copy: &mut [u16] = &mut bytemuck::cast_slice_mut(scratch)[..len];
            layout.copy(x, part, copy);
            let pairs: &[u32] = bytemuck::cast_slice(copy);
            let stride = layout.depth / 2;
            let mut sums = [0.0; BLOCK * BLOCK];
            for panel in panels {
                let packed = &packed[panel * panel_len..][..panel_len];
                for first in (0..layout.positions(part)).step_by(BLOCK) {
                    let a = Rows { pairs, tiles: [first * stride, (first + BLOCK / 2) * stride], stride };
                    products.multiply(a, &steps, packed, &mut sums);
                    self.store(part, first, panel * BLOCK, &sums, epilogue, y);
                }
            }
        });
    }

    /// Stores the rows of a block that are positions of maps.
    fn store(
        &self,
        part: &Part,
        first: usize,
        column: usize,
        sums: &Sums,
        epilogue: &Epilogue<'_>,
        y: &SharedMut<'_, Bf16>,
    ) {
        let count = BLOCK.min(self.columns - column);
        let mut bias = [0.0; BLOCK];
        if let Some(values) = epilogue.bias {
            bias[..count].copy_from_slice(&values[column..][..count]);
        }
        let places = self.places(part, first);
        isa::dispatch(
            #[inline(always)]
            || {
                for (sums, place) in sums.chunks_exact(BLOCK).zip(places) {
                    let Some(place) = place else { continue };
                    let mut values = [0.0; BLOCK];
                    for ((value, sum), bias) in values.iter_mut().zip(sums).zip(bias) {
                        *value = sum + bias;
                    }
                    epilogue.activation.apply_inlined(&mut values[..count], count);
                    let mut rounded = [0; BLOCK];
                    rounded.iter_mut().zip(values).for_each(|(rounded, value)| *rounded = Bf16::round(value));
                    // SAFETY: a position belongs to one task, and a column to one panel.
                    #[allow(unsafe_code)]
                    let to = unsafe { y.slice(place * self.columns + column, count) };
                    to.copy_from_slice(&rounded[..count]);
                }
            },
        );
    }

    /// The positions of the output of a block's rows; `None` for padding.
    fn places(&self, part: &Part, first: usize) -> [Option<usize>; BLOCK] {
        let lines = self.layout.lines(part);
        std::array::from_fn(|i| {
            let (line, column) = ((first + i) / self.layout.pitch, (first + i) % self.layout.pitch);
            let (image, row) = (line / lines, line % lines);
            let [down, across] = &self.layout.axes;
            let inside = column < across.positions && row < part.rows && image < part.images;
            inside.then(|| {
                let row = down.to_first + (part.row + row) * down.to_step;
                let column = across.to_first + column * across.to_step;
                ((part.image + image) * self.output[0] + row) * self.output[1] + column
            })
        })
    }
}
