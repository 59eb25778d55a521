//! Maps of bytes, and kernels that limit them by memory: conversions, sums and maximum pooling.

use super::quantization::Quantization;
use crate::buffer::Buffer;
use crate::kernels::concatenate::put;
use crate::kernels::isa;
use crate::kernels::window::Window;
use crate::tensor::Shape;
use rayon::prelude::*;

/// Values that one task computes.
const TASK: usize = 32 * 1024;

/// Maps `[N, H, W, C]` of bytes.
pub struct Bytes {
    batch: usize,
    shape: Shape,
    pub quantization: Quantization,
    memory: Buffer,
}

impl Bytes {
    /// Number of `f32` values whose memory holds that many maps.
    pub fn memory_len(batch: usize, shape: Shape) -> usize {
        (batch * shape.len()).div_ceil(size_of::<f32>())
    }

    /// Maps in this memory, which may be longer.
    ///
    /// # Panics
    /// When it is shorter than [`Self::memory_len`].
    pub fn new(batch: usize, shape: Shape, quantization: Quantization, memory: Buffer) -> Self {
        assert!(memory.len() >= Self::memory_len(batch, shape), "the memory is shorter than the maps");
        Self { batch, shape, quantization, memory }
    }

    pub fn into_memory(self) -> Buffer {
        self.memory
    }

    pub fn batch(&self) -> usize {
        self.batch
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The same maps in another shape of the same length.
    pub fn reshaped(mut self, shape: Shape) -> Self {
        debug_assert_eq!(shape.len(), self.shape.len());
        self.shape = shape;
        self
    }

    /// All bytes, NHWC.
    pub fn values(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.memory)[..self.batch * self.shape.len()]
    }

    /// All bytes, NHWC.
    pub fn values_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.memory)[..self.batch * self.shape.len()]
    }
}

/// The nearest bytes of values.
pub fn quantize(x: &[f32], quantization: Quantization, y: &mut [u8]) {
    y.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(y, x)| {
        isa::dispatch(
            #[inline(always)]
            || y.iter_mut().zip(x).for_each(|(y, &x)| *y = quantization.quantize(x)),
        );
    });
}

/// The values of bytes.
pub fn dequantize(x: &Bytes, y: &mut [f32]) {
    let quantization = x.quantization;
    y.par_chunks_mut(TASK).zip(x.values().par_chunks(TASK)).for_each(|(y, x)| {
        isa::dispatch(
            #[inline(always)]
            || y.iter_mut().zip(x).for_each(|(y, &x)| *y = quantization.value(x)),
        );
    });
}

/// The sum of values and bytes of the same shape, with ReLU or without, as bytes.
pub fn add(x: &[f32], bytes: &Bytes, relu: bool, y: &mut Bytes) {
    let (from, to) = (bytes.quantization, y.quantization);
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    let rows = x.par_chunks(TASK).zip(bytes.values().par_chunks(TASK));
    y.values_mut().par_chunks_mut(TASK).zip(rows).for_each(|(y, (x, bytes))| {
        isa::dispatch(
            #[inline(always)]
            || {
                let values = x.iter().zip(bytes).map(|(x, &byte)| (x + from.value(byte)).max(floor));
                y.iter_mut().zip(values).for_each(|(y, value)| *y = to.quantize(value));
            },
        );
    });
}

/// Maximum over each window; padding is not counted. Both maps have the same quantization.
pub fn max(window: &Window, x: &[u8], y: &mut [u8]) {
    let channels = window.input.channels;
    let line = window.output[1] * channels;
    y.par_chunks_mut(line).enumerate().for_each(|(line, y)| {
        isa::dispatch(
            #[inline(always)]
            || {
                let (image, line) = (line / window.output[0], line % window.output[0]);
                let x = &x[image * window.input.len()..][..window.input.len()];
                let (top, _, height) = window.covered(0, line);
                for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                    let (left, _, width) = window.covered(1, column);
                    y.fill(0);
                    for row in top..top + height {
                        for column in left..left + width {
                            let x = &x[(row * window.input.width + column) * channels..][..channels];
                            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (*y).max(x));
                        }
                    }
                }
            },
        );
    });
}

/// Copies channels of bytes that represent values in another way to the channels of `y` from `first` on.
pub fn concatenate(x: &Bytes, y: &mut Bytes, first: usize) {
    let (from, to) = (x.quantization, y.quantization);
    let (channels, all) = (x.shape().channels, y.shape().channels);
    if from == to {
        return put(x.values(), channels, y.values_mut(), all, first);
    }
    for (x, y) in x.values().chunks_exact(channels).zip(y.values_mut().chunks_exact_mut(all)) {
        y[first..first + channels].iter_mut().zip(x).for_each(|(y, &x)| *y = to.quantize(from.value(x)));
    }
}

/// The mean over all positions of each map, for global pooling. Sums are exact integers.
pub fn mean(x: &Bytes, y: &mut [f32]) {
    let (channels, positions) = (x.shape().channels, x.shape().positions());
    let Quantization { scale, zero } = x.quantization;
    for (x, y) in x.values().chunks_exact(channels * positions).zip(y.chunks_exact_mut(channels)) {
        isa::dispatch(
            #[inline(always)]
            || {
                for (first, y) in y.chunks_mut(64).enumerate() {
                    let mut sums = [0u64; 64];
                    for x in x.chunks_exact(channels) {
                        let x = &x[first * 64..][..y.len()];
                        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += u64::from(x));
                    }
                    let of = |sum: u64| scale * (sum as f32 / positions as f32 - f32::from(zero));
                    y.iter_mut().zip(sums).for_each(|(y, sum)| *y = of(sum));
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::window::Padding;
    use crate::random::Stream;

    fn maps(batch: usize, shape: Shape, range: [f32; 2], stream: &mut Stream) -> Bytes {
        let memory = Buffer::zeros(Bytes::memory_len(batch, shape));
        let mut bytes = Bytes::new(batch, shape, Quantization::of_range(range), memory);
        bytes.values_mut().iter_mut().for_each(|byte| *byte = stream.below(256) as u8);
        bytes
    }

    fn values(bytes: &Bytes) -> Vec<f32> {
        bytes.values().iter().map(|&byte| bytes.quantization.value(byte)).collect()
    }

    #[test]
    fn values_survive_a_conversion_and_back() {
        let mut stream = Stream::new(1);
        let x = maps(3, Shape::new(5, 7, 11), [-1.0, 3.0], &mut stream);
        let mut wide = vec![f32::NAN; x.values().len()];
        dequantize(&x, &mut wide);
        assert_eq!(wide, values(&x));
        let mut again = maps(3, Shape::new(5, 7, 11), [-1.0, 3.0], &mut stream);
        quantize(&wide, x.quantization, again.values_mut());
        assert_eq!(again.values(), x.values());
    }

    #[test]
    fn sums_are_those_of_the_values() {
        let mut stream = Stream::new(2);
        let shape = Shape::new(3, 4, 21);
        let bytes = maps(2, shape, [-1.0, 2.0], &mut stream);
        let x: Vec<f32> = bytes.values().iter().map(|_| stream.normal()).collect();
        for relu in [false, true] {
            let mut y = maps(2, shape, [-3.0, 4.0], &mut stream);
            add(&x, &bytes, relu, &mut y);
            for ((x, byte), sum) in x.iter().zip(values(&bytes)).zip(values(&y)) {
                let exact = f64::from(*x) + f64::from(byte);
                let exact = if relu { exact.max(0.0) } else { exact }.clamp(-3.01, 4.01);
                assert!((f64::from(sum) - exact).abs() < f64::from(y.quantization.scale), "{sum} is not {exact}");
            }
        }
    }

    #[test]
    fn pooling_is_that_of_the_values() {
        let mut stream = Stream::new(3);
        for (input, size, stride, padding) in [
            (Shape::new(6, 8, 70), 2, 2, Padding::Valid),
            (Shape::new(7, 5, 3), 3, 2, Padding::Same),
            (Shape::new(5, 5, 16), 3, 1, Padding::Each(1)),
        ] {
            let window = Window::new(input, [size, size], [stride, stride], padding).unwrap();
            let x = maps(2, input, [-1.0, 1.0], &mut stream);
            let mut y = maps(2, window.output_shape(input.channels), [-1.0, 1.0], &mut stream);
            max(&window, x.values(), y.values_mut());
            let mut expected = vec![f32::NAN; y.values().len()];
            crate::kernels::pooling::max_only(&window, &values(&x), &mut expected);
            assert_eq!(values(&y), expected);
            let mut means = vec![f32::NAN; 2 * input.channels];
            mean(&x, &mut means);
            for (image, means) in means.chunks_exact(input.channels).enumerate() {
                for (channel, mean) in means.iter().enumerate() {
                    let all = values(&x)[image * input.len()..][..input.len()].to_vec();
                    let sum: f64 = all[channel..].iter().step_by(input.channels).map(|&v| f64::from(v)).sum();
                    assert!((f64::from(*mean) - sum / input.positions() as f64).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn channels_are_concatenated() {
        let mut stream = Stream::new(4);
        let [a, b] = [[0.0, 1.0], [0.0, 2.0]].map(|range| maps(2, Shape::new(2, 2, 3), range, &mut stream));
        let mut y = maps(2, Shape::new(2, 2, 6), [0.0, 2.0], &mut stream);
        concatenate(&a, &mut y, 0);
        concatenate(&b, &mut y, 3);
        for (i, y) in values(&y).chunks_exact(6).enumerate() {
            assert_eq!(y[3..], values(&b)[3 * i..][..3]);
            assert!(y.iter().zip(&values(&a)[3 * i..][..3]).all(|(y, a)| (y - a).abs() < 0.005));
        }
    }
}
