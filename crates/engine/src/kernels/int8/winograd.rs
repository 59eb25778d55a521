//! 3 × 3 convolutions of stride 1 by Winograd's method with exact integers, for AVX-512 VNNI.
//!
//! A tile of 4 × 4 outputs is computed with 36 products instead of 144 (Lavin and Gray 2016, F(4 × 4, 3 × 3)). The
//! transforms are scaled to integers: a transformed byte is at most 25,500 and a transformed weight at most 6,223, so
//! that both have 16 bits. Sums are computed modulo 2³². The scale of an output is 9 · 2ᵏ with k of at most 6, so it
//! is exact after a multiplication by the inverse of 9 modulo 2³² and a shift, if it is below 2²⁵. The sums are
//! therefore those of the direct method, bit by bit.

use super::block::{Block, PANEL, ROWS, Sums, VECTOR, WORD, rows};
use super::epilogue::{Epilogue, Value};
use super::{patches::Patches, vnni};
use crate::buffer::Buffer;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::window::Window;
use rayon::prelude::*;
use std::cell::RefCell;

/// Outputs of a tile along an axis, and inputs.
const TILE: usize = 4;
const INPUTS: usize = TILE + 2;

/// Products of a tile.
const PRODUCTS: usize = INPUTS * INPUTS;

/// Channels that are transformed together.
const CHANNELS: usize = 32;

/// Tiles for which reading the transformed weights takes less time than the products that they save.
const FEWEST_TILES: usize = 24;

/// Bytes of the transformed inputs and of the products of a task: a part of the second-level cache.
const SCRATCH: usize = 768 * 1024;

/// A bound of the sums of a filter.
const LARGEST_SUM: i32 = 1 << 25;

/// Rows of the transform of weights, times 24, 6, 6, 24, 24 and 6.
const WEIGHTS: [[i16; 3]; INPUTS] = [[6, 0, 0], [-1, -1, -1], [-1, 1, -1], [1, 2, 4], [1, -2, 4], [0, 0, 6]];

thread_local! {
    static INPUT: RefCell<Buffer> = RefCell::default();
    static OUTPUT: RefCell<Buffer> = RefCell::default();
}

/// A convolution by Winograd's method.
pub struct Winograd {
    window: Window,
    filters: usize,
    /// Channels, padded to whole vectors.
    depth: usize,
    /// Tiles of an image vertically and horizontally.
    tiles: [usize; 2],
    /// For each panel and each product, pairs of weights for each column.
    weights: Buffer,
}

impl Winograd {
    /// Whether a convolution is computed with fewer instructions in this way.
    pub fn applies(window: &Window) -> bool {
        if window.size != [3, 3] || window.strides != [1, 1] {
            return false;
        }
        let tiles = window.output.map(|extent| extent.div_ceil(TILE));
        // A product of 16 bits takes twice as many instructions. The transforms take about a quarter of the time.
        let depth = window.input.channels.next_multiple_of(CHANNELS);
        let ours = 2 * tiles[0] * tiles[1] * PRODUCTS * depth;
        let direct = window.positions() * 9 * window.input.channels.next_multiple_of(WORD);
        4 * direct > 5 * ours
    }

    /// Transforms weights, `[9, channels, filters]`; `largest` is the largest sum of the absolute weights of a filter.
    /// `None` where a sum might be too large.
    pub fn new(window: &Window, filters: usize, largest: i32, weights: &[i8]) -> Option<Self> {
        if !vnni::is_available() || !Self::applies(window) || largest >= LARGEST_SUM / 255 {
            return None;
        }
        let channels = window.input.channels;
        let depth = channels.next_multiple_of(CHANNELS);
        let columns = filters / PANEL * PANEL + (filters % PANEL).next_multiple_of(VECTOR);
        // A word is a pair of weights.
        let mut buffer = Buffer::zeros(PRODUCTS * depth / 2 * columns);
        let packed: &mut [i16] = bytemuck::cast_slice_mut(&mut buffer);
        for first in (0..filters).step_by(PANEL) {
            let count = PANEL.min(filters - first);
            let width = count.next_multiple_of(VECTOR);
            let panel = &mut packed[first * PRODUCTS * depth..][..width * PRODUCTS * depth];
            for channel in 0..channels {
                let of_tap = |tap: usize| &weights[(tap * channels + channel) * filters + first..][..count];
                for product in 0..PRODUCTS {
                    let words = &mut panel[(product * depth / 2 + channel / 2) * width * 2..][..width * 2];
                    let transformed = transform_weights(product, of_tap);
                    words.iter_mut().skip(channel % 2).step_by(2).zip(transformed).for_each(|(to, value)| *to = value);
                }
            }
        }
        Some(Self {
            window: *window,
            filters,
            depth,
            tiles: window.output.map(|extent| extent.div_ceil(TILE)),
            weights: buffer,
        })
    }

    /// Whether a batch has enough tiles.
    pub fn is_faster(&self, images: usize) -> bool {
        images * self.tiles[0] * self.tiles[1] >= FEWEST_TILES
    }

    /// Bytes of a padded image.
    fn image_len(&self) -> usize {
        (TILE * self.tiles[0] + 2) * (TILE * self.tiles[1] + 2) * self.depth
    }

    /// Number of bytes of the copy of that many images.
    pub fn copy_len(&self, images: usize) -> usize {
        images * self.image_len()
    }

    /// Computes the output in `tasks` parts; see [`super::convolution::Convolution::forward`]. `zero` represents 0.
    #[allow(clippy::too_many_arguments)]
    pub fn forward<V: Value>(
        &self,
        x: &[u8],
        zero: u8,
        epilogue: &Epilogue,
        add: Option<&[u8]>,
        y: SharedMut<'_, V>,
        copy: &mut [u8],
        tasks: usize,
    ) {
        let images = x.len() / self.window.input.len();
        let lines = [TILE * self.tiles[0] + 2, TILE * self.tiles[1] + 2];
        Patches::copy_padded(&self.window, x, zero, lines, self.depth, copy);
        let tiles = images * self.tiles[0] * self.tiles[1];
        let each_bytes = PRODUCTS * (self.depth * size_of::<i16>() + PANEL * size_of::<i32>());
        let rows = rows(PANEL / VECTOR);
        let most = (SCRATCH / each_bytes / rows).max(1) * rows;
        let each = most.min(tiles.div_ceil(tasks.max(1)).next_multiple_of(rows));
        let compute = |first: usize| self.compute(copy, first..(first + each).min(tiles), epilogue, add, y);
        if tasks <= 1 {
            (0..tiles).step_by(each).for_each(compute);
        } else {
            (0..tiles.div_ceil(each)).into_par_iter().for_each(|task| compute(task * each));
        }
    }

    /// Computes some tiles.
    fn compute<V: Value>(
        &self,
        copy: &[u8],
        tiles: std::ops::Range<usize>,
        epilogue: &Epilogue,
        add: Option<&[u8]>,
        y: SharedMut<'_, V>,
    ) {
        INPUT.with_borrow_mut(|input| {
            OUTPUT.with_borrow_mut(|products| {
                let count = tiles.len();
                let input: &mut [i16] = bytemuck::cast_slice_mut(input.grown(PRODUCTS * count * self.depth / 2));
                self.transform_input(copy, tiles.clone(), input);
                let products: &mut [i32] = bytemuck::cast_slice_mut(products.grown(PRODUCTS * count * PANEL));
                for first in (0..self.filters).step_by(PANEL) {
                    let columns = PANEL.min(self.filters - first);
                    self.multiply(input, count, first, products);
                    self.finish(products, &tiles, [first, columns], epilogue, add, y);
                }
            });
        });
    }

    /// The first byte of a tile in the copy.
    fn start(&self, tile: usize) -> usize {
        let [down, across] = self.tiles;
        let (image, place) = (tile / (down * across), tile % (down * across));
        let pitch = (TILE * across + 2) * self.depth;
        image * self.image_len() + place / across * TILE * pitch + place % across * TILE * self.depth
    }

    /// Transforms tiles to `[36, tiles, depth]`.
    fn transform_input(&self, copy: &[u8], tiles: std::ops::Range<usize>, input: &mut [i16]) {
        let pitch = (TILE * self.tiles[1] + 2) * self.depth;
        let plane = tiles.len() * self.depth;
        for (i, tile) in tiles.enumerate() {
            for channel in (0..self.depth).step_by(CHANNELS) {
                let bytes = &copy[self.start(tile) + channel..];
                vnni::transform_input(bytes, [pitch, self.depth], &mut input[i * self.depth + channel..], plane);
            }
        }
    }

    /// The products of transformed tiles with a panel of filters: `[36, tiles, 64]`.
    fn multiply(&self, input: &[i16], tiles: usize, first: usize, products: &mut [i32]) {
        let vectors = PANEL.min(self.filters - first).div_ceil(VECTOR);
        let words = self.depth / 2;
        let weights: &[i8] = bytemuck::cast_slice(&self.weights);
        let weights = &weights[first * PRODUCTS * words * WORD..];
        let bytes: &[u8] = bytemuck::cast_slice(input);
        let products = products.as_chunks_mut::<PANEL>().0;
        let together = rows(vectors);
        let mut block = Block { bytes, starts: [0; ROWS], runs: 1, run_stride: 0, run_words: words };
        let mut sums: Sums = [[0; PANEL]; ROWS];
        for product in 0..PRODUCTS {
            let columns = &weights[product * words * vectors * VECTOR * WORD..][..words * vectors * VECTOR * WORD];
            for tile in (0..tiles).step_by(together) {
                for (row, start) in block.starts.iter_mut().enumerate() {
                    *start = (product * tiles + (tile + row).min(tiles - 1)) * words * WORD;
                }
                let to = &mut products[product * tiles + tile..(product + 1) * tiles];
                match to.first_chunk_mut::<ROWS>() {
                    // Rows past the block's are computed by the next one.
                    Some(to) => vnni::multiply::<true>(&block, vectors, columns, to),
                    None => {
                        vnni::multiply::<true>(&block, vectors, columns, &mut sums);
                        to.iter_mut().zip(sums).for_each(|(to, sums)| *to = sums);
                    }
                }
            }
        }
    }

    /// Transforms products to sums, and writes the output of a panel.
    fn finish<V: Value>(
        &self,
        products: &[i32],
        tiles: &std::ops::Range<usize>,
        [first, columns]: [usize; 2],
        epilogue: &Epilogue,
        add: Option<&[u8]>,
        y: SharedMut<'_, V>,
    ) {
        let [down, across] = self.tiles;
        let [height, width] = self.window.output;
        let products = products.as_chunks::<PANEL>().0;
        let mut sums = [[[0; PANEL]; ROWS]; TILE];
        let mut values = [[V::default(); PANEL]; TILE];
        for (i, tile) in tiles.clone().enumerate() {
            vnni::transform_output(&products[i..], tiles.len(), columns.div_ceil(VECTOR), &mut sums);
            let (image, place) = (tile / (down * across), tile % (down * across));
            let [top, left] = [place / across * TILE, place % across * TILE];
            let count = TILE.min(width - left);
            for (row, sums) in sums[..TILE.min(height - top)].iter().enumerate() {
                let position = (image * height + top + row) * width + left;
                let begin = position * self.filters + first;
                let add = add.map(|add| &add[begin..begin + (count - 1) * self.filters + columns]);
                epilogue.finish(&sums[..count], [first, columns], add, self.filters, &mut values);
                for (column, values) in values[..count].iter().enumerate() {
                    // SAFETY: tasks compute different tiles, whose outputs are disjoint.
                    #[allow(unsafe_code)]
                    let to = unsafe { y.slice(begin + column * self.filters, columns) };
                    to.copy_from_slice(&values[..columns]);
                }
            }
        }
    }
}

/// One of the transformed values of the 3 × 3 kernels of some filters.
fn transform_weights<'a>(product: usize, of_tap: impl Fn(usize) -> &'a [i8]) -> [i16; PANEL] {
    let mut sums = [0i16; PANEL];
    let [row, column] = [WEIGHTS[product / INPUTS], WEIGHTS[product % INPUTS]];
    for tap in 0..9 {
        let factor = row[tap / 3] * column[tap % 3];
        if factor != 0 {
            sums.iter_mut().zip(of_tap(tap)).for_each(|(sum, &weight)| *sum += factor * i16::from(weight));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::convolution::{Convolution, Filters};
    use super::super::map::Bytes;
    use super::super::quantization::Quantization;
    use super::*;
    use crate::kernels::window::Padding;
    use crate::random::Stream;
    use crate::tensor::Shape;

    /// Outputs as bytes and as f32 of all methods.
    fn check(input: Shape, padding: Padding, filters: usize, images: usize, extreme: bool) {
        let mut stream = Stream::new(filters as u64);
        let window = Window::new(input, [3, 3], [1, 1], padding).unwrap();
        let mut draw = |len: usize| -> Vec<f32> {
            (0..len).map(|_| if extreme { [-1.0, 1.0][stream.below(2)] } else { stream.normal() }).collect()
        };
        let (kernel, bias) = (draw(window.patch_len() * filters), draw(filters));
        let quantization = Quantization::of_range([-0.5, 2.0]);
        let mut x = Bytes::new(images, input, quantization, Buffer::zeros(Bytes::memory_len(images, input)));
        let byte = |stream: &mut Stream| if extreme { [0, 255][stream.below(2)] } else { stream.below(256) as u8 };
        x.values_mut().iter_mut().for_each(|value| *value = byte(&mut stream));
        let add: Vec<u8> = (0..images * window.positions() * filters).map(|_| byte(&mut stream)).collect();
        let real = Filters { window, kernel: &kernel, bias: Some(&bias), relu: true, then: None };
        for added in [None, Some(quantization)] {
            let fast = Convolution::new(&real, quantization, None, added).unwrap();
            assert!(fast.uses_winograd(images), "{window:?}");
            let direct = Convolution::new(&real, quantization, None, added).unwrap().without_winograd();
            let add = added.map(|_| &add[..]);
            let run = |convolution: &Convolution, tasks: usize| {
                let mut y = vec![f32::NAN; images * window.positions() * filters];
                let mut scratch = vec![f32::NAN; convolution.scratch_len(images)];
                convolution.forward(&x, add, &mut y, &mut scratch, tasks);
                y
            };
            let expected = run(&direct, 1);
            for tasks in [1, 2, 5] {
                assert!(run(&fast, tasks) == expected, "{window:?}, {filters} filters, {tasks} tasks");
            }
        }
    }

    #[test]
    fn sums_are_those_of_the_direct_method() {
        if !vnni::is_available() || super::super::Instructions::in_use() != super::super::Instructions::Vnni {
            return eprintln!("SKIPPED: this processor or level does not have AVX-512 VNNI");
        }
        check(Shape::new(12, 12, 64), Padding::Same, 64, 3, false);
        check(Shape::new(24, 20, 32), Padding::Same, 100, 2, false);
        check(Shape::new(23, 25, 30), Padding::Valid, 40, 2, false);
        check(Shape::new(16, 16, 96), Padding::Each(1), 17, 4, false);
        check(Shape::new(12, 12, 100), Padding::Same, 130, 5, true);
        // Almost the largest sums.
        check(Shape::new(8, 8, 110), Padding::Same, 20, 8, true);
    }

    #[test]
    fn transformed_values_have_16_bits() {
        for kernel in 0..1 << 9 {
            // Extreme weights, for which an overflow would panic in this test.
            let weights: [[i8; 1]; 9] = std::array::from_fn(|tap| [if kernel >> tap & 1 == 1 { 127 } else { -127 }]);
            for product in 0..PRODUCTS {
                let value = transform_weights(product, |tap| &weights[tap])[0];
                assert!(value.abs() <= 6223, "{value}");
            }
        }
    }
}
