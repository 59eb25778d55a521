//! Copies of maps in which a tap of a kernel is a constant offset.
//!
//! Output positions are numbered row by row with a *pitch* that includes padding: position `row · pitch + column`. For
//! tap `t` the input of all positions is then at the position plus a constant, so that rows of a block are neighbors in
//! memory, without a matrix of patches. With stride `s`, an axis is divided into `s` *planes* of the inputs with equal
//! remainders. Where a map has few channels, its patches are copied instead, and the kernel has one tap.

use super::block::{BLOCK, STEP_BYTES, Step, Steps};
use crate::kernels::window::Window;

/// One axis of a sum over taps: position `p` and tap `t` read the input at `first + p · step + t`.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Extent of the input.
    pub extent: usize,
    pub first: isize,
    pub step: usize,
    pub taps: usize,
    pub positions: usize,
    /// Position `p` is written to `to_first + p · to_step` of the output.
    pub to_first: usize,
    pub to_step: usize,
}

impl Axis {
    /// The axis of a convolution's output.
    pub fn of_output(window: &Window, axis: usize) -> Self {
        Self {
            extent: [window.input.height, window.input.width][axis],
            first: -(window.before[axis] as isize),
            step: window.strides[axis],
            taps: window.size[axis],
            positions: window.output[axis],
            to_first: 0,
            to_step: 1,
        }
    }

    /// The axis of the gradient of the inputs that kernel rows `rest, rest + stride, …` read. Tap `t` is the kernel row
    /// `rest + (taps − 1 − t) · stride`.
    pub fn of_input_gradient(window: &Window, axis: usize, rest: usize) -> Self {
        let (stride, before) = (window.strides[axis], window.before[axis]);
        let extent = [window.input.height, window.input.width][axis];
        let to_first = (rest + stride - before % stride) % stride;
        let taps = window.size[axis].saturating_sub(rest).div_ceil(stride);
        // The output that tap 0 of the kernel reads the first input for.
        let nearest = ((to_first + before) / stride) as isize;
        Self {
            extent: window.output[axis],
            first: nearest - (taps as isize - 1),
            step: 1,
            taps,
            positions: extent.saturating_sub(to_first).div_ceil(stride),
            to_first,
            to_step: stride,
        }
    }

    /// Number of planes.
    fn planes(&self) -> usize {
        self.step.min(self.taps).max(1)
    }

    /// Positions by which taps shift a plane at most.
    fn reach(&self) -> usize {
        self.taps.saturating_sub(1) / self.step
    }

    /// Padding positions that the end of a line and the start of the next one have in common.
    fn shared(&self) -> usize {
        if self.step > 1 || self.positions == 0 {
            return 0;
        }
        let before = usize::try_from(-self.first).unwrap_or(0);
        let end = self.first + (self.positions + self.reach()) as isize;
        let after = usize::try_from(end - self.extent as isize).unwrap_or(0);
        before.min(after).min(self.reach())
    }

    /// The input that a position reads for a tap; `None` for padding. A plane contains the inputs of one tap, so this is
    /// also the input at place `position` of plane `tap`.
    pub fn input_of(&self, position: usize, tap: usize) -> Option<usize> {
        let input = self.first + (position * self.step + tap) as isize;
        usize::try_from(input).ok().filter(|&input| input < self.extent)
    }
}

/// A part of a batch: images and rows of positions.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// First image and their number.
    pub image: usize,
    pub images: usize,
    /// First row of positions and their number: all of them where there are several images.
    pub row: usize,
    pub rows: usize,
}

/// The layout of a copy.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub axes: [Axis; 2],
    channels: usize,
    /// Whether patches are copied.
    pub patches: bool,
    /// Values that a step multiplies: those of 64 bytes.
    step: usize,
    /// Values of a position, whole steps.
    pub depth: usize,
    /// Positions of a line.
    pub pitch: usize,
    shared_rows: usize,
}

impl Layout {
    /// The layout of maps of which a step multiplies `step` values.
    pub fn new(axes: [Axis; 2], channels: usize, step: usize) -> Self {
        let taps = axes[0].taps * axes[1].taps;
        let depth = channels.next_multiple_of(step);
        let patch = (taps * channels).next_multiple_of(step);
        if taps > 1 && 2 * patch <= taps * depth {
            return Self {
                axes,
                channels,
                patches: true,
                step,
                depth: patch,
                pitch: axes[1].positions,
                shared_rows: 0,
            };
        }
        let pitch = axes[1].positions + axes[1].reach() - axes[1].shared();
        Self { axes, channels, patches: false, step, depth, pitch, shared_rows: axes[0].shared() }
    }

    /// Lines by which the images of a part are apart.
    pub fn lines(&self, part: &Part) -> usize {
        if self.patches { part.rows } else { part.rows + self.axes[0].reach() - self.shared_rows }
    }

    /// Positions from the first to the last one of a part.
    pub fn positions(&self, part: &Part) -> usize {
        ((part.images - 1) * self.lines(part) + part.rows - 1) * self.pitch + self.axes[1].positions
    }

    /// Lines of a plane: the last image has no successor that provides its padding.
    fn plane_lines(&self, part: &Part) -> usize {
        part.images * self.lines(part) + if self.patches { 0 } else { self.shared_rows }
    }

    fn plane_len(&self, part: &Part) -> usize {
        self.plane_lines(part) * self.pitch * self.depth
    }

    fn planes(&self) -> [usize; 2] {
        if self.patches { [1, 1] } else { self.axes.map(|axis| axis.planes()) }
    }

    /// Values of a copy. Blocks may read past the last position.
    pub fn len(&self, part: &Part) -> usize {
        let [down, across] = self.planes();
        let padding = self.axes[1].reach() + BLOCK;
        down * across * self.plane_len(part) + padding * self.depth
    }

    /// Number of steps of the sum.
    pub fn step_count(&self) -> usize {
        let taps = if self.patches { 1 } else { self.axes[0].taps * self.axes[1].taps };
        taps * self.depth / self.step
    }

    /// The steps of the sum: taps in order, and for each tap its channels in order.
    pub fn steps(&self, part: &Part, steps: &mut Steps) {
        let [down, across] = self.axes.map(|axis| (axis.taps, axis.step));
        let per_word = self.step / (STEP_BYTES / 4);
        let blocks = self.depth / self.step;
        steps.clear();
        for tap in 0..self.step_count() / blocks {
            let [row, column] = if self.patches { [0, 0] } else { [tap / across.0, tap % across.0] };
            let plane = row % down.1 * self.planes()[1] + column % across.1;
            let place = row / down.1 * self.pitch + column / across.1;
            let start = plane * self.plane_len(part) + place * self.depth;
            for block in 0..blocks {
                steps.push(Step { a: (start + block * self.step) / per_word, b: tap * blocks + block });
            }
        }
    }

    /// The tap (row, column) and the channel of value `k` of a step of the kernel; `None` for padding.
    #[inline(always)]
    pub fn source(&self, step: usize, k: usize) -> Option<([usize; 2], usize)> {
        let across = self.axes[1].taps;
        let (tap, channel) = if self.patches {
            ((step * self.step + k) / self.channels, (step * self.step + k) % self.channels)
        } else {
            let steps = self.depth / self.step;
            (step / steps, step % steps * self.step + k)
        };
        let inside = tap < self.axes[0].taps * across && channel < self.channels;
        inside.then(|| ([tap / across, tap % across], channel))
    }

    /// Copies a part of the maps `x`; `zero` is the padding.
    pub fn copy<T: Copy>(&self, x: &[T], part: &Part, zero: T, copy: &mut [T]) {
        let image_len = self.axes[0].extent * self.axes[1].extent * self.channels;
        let images = x.chunks_exact(image_len).skip(part.image).take(part.images);
        if self.patches {
            let line = self.pitch * self.depth;
            for (x, copy) in images.zip(copy.chunks_exact_mut(part.rows * line)) {
                for (i, copy) in copy.chunks_exact_mut(self.depth).enumerate() {
                    self.copy_patch(x, part.row + i / self.pitch, i % self.pitch, zero, copy);
                }
            }
            return;
        }
        let (len, line, lines) = (self.plane_len(part), self.pitch * self.depth, self.lines(part));
        let [down, across] = self.planes();
        let (planes, rest) = copy.split_at_mut(down * across * len);
        // The last line may continue in the padding of a next one.
        rest[..self.axes[1].shared() * self.depth].fill(zero);
        for (plane, copy) in planes.chunks_exact_mut(len).enumerate() {
            let (down, across) = (plane / across, plane % across);
            for (i, x) in images.clone().enumerate() {
                let count = lines + if i + 1 == part.images { self.shared_rows } else { 0 };
                for (row, copy) in copy[i * lines * line..][..count * line].chunks_exact_mut(line).enumerate() {
                    match self.axes[0].input_of(part.row + row, down) {
                        Some(row) => self.copy_line(x, row, across, zero, copy),
                        None => copy.fill(zero),
                    }
                }
            }
        }
    }

    fn copy_line<T: Copy>(&self, x: &[T], row: usize, plane: usize, zero: T, copy: &mut [T]) {
        let (axis, channels) = (&self.axes[1], self.channels);
        let x = &x[row * axis.extent * channels..][..axis.extent * channels];
        if channels == self.depth && axis.step == 1 {
            // The line is contiguous between its padding.
            let before = usize::try_from(-axis.first).unwrap_or(0).min(self.pitch);
            let start = usize::try_from(axis.first).unwrap_or(0).min(axis.extent);
            let count = (axis.extent - start).min(self.pitch - before);
            let (padding, to) = copy.split_at_mut(before * channels);
            let (values, rest) = to.split_at_mut(count * channels);
            padding.fill(zero);
            values.copy_from_slice(&x[start * channels..][..count * channels]);
            rest.fill(zero);
            return;
        }
        for (place, to) in copy.chunks_exact_mut(self.depth).enumerate() {
            match axis.input_of(place, plane) {
                Some(column) => {
                    let (values, padding) = to.split_at_mut(channels);
                    values.copy_from_slice(&x[column * channels..][..channels]);
                    padding.fill(zero);
                }
                None => to.fill(zero),
            }
        }
    }

    /// Copies the patch of a position of one map.
    pub fn copy_patch<T: Copy>(&self, x: &[T], row: usize, column: usize, zero: T, to: &mut [T]) {
        let [down, across] = &self.axes;
        let channels = self.channels;
        let (values, padding) = to.split_at_mut(down.taps * across.taps * channels);
        padding.fill(zero);
        for (tap, values) in values.chunks_exact_mut(channels).enumerate() {
            let inputs = (down.input_of(row, tap / across.taps), across.input_of(column, tap % across.taps));
            match inputs {
                (Some(row), Some(column)) => {
                    values.copy_from_slice(&x[(row * across.extent + column) * channels..][..channels]);
                }
                _ => values.fill(zero),
            }
        }
    }
}
