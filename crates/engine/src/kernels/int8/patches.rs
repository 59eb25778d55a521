//! The bytes that the products of a convolution read.
//!
//! Where a window reaches over the border of a map, or pixels are not whole words, the map is copied with its padding.
//! A row of a window is then one run of bytes, and all rows are equally far apart.

use super::block::WORD;
use crate::kernels::window::Window;

/// Where the windows of a convolution are in its input.
#[derive(Clone, Debug)]
pub struct Patches {
    window: Window,
    /// Whether the input is read without a copy.
    is_direct: bool,
    /// Bytes of a pixel, whole words.
    depth: usize,
    /// Bytes of a line.
    pitch: usize,
    /// Bytes of an image.
    pub image: usize,
    /// First byte of each output position's window.
    pub positions: Vec<usize>,
}

impl Patches {
    pub fn new(window: &Window) -> Self {
        let channels = window.input.channels;
        let is_direct = window.before == [0, 0] && window.after() == [0, 0] && channels.is_multiple_of(WORD);
        let depth = channels.next_multiple_of(WORD);
        let covered = window.reach();
        let pitch = if is_direct { window.input.width } else { covered[1] } * depth;
        let image = if is_direct { window.input.len() } else { covered[0] * pitch };
        let [down, across] = window.strides;
        let line = |row: usize| (0..window.output[1]).map(move |column| row * down * pitch + column * across * depth);
        let positions = (0..window.output[0]).flat_map(line).collect();
        Self { window: *window, is_direct, depth, pitch, image, positions }
    }

    /// Number of runs of a window: its rows.
    pub fn runs(&self) -> usize {
        self.window.size[0]
    }

    /// Bytes from a run to the next one.
    pub fn run_stride(&self) -> usize {
        self.pitch
    }

    /// Words of a run.
    pub fn run_words(&self) -> usize {
        self.window.size[1] * self.depth / WORD
    }

    /// Number of bytes of the copy of that many images; 0 where the input is read itself.
    pub fn copy_len(&self, images: usize) -> usize {
        if self.is_direct { 0 } else { images * self.image }
    }

    /// The weight that byte `byte` of the window is multiplied by: its index in `[height, width, channels]`; `None` for
    /// bytes between pixels.
    pub fn weight(&self, byte: usize) -> Option<usize> {
        let (pixel, channel) = (byte / self.depth, byte % self.depth);
        (channel < self.window.input.channels).then_some(pixel * self.window.input.channels + channel)
    }

    /// Copies images with their padding; `zero` represents 0.
    pub fn copy(&self, x: &[u8], zero: u8, copy: &mut [u8]) {
        let extents = [self.image / self.pitch, self.pitch / self.depth];
        Self::copy_padded(&self.window, x, zero, extents, self.depth, copy);
    }

    /// Copies images with the padding of a window to lines of pixels of `depth` values; `extents` are lines and pixels of
    /// a line.
    pub fn copy_padded<T: Copy>(window: &Window, x: &[T], zero: T, extents: [usize; 2], depth: usize, copy: &mut [T]) {
        let (input, pitch) = (window.input, extents[1] * depth);
        for (x, copy) in x.chunks_exact(input.len()).zip(copy.chunks_exact_mut(extents[0] * pitch)) {
            for (row, line) in copy.chunks_exact_mut(pitch).enumerate() {
                match row.checked_sub(window.before[0]).filter(|&row| row < input.height) {
                    Some(row) => copy_line(window, &x[row * input.width * input.channels..], zero, depth, line),
                    None => line.fill(zero),
                }
            }
        }
    }
}

fn copy_line<T: Copy>(window: &Window, x: &[T], zero: T, depth: usize, line: &mut [T]) {
    let (channels, left) = (window.input.channels, window.before[1]);
    let (before, rest) = line.split_at_mut((left * depth).min(line.len()));
    before.fill(zero);
    let (middle, after) = rest.split_at_mut((window.input.width * depth).min(rest.len()));
    after.fill(zero);
    if depth == channels {
        return middle.copy_from_slice(&x[..middle.len()]);
    }
    for (pixel, x) in middle.chunks_exact_mut(depth).zip(x.chunks_exact(channels)) {
        pixel[..channels].copy_from_slice(x);
        pixel[channels..].fill(zero);
    }
}
