//! Convolution of bytes by products of tiles, with AMX.
//!
//! A task copies a part of a batch (`tiles::layout`), multiplies blocks of 32 positions by 32 filters, and finishes the rows
//! that are positions of the output.

use super::block::PANEL;
use super::epilogue::{Epilogue, Value};
use crate::buffer::Buffer;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::tiles::amx::Tiles;
use crate::kernels::tiles::block::{BLOCK, PACKED_BYTES, Rows, STEP_BYTES, Steps};
use crate::kernels::tiles::layout::{Axis, Layout, Part};
use crate::kernels::window::Window;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Bytes of the copy of a task, unless one image needs more.
const COPY: usize = 256 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Memory of a task.
#[derive(Default)]
struct Scratch {
    copy: Buffer,
    steps: Steps,
}

/// A convolution of bytes.
pub struct Tiled {
    layout: Layout,
    window: Window,
    filters: usize,
    /// Steps of 64 products by 32 filters, for one block of filters after the other.
    weights: Buffer,
}

impl Tiled {
    /// `quantized` is `[height, width, channels, filters]`.
    pub fn new(window: &Window, filters: usize, quantized: &[i8]) -> Self {
        let axes = [0, 1].map(|axis| Axis::of_output(window, axis));
        let layout = Layout::new(axes, window.input.channels, STEP_BYTES);
        let steps = layout.step_count();
        let mut weights = Buffer::zeros(filters.div_ceil(BLOCK) * steps * PACKED_BYTES / size_of::<f32>());
        let packed: &mut [i8] = bytemuck::cast_slice_mut(&mut weights);
        for (i, packed) in packed.chunks_exact_mut(PACKED_BYTES).enumerate() {
            let (step, first) = (i % steps, i / steps * BLOCK);
            for k in 0..STEP_BYTES {
                let Some(([down, across], channel)) = layout.source(step, k) else { continue };
                let row = ((down * window.size[1] + across) * window.input.channels + channel) * filters;
                for (column, &weight) in quantized[row + first..row + filters.min(first + BLOCK)].iter().enumerate() {
                    // Two tiles of 16 columns; a row of a tile has four values of each column.
                    let tile = column / 16 * PACKED_BYTES / 2;
                    packed[tile + k / 4 * STEP_BYTES + column % 16 * 4 + k % 4] = weight;
                }
            }
        }
        Self { layout, window: *window, filters, weights }
    }

    /// Computes the output of `x`, `[N, H, W, C]`, in `tasks` parts; `zero` represents 0. `y` and `add` are
    /// `[N, OH, OW, F]`.
    pub fn forward<V: Value>(
        &self,
        x: &[u8],
        zero: u8,
        epilogue: &Epilogue,
        add: Option<&[u8]>,
        y: &mut [V],
        tasks: usize,
    ) {
        let images = x.len() / self.window.input.len();
        if images == 0 {
            return;
        }
        let (rows, panels) = (self.window.output[0], self.filters.div_ceil(PANEL));
        let y = SharedMut::new(y);
        let run = |part: &Part, panels: Range<usize>| self.compute(part, panels, x, zero, epilogue, add, y);
        if tasks <= 1 {
            let one = self.layout.len(&Part { image: 0, images: 1, row: 0, rows });
            let group = (COPY / one).max(1);
            for image in (0..images).step_by(group) {
                run(&Part { image, images: group.min(images - image), row: 0, rows }, 0..panels);
            }
            return;
        }
        // A block has at least its own positions.
        let bands = tasks.div_ceil(images).min(self.window.positions() / BLOCK).clamp(1, rows);
        let length = rows.div_ceil(bands);
        let bands = rows.div_ceil(length);
        let groups = tasks.div_ceil(images * bands).clamp(1, panels);
        let per_group = panels.div_ceil(groups);
        let groups = panels.div_ceil(per_group);
        (0..images * bands * groups).into_par_iter().for_each(|task| {
            let (part, group) = (task % (images * bands), task / (images * bands));
            let (image, row) = (part / bands, part % bands * length);
            let part = Part { image, images: 1, row, rows: length.min(rows - row) };
            run(&part, group * per_group..panels.min((group + 1) * per_group));
        });
    }

    fn compute<V: Value>(
        &self,
        part: &Part,
        panels: Range<usize>,
        x: &[u8],
        zero: u8,
        epilogue: &Epilogue,
        add: Option<&[u8]>,
        y: SharedMut<'_, V>,
    ) {
        let layout = &self.layout;
        let tiles = Tiles::new();
        let block_len = layout.step_count() * PACKED_BYTES / size_of::<f32>();
        SCRATCH.with_borrow_mut(|Scratch { copy, steps }| {
            let len = layout.len(part);
            layout.steps(part, steps);
            let copy = copy.grown(len.div_ceil(size_of::<f32>()));
            layout.copy(x, part, zero, &mut bytemuck::cast_slice_mut(copy)[..len]);
            let words: &[u32] = bytemuck::cast_slice(copy);
            let stride = layout.depth / size_of::<u32>();
            let mut sums = [[0; PANEL]; BLOCK];
            let mut values = [[V::default(); PANEL]; BLOCK];
            for panel in panels {
                let first = panel * PANEL;
                let columns = PANEL.min(self.filters - first);
                for block in (0..layout.positions(part)).step_by(BLOCK) {
                    let rows = Rows { words, tiles: [block * stride, (block + BLOCK / 2) * stride], stride };
                    for column in (0..columns).step_by(BLOCK) {
                        let weights = &self.weights[(first + column) / BLOCK * block_len..][..block_len];
                        tiles.multiply_bytes(rows, steps, weights, column, &mut sums);
                    }
                    self.for_outputs(part, block, |rows, position| {
                        let begin = position * self.filters + first;
                        let last = begin + (rows.len() - 1) * self.filters + columns;
                        let add = add.map(|add| &add[begin..last]);
                        let values = &mut values[..rows.len()];
                        epilogue.finish(&sums[rows], [first, columns], add, self.filters, values);
                        for (row, values) in values.iter().enumerate() {
                            // SAFETY: tasks compute different positions or panels.
                            #[allow(unsafe_code)]
                            let to = unsafe { y.slice(begin + row * self.filters, columns) };
                            to.copy_from_slice(&values[..columns]);
                        }
                    });
                }
            }
        });
    }

    /// Calls `visit` with the rows of a block that are positions of a line of the output, and the first of these
    /// positions.
    fn for_outputs(&self, part: &Part, block: usize, mut visit: impl FnMut(Range<usize>, usize)) {
        let (pitch, lines) = (self.layout.pitch, self.layout.lines(part));
        let [height, width] = self.window.output;
        let end = block + BLOCK;
        for line in block / pitch..end.div_ceil(pitch) {
            let (image, row) = (line / lines, line % lines);
            if image >= part.images || row >= part.rows {
                continue;
            }
            let start = line * pitch;
            let (from, to) = (start.max(block), (start + width).min(end));
            if from < to {
                let position = ((part.image + image) * height + part.row + row) * width + from - start;
                visit(from - block..to - block, position);
            }
        }
    }
}
