//! Convolution of maps with few channels, as the first one of a network for color images.
//!
//! Patches of such maps are short, so gathering them would take as long as the products. A row of
//! a patch is contiguous in the map, and the patches of a line are a fixed distance apart: each row
//! of the kernel is one matrix product that reads the map itself. `im2col` computes the few patches
//! that reach over the left and right border.

use super::epilogue::Epilogue;
use super::gemm::{self, Destination, Matrix, gemm, gemm_raw};
use super::im2col::with_patches;
use super::window::Window;
use rayon::prelude::*;

/// Maximum number of channels.
const MOST: usize = 4;

/// Whether a convolution is computed here.
pub fn applies(window: &Window) -> bool {
    (2..=MOST).contains(&window.input.channels) && window.size[1] > 1 && window.input.width >= window.size[1]
}

/// `y = epilogue(x ∗ kernel)` with a kernel that `im2col` has prepared.
pub fn forward(window: &Window, filters: usize, x: &[f32], prepared: &[f32], epilogue: &Epilogue<'_>, y: &mut [f32]) {
    let columns = window.output[1];
    y.par_chunks_mut(columns * filters).enumerate().for_each(|(line, y)| {
        let (first, count) = inside(window);
        if count > 0 {
            middle(window, filters, x, prepared, line, first, &mut y[first * filters..(first + count) * filters]);
        }
        for column in (0..first).chain(first + count..columns) {
            let y = &mut y[column * filters..][..filters];
            with_patches(window, x, line * columns + column, 1, |patch| {
                gemm(y, patch, prepared, 1, window.patch_len(), filters, false);
            });
        }
        epilogue.finish(y, line * columns, filters);
    });
}

/// The first output of a line whose columns are all inside the map, and the number of these.
fn inside(window: &Window) -> (usize, usize) {
    let (width, stride, left) = (window.input.width, window.strides[1], window.before[1]);
    let first = left.div_ceil(stride).min(window.output[1]);
    // The window of output o ends at o · stride − left + size.
    let end = (width + left - window.size[1]) / stride + 1;
    (first, end.min(window.output[1]).saturating_sub(first))
}

/// The outputs of a line from `first` on, as many as `y` holds.
fn middle(window: &Window, filters: usize, x: &[f32], prepared: &[f32], line: usize, first: usize, y: &mut [f32]) {
    let (image, row) = (line / window.output[0], line % window.output[0]);
    let image = &x[image * window.input.len()..][..window.input.len()];
    let (top, skipped, height) = window.covered(0, row);
    if height == 0 {
        return y.fill(0.0);
    }
    let channels = window.input.channels;
    let (patch, part, width) = (window.patch_len(), window.size[1] * channels, gemm::panel_width());
    let begin = (first * window.strides[1] - window.before[1]) * channels;
    let count = y.len() / filters;
    for kernel_row in 0..height {
        let data = &image[(top + kernel_row) * window.input.width * channels + begin..];
        let rows = Matrix { data, row_stride: window.strides[1] * channels, column_stride: 1 };
        for panel in 0..filters.div_ceil(width) {
            let weights = &prepared[(panel * patch + (skipped + kernel_row) * part) * width..][..part * width];
            let column = panel * width;
            let c = Destination { data: y[column..].as_mut_ptr(), row_stride: filters };
            // SAFETY: `y` is borrowed exclusively and holds `count` rows of `filters` values, of
            // which the panel's columns are written.
            #[allow(unsafe_code)]
            unsafe {
                gemm_raw(c, rows, weights, count, part, width.min(filters - column), kernel_row > 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::kernels::activation::Activation;
    use crate::kernels::im2col::{self, gather};
    use crate::kernels::window::Padding;
    use crate::random::Stream;
    use crate::tensor::Shape;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_direct_f64_sum(
            extents in [1usize..9, 4usize..30], channels in 2usize..5, filters in 1usize..40,
            size in [1usize..5, 2usize..5], strides in [1usize..4, 1usize..4], zeros_each in 0usize..2, same: bool,
            key: u64,
        ) {
            let input = Shape::new(extents[0].max(size[0]), extents[1], channels);
            let padding = if same { Padding::Same } else { Padding::Each(zeros_each.min(size[0] - 1)) };
            let window = Window::new(input, size, strides, padding).unwrap();
            prop_assert!(applies(&window));
            let mut stream = Stream::new(key);
            let mut values = |n: usize| (0..n).map(|_| stream.between(-1.0, 1.0)).collect::<Vec<f32>>();
            let patch = window.patch_len();
            let (x, kernel, bias) = (values(2 * input.len()), values(patch * filters), values(filters));
            let mut prepared = Buffer::default();
            im2col::prepare(&window, filters, &kernel, &mut prepared);
            let epilogue = Epilogue { bias: Some(&bias), add: None, activation: Activation::Linear };
            let mut y = vec![f32::NAN; 2 * window.positions() * filters];
            forward(&window, filters, &x, &prepared, &epilogue, &mut y);
            let mut row = vec![0.0; patch];
            for (position, y) in y.chunks_exact(filters).enumerate() {
                gather(&window, &x, position, &mut row);
                for (filter, y) in y.iter().enumerate() {
                    let products = row.iter().zip(kernel[filter..].iter().step_by(filters));
                    let sum: f64 = products.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    prop_assert!((f64::from(*y) - sum - f64::from(bias[filter])).abs() < 1e-4);
                }
            }
        }
    }
}
