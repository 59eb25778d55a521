//! Convolution of maps of bytes with signed bytes as weights.

use super::block::{Block, PANEL, ROWS, VECTOR, WORD, rows};
use super::epilogue::{Epilogue, Value, units};
use super::map::Bytes;
use super::patches::Patches;
use super::product::Instructions;
use super::quantization::Quantization;
use crate::buffer::Buffer;
use crate::kernels::disjoint::SharedMut;
use crate::kernels::isa;
use crate::kernels::window::Window;
use rayon::prelude::*;

/// The largest weight.
const MOST: f32 = 127.0;

/// `activation(x ∗ kernel + bias)` in real numbers: what a [`Convolution`] approximates.
pub struct Filters<'a> {
    pub window: Window,
    /// `[height, width, channels, filters]`.
    pub kernel: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
    /// Factors and offsets of a normalization that follows the activation.
    pub then: Option<[&'a [f32]; 2]>,
}

/// A convolution of bytes. Weights have one scale for each filter, the largest of them is 127.
pub struct Convolution {
    filters: usize,
    patches: Patches,
    input: Quantization,
    /// Panels of columns, one after the other; each has all words of its columns.
    weights: Buffer,
    epilogue: Epilogue,
    /// The same convolution by products of tiles, with AMX.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    tiled: Option<super::tiled::Tiled>,
    /// The same convolution with fewer products, for batches.
    #[cfg(target_arch = "x86_64")]
    winograd: Option<super::winograd::Winograd>,
    /// The quantization of the output, or `None` for f32.
    output: Option<Quantization>,
}

impl Convolution {
    /// Quantizes filters, for inputs and outputs of these quantizations (`None`: f32 outputs), and a map that is added
    /// before the activation. `None` where 32 bits might not hold a sum, or a scale is not a normal number.
    pub fn new(
        filters: &Filters<'_>,
        input: Quantization,
        output: Option<Quantization>,
        add: Option<Quantization>,
    ) -> Option<Self> {
        let count = filters.kernel.len() / filters.window.patch_len();
        let scales = scales(filters.kernel, count)?;
        let quantized = quantized(filters.kernel, &scales);
        // Sums of the absolute weights of each filter, and of the weights.
        let mut sums = vec![[0i64; 2]; count];
        for row in quantized.chunks_exact(count) {
            for (sums, &weight) in sums.iter_mut().zip(row) {
                *sums = [sums[0] + i64::from(weight.unsigned_abs()), sums[1] + i64::from(weight)];
            }
        }
        let largest = sums.iter().map(|sums| sums[0]).max().and_then(|sum| i32::try_from(sum).ok())?;
        // A sum is at most 255 · Σ |weight|, as is the part of the zero.
        if largest > i32::MAX / (2 * 255) {
            return None;
        }
        let patches = Patches::new(&filters.window);
        let weights = pack(&patches, count, &quantized);
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        let tiled = (Instructions::in_use() == Instructions::Amx)
            .then(|| super::tiled::Tiled::new(&filters.window, count, &quantized));
        #[cfg(target_arch = "x86_64")]
        let winograd = if Instructions::in_use() == Instructions::Vnni {
            super::winograd::Winograd::new(&filters.window, count, largest, &quantized)
        } else {
            None
        };
        // What the input's zero adds to each sum; panels are padded to whole vectors.
        let zero_part = |sums: [i64; 2]| (-i64::from(input.zero) * sums[1]) as i32;
        let mut offset: Vec<i32> = sums.into_iter().map(zero_part).collect();
        offset.resize(panels(count).map(|panel| panel.vectors * VECTOR).sum(), 0);
        let epilogue = epilogue(filters, &scales, offset, input.scale, output, add);
        Some(Self {
            filters: count,
            patches,
            input,
            weights,
            epilogue,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            tiled,
            #[cfg(target_arch = "x86_64")]
            winograd,
            output,
        })
    }

    /// The quantization of the output; `None` for f32.
    pub fn output(&self) -> Option<Quantization> {
        self.output
    }

    /// Whether a batch is computed by Winograd's method.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub fn uses_winograd(&self, images: usize) -> bool {
        self.winograd.as_ref().is_some_and(|winograd| winograd.is_faster(images))
    }

    /// The same convolution by the direct method.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub fn without_winograd(self) -> Self {
        Self { winograd: None, ..self }
    }

    /// Number of `f32` values whose memory holds a copy of that many images.
    pub fn scratch_len(&self, images: usize) -> usize {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if self.tiled.is_some() {
            return 0;
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(winograd) = self.winograd.as_ref().filter(|winograd| winograd.is_faster(images)) {
            return winograd.copy_len(images).div_ceil(size_of::<f32>());
        }
        self.patches.copy_len(images).div_ceil(size_of::<f32>())
    }

    /// Computes the output of `x`, `[N, H, W, C]`, in `tasks` parts. `y` and `add` are `[N, OH, OW, F]`.
    pub fn forward<V: Value>(&self, x: &Bytes, add: Option<&[u8]>, y: &mut [V], scratch: &mut [f32], tasks: usize) {
        debug_assert_eq!(x.quantization, self.input);
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if let Some(tiled) = &self.tiled {
            return tiled.forward(x.values(), self.input.zero, &self.epilogue, add, y, tasks);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(winograd) = self.winograd.as_ref().filter(|winograd| winograd.is_faster(x.batch())) {
            let copy = &mut bytemuck::cast_slice_mut(scratch)[..winograd.copy_len(x.batch())];
            let (zero, y) = (self.input.zero, SharedMut::new(y));
            return winograd.forward(x.values(), zero, &self.epilogue, add, y, copy, tasks);
        }
        let copy_len = self.patches.copy_len(x.batch());
        let bytes = if copy_len == 0 {
            x.values()
        } else {
            let copy = &mut bytemuck::cast_slice_mut(scratch)[..copy_len];
            self.patches.copy(x.values(), self.input.zero, copy);
            copy
        };
        let positions = x.batch() * self.patches.positions.len();
        debug_assert_eq!(y.len(), positions * self.filters);
        let y = SharedMut::new(y);
        let panels = self.filters.div_ceil(PANEL);
        let parts = tasks.div_ceil(panels);
        let rows = rows(Panel::new(self.filters, 0).vectors);
        let each = positions.div_ceil(rows).div_ceil(parts) * rows;
        let compute = |task: usize| {
            let first = task % parts * each;
            let panel = Panel::new(self.filters, task / parts);
            self.compute(&panel, bytes, add, first.min(positions)..(first + each).min(positions), y);
        };
        if tasks <= 1 {
            (0..panels).for_each(compute);
        } else {
            (0..panels * parts).into_par_iter().for_each(compute);
        }
    }

    /// Computes the columns of a panel at some positions.
    fn compute<V: Value>(
        &self,
        panel: &Panel,
        bytes: &[u8],
        add: Option<&[u8]>,
        positions: std::ops::Range<usize>,
        y: SharedMut<'_, V>,
    ) {
        let Patches { positions: of_image, image, .. } = &self.patches;
        let rows = rows(panel.vectors);
        let weights: &[i8] = bytemuck::cast_slice(&self.weights);
        let words = self.patches.runs() * self.patches.run_words();
        let weights = &weights[panel.first * words * WORD..][..panel.vectors * VECTOR * words * WORD];
        let instructions = Instructions::in_use();
        let mut block = Block {
            bytes,
            starts: [0; ROWS],
            runs: self.patches.runs(),
            run_stride: self.patches.run_stride(),
            run_words: self.patches.run_words(),
        };
        let mut sums = [[0; PANEL]; ROWS];
        let mut values = [[V::default(); PANEL]; ROWS];
        let [mut number, mut position] = [positions.start / of_image.len(), positions.start % of_image.len()];
        for first in positions.clone().step_by(rows) {
            let count = rows.min(positions.end - first);
            for start in &mut block.starts[..count] {
                *start = number * image + of_image[position];
                position += 1;
                if position == of_image.len() {
                    [number, position] = [number + 1, 0];
                }
            }
            // Rows past the last position repeat it.
            let last = block.starts[count - 1];
            block.starts[count..].fill(last);
            instructions.multiply(&block, panel.vectors, weights, &mut sums);
            let begin = first * self.filters + panel.first;
            let add = add.map(|add| &add[begin..begin + (count - 1) * self.filters + panel.columns]);
            self.epilogue.finish(&sums[..count], [panel.first, panel.columns], add, self.filters, &mut values);
            for (row, values) in values[..count].iter().enumerate() {
                // SAFETY: tasks compute different positions or panels.
                #[allow(unsafe_code)]
                let to = unsafe { y.slice(begin + row * self.filters, panel.columns) };
                to.copy_from_slice(&values[..panel.columns]);
            }
        }
    }
}

/// Columns that are multiplied together.
struct Panel {
    /// First column, and the number of filters.
    first: usize,
    columns: usize,
    vectors: usize,
}

impl Panel {
    fn new(filters: usize, number: usize) -> Self {
        let first = number * PANEL;
        let columns = PANEL.min(filters - first);
        Self { first, columns, vectors: columns.div_ceil(VECTOR) }
    }
}

fn panels(filters: usize) -> impl Iterator<Item = Panel> {
    (0..filters.div_ceil(PANEL)).map(move |number| Panel::new(filters, number))
}

/// The scale of each filter's weights; `None` where one is not finite.
fn scales(kernel: &[f32], filters: usize) -> Option<Vec<f32>> {
    let mut most = vec![0.0f32; filters];
    for row in kernel.chunks_exact(filters) {
        if row.iter().any(|weight| !weight.is_finite()) {
            return None;
        }
        most.iter_mut().zip(row).for_each(|(most, weight)| *most = most.max(weight.abs()));
    }
    // A filter of zeros has any scale.
    Some(most.into_iter().map(|most| if most > 0.0 { (most / MOST).max(f32::MIN_POSITIVE) } else { 1.0 }).collect())
}

/// The nearest weights.
fn quantized(kernel: &[f32], scales: &[f32]) -> Vec<i8> {
    let mut quantized = vec![0; kernel.len()];
    isa::dispatch(
        #[inline(always)]
        || {
            for (quantized, kernel) in quantized.chunks_exact_mut(scales.len()).zip(kernel.chunks_exact(scales.len())) {
                for ((quantized, weight), scale) in quantized.iter_mut().zip(kernel).zip(scales) {
                    *quantized = (weight / scale).round_ties_even().clamp(-MOST, MOST) as i8;
                }
            }
        },
    );
    quantized
}

/// Panels of columns, one after the other: for each word of a window, the weights of all columns.
fn pack(patches: &Patches, filters: usize, quantized: &[i8]) -> Buffer {
    let words = patches.runs() * patches.run_words();
    let columns: usize = panels(filters).map(|panel| panel.vectors * VECTOR).sum();
    // A word has the size of an f32.
    let mut weights = Buffer::zeros(words * columns);
    let packed: &mut [i8] = bytemuck::cast_slice_mut(&mut weights);
    for panel in panels(filters) {
        let width = panel.vectors * VECTOR;
        let packed = &mut packed[panel.first * words * WORD..][..width * words * WORD];
        for (word, packed) in packed.chunks_exact_mut(width * WORD).enumerate() {
            for byte in 0..WORD {
                if let Some(at) = patches.weight(word * WORD + byte) {
                    let row = &quantized[at * filters + panel.first..][..panel.columns];
                    packed.iter_mut().skip(byte).step_by(WORD).zip(row).for_each(|(to, &weight)| *to = weight);
                }
            }
        }
    }
    weights
}

fn epilogue(
    filters: &Filters<'_>,
    scales: &[f32],
    offset: Vec<i32>,
    input: f32,
    output: Option<Quantization>,
    add: Option<Quantization>,
) -> Epilogue {
    let [unit, zero] = units(output);
    // A normalization after the activation converts to units of the output; else the scales do.
    let [first_unit, first_zero] = if filters.then.is_some() { [1.0, 0.0] } else { [unit, zero] };
    let columns = offset.len();
    let padded = |of: &dyn Fn(usize) -> f64| -> Vec<f32> {
        (0..columns).map(|i| if i < scales.len() { of(i) as f32 } else { 0.0 }).collect()
    };
    let added = add.map_or(0.0, |add| f64::from(add.scale));
    let added_zero = add.map_or(0.0, |add| f64::from(add.zero));
    let bias = |i: usize| filters.bias.map_or(0.0, |bias| f64::from(bias[i]));
    Epilogue {
        offset,
        factor: padded(&|i| f64::from(input) * f64::from(scales[i]) * first_unit),
        bias: padded(&|i| (bias(i) - added * added_zero) * first_unit + first_zero),
        add: (added * first_unit) as f32,
        floor: if filters.relu { first_zero as f32 } else { f32::NEG_INFINITY },
        then: filters.then.map(|[scale, shift]| {
            [padded(&|i| f64::from(scale[i]) * unit), padded(&|i| f64::from(shift[i]) * unit + zero)]
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::window::Padding;
    use crate::random::Stream;
    use crate::tensor::Shape;
    use proptest::prelude::*;

    struct Case {
        window: Window,
        filters: usize,
        images: usize,
        relu: bool,
        then: bool,
        add: bool,
        low: f32,
        seed: u64,
    }

    /// The values of the output, as bytes and as f32, and the direct sum of the values that bytes and weights represent.
    fn check(case: &Case) {
        let Case { window, filters, images, .. } = *case;
        let mut stream = Stream::new(case.seed);
        let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| stream.normal()).collect() };
        let (kernel, bias) = (draw(window.patch_len() * filters), draw(filters));
        let (scale, shift) = (draw(filters), draw(filters));
        let input = Quantization::of_range([case.low, 2.0]);
        let range = 3.0 * (window.patch_len() as f32).sqrt();
        let output = Quantization::of_range([if case.relu && !case.then { 0.0 } else { -range }, range]);
        let added = Quantization::of_range([-1.0, 3.0]);
        let mut bytes = |len: usize| -> Vec<u8> { (0..len).map(|_| stream.below(256) as u8).collect() };
        let (values, extra) = (bytes(images * window.input.len()), bytes(images * window.positions() * filters));
        let mut x = Bytes::new(images, window.input, input, Buffer::zeros(Bytes::memory_len(images, window.input)));
        x.values_mut().copy_from_slice(&values);
        let real = Filters {
            window,
            kernel: &kernel,
            bias: Some(&bias),
            relu: case.relu,
            then: case.then.then_some([&scale, &shift]),
        };
        let add = case.add.then_some(added);
        let make = |output| Convolution::new(&real, input, output, add).unwrap();
        let (to_bytes, to_values) = (make(Some(output)), make(None));
        let mut scratch = vec![f32::NAN; to_bytes.scratch_len(images)];
        let extra_bytes = case.add.then_some(&extra[..]);
        let (mut y, mut wide) = (vec![1u8; extra.len()], vec![f32::NAN; extra.len()]);
        to_bytes.forward(&x, extra_bytes, &mut y, &mut scratch, 1);
        to_values.forward(&x, extra_bytes, &mut wide, &mut scratch, 1);
        for tasks in [2, 7] {
            let mut parts = vec![1u8; y.len()];
            to_bytes.forward(&x, extra_bytes, &mut parts, &mut scratch, tasks);
            assert_eq!(parts, y, "{tasks} tasks");
        }
        let steps = scales(&kernel, filters).unwrap();
        for (at, (&byte, &value)) in y.iter().zip(&wide).enumerate() {
            let (position, filter) = (at / filters, at % filters);
            let mut sum = f64::from(bias[filter]);
            let mut magnitude = sum.abs();
            for_weights(&window, position, |from, weight| {
                let weight = (kernel[weight * filters + filter] / steps[filter]).round_ties_even() * steps[filter];
                let product = f64::from(input.value(values[from])) * f64::from(weight);
                sum += product;
                magnitude += product.abs();
            });
            if case.add {
                sum += f64::from(added.value(extra[at]));
            }
            if case.relu {
                sum = sum.max(0.0);
            }
            if case.then {
                sum = sum * f64::from(scale[filter]) + f64::from(shift[filter]);
                magnitude = magnitude * f64::from(scale[filter]).abs() + f64::from(shift[filter]).abs();
            }
            assert!((f64::from(value) - sum).abs() <= 1e-5 * magnitude, "{value} is not {sum}");
            let step = f64::from(output.scale);
            let [least, most] = [0, 255].map(|byte| f64::from(output.value(byte)));
            let limited = sum.clamp(least, most);
            let error = (f64::from(output.value(byte)) - limited).abs();
            assert!(error <= 0.5001 * step + 1e-5 * magnitude, "{byte} differs from {limited} by {error}");
        }
    }

    /// Calls `visit` with the indices of every input and weight of an output position.
    fn for_weights(window: &Window, position: usize, mut visit: impl FnMut(usize, usize)) {
        let Shape { height, width, channels } = window.input;
        let (image, place) = (position / window.positions(), position % window.positions());
        let [row, column] = [place / window.output[1], place % window.output[1]];
        for tap in 0..window.size[0] * window.size[1] {
            let y = (row * window.strides[0] + tap / window.size[1]).wrapping_sub(window.before[0]);
            let x = (column * window.strides[1] + tap % window.size[1]).wrapping_sub(window.before[1]);
            if y < height && x < width {
                for channel in 0..channels {
                    visit(((image * height + y) * width + x) * channels + channel, tap * channels + channel);
                }
            }
        }
    }

    fn window() -> impl Strategy<Value = Window> {
        let input = (1usize..9, 1usize..9, prop_oneof![1usize..10, 60usize..70]);
        let padding = prop_oneof![Just(Padding::Same), Just(Padding::Valid), Just(Padding::Each(1))];
        (input, [1usize..5, 1usize..5], [1usize..4, 1usize..4], padding).prop_filter_map(
            "the window does not fit",
            |((height, width, channels), size, strides, padding)| {
                Window::new(Shape::new(height, width, channels), size, strides, padding).ok()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn convolutions_are_direct_sums(
            window in window(), filters in prop_oneof![1usize..40, 60usize..140], images in 1usize..4,
            relu: bool, then: bool, add: bool, low in prop_oneof![Just(0.0f32), -1.0f32..0.0], seed: u64,
        ) {
            prop_assume!(window.positions() * window.patch_len() * filters * images < 10_000_000);
            check(&Case { window, filters, images, relu, then, add, low, seed });
        }
    }

    #[test]
    fn a_sum_that_32_bits_may_not_hold_is_refused() {
        let channels = 40_000;
        let window = Window::new(Shape::flat(channels), [1, 1], [1, 1], Padding::Valid).unwrap();
        let is_possible = |kernel: &[f32]| {
            let filters = Filters { window, kernel, bias: None, relu: false, then: None };
            Convolution::new(&filters, Quantization::of_range([0.0, 1.0]), None, None).is_some()
        };
        assert!(!is_possible(&vec![1.0; channels]));
        assert!(!is_possible(&vec![f32::NAN; channels]));
        let mut sparse = vec![0.0; channels];
        sparse[7] = 1.0;
        assert!(is_possible(&sparse));
    }
}
