//! Convolution in bf16: products of tiles, for which processors have matrix units.
//!
//! Every pass is a sum of products of a block of 32 rows with a block of 32 columns (`product`). For the output and the
//! input's gradient, rows are positions of maps that `tiles::layout` copies with their padding, so that a tap of the kernel is
//! a constant offset; for the kernel's gradient, rows are channels, and images are summed over. The operands are bf16,
//! sums f32. The first layer of a network reads f32 maps of few channels (`first`).

pub mod convolution;
pub mod first;
pub mod gradient;
mod product;
mod transpose;

#[cfg(test)]
mod tests {
    use super::convolution::{backward_input, forward, prepare};
    use super::gradient::KernelGradient;
    use crate::buffer::Buffer;
    use crate::kernels::activation::Activation;
    use crate::kernels::element::{Bf16, Element};
    use crate::kernels::epilogue::Epilogue;
    use crate::kernels::reduce;
    use crate::kernels::tiles;
    use crate::kernels::window::{Padding, Window};
    use crate::precision::Kernels;
    use crate::random::Stream;
    use crate::tensor::Shape;
    use proptest::prelude::*;

    /// Calls `visit` with the indices of every input, weight and output that are multiplied, without filters.
    fn for_products(window: &Window, images: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let Shape { height, width, channels } = window.input;
        for position in 0..images * window.positions() {
            let (image, place) = (position / window.positions(), position % window.positions());
            let [row, column] = [place / window.output[1], place % window.output[1]];
            for tap in 0..window.size[0] * window.size[1] {
                let y = (row * window.strides[0] + tap / window.size[1]).wrapping_sub(window.before[0]);
                let x = (column * window.strides[1] + tap % window.size[1]).wrapping_sub(window.before[1]);
                if y < height && x < width {
                    for channel in 0..channels {
                        let input = ((image * height + y) * width + x) * channels + channel;
                        visit(input, tap * channels + channel, position);
                    }
                }
            }
        }
    }

    fn close(what: &str, got: f32, expected: f64, magnitude: f64, tolerance: f64) {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= tolerance * expected.abs() + 1e-5 * magnitude, "{what} is {got}, the direct sum {expected}");
    }

    fn check(window: &Window, filters: usize, images: usize, relu: bool, seed: u64) {
        let mut stream = Stream::new(seed);
        let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| Bf16::round(stream.normal()).widen()).collect() };
        let narrow = |values: &[f32]| -> Vec<Bf16> { values.iter().map(|&value| Bf16::round(value)).collect() };
        let (x, kernel) = (draw(images * window.input.len()), draw(window.patch_len() * filters));
        let (bias, dy) = (draw(filters), draw(images * window.positions() * filters));
        let (mut y, mut dx, mut dw) = (vec![[0.0; 2]; dy.len()], vec![[0.0; 2]; x.len()], vec![[0.0; 2]; kernel.len()]);
        for_products(window, images, |input, weight, position| {
            for filter in 0..filters {
                let (weight, output) = (weight * filters + filter, position * filters + filter);
                let add = |sum: &mut [f64; 2], a: f32, b: f32| {
                    let product = f64::from(a) * f64::from(b);
                    *sum = [sum[0] + product, sum[1] + product.abs()];
                };
                add(&mut y[output], x[input], kernel[weight]);
                add(&mut dx[input], dy[output], kernel[weight]);
                add(&mut dw[weight], x[input], dy[output]);
            }
        });
        // Values that are rounded to bf16 differ by half of the last place.
        let half = 1.0 / 256.0;
        let mut prepared = Buffer::default();
        prepare(window, filters, &kernel, &mut prepared);
        let activation = if relu { Activation::Relu } else { Activation::Linear };
        let epilogue = Epilogue { bias: Some(&bias), add: None, activation };
        let mut computed = vec![0x7fc0; y.len()];
        forward(window, filters, &narrow(&x), &prepared, &epilogue, &mut computed);
        for (i, [sum, magnitude]) in y.into_iter().enumerate() {
            let sum = sum + f64::from(bias[i % filters]);
            let sum = if relu { sum.max(0.0) } else { sum };
            close("y", computed[i].widen(), sum, magnitude, half);
        }
        let mut computed = vec![0x7fc0; dx.len()];
        // Inputs that no window covers have a gradient of 0.
        backward_input(window, filters, &narrow(&dy), &kernel, &mut prepared, &mut computed);
        for (computed, [sum, magnitude]) in computed.iter().zip(dx) {
            close("dx", computed.widen(), sum, magnitude, half);
        }
        let gradient = KernelGradient::new(window, filters);
        let grains = images.div_ceil(crate::GRAIN);
        let mut partial = vec![f32::NAN; grains * gradient.bands() * kernel.len()];
        gradient.compute(&narrow(&x), &narrow(&dy), &mut partial);
        let mut computed = vec![0.0; kernel.len()];
        reduce::add_up(&partial, &mut computed);
        for (computed, [sum, magnitude]) in computed.iter().zip(dw) {
            close("dw", *computed, sum, magnitude, 1e-5);
        }
    }

    fn window() -> impl Strategy<Value = Window> {
        let input = (1usize..11, 1usize..11, prop_oneof![1usize..8, 8usize..70]);
        let padding = prop_oneof![Just(Padding::Same), Just(Padding::Valid), Just(Padding::Each(1))];
        (input, [1usize..5, 1usize..5], [1usize..4, 1usize..4], padding).prop_filter_map(
            "the window does not fit",
            |((height, width, channels), size, strides, padding)| {
                Window::new(Shape::new(height, width, channels), size, strides, padding).ok()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn convolutions_are_direct_sums(
            window in window(),
            filters in prop_oneof![1usize..6, 30usize..70],
            images in prop_oneof![1usize..4, 30usize..36],
            relu: bool,
            seed: u64,
        ) {
            let products = window.positions() * window.patch_len() * filters * images;
            prop_assume!(products < 20_000_000);
            check(&window, filters, images, relu, seed);
        }
    }

    #[test]
    fn large_maps_and_many_channels_are_direct_sums() {
        for (input, size, stride, filters, images) in [
            (Shape::new(48, 48, 32), 3, 1, 16, 1),
            (Shape::new(40, 33, 24), 3, 2, 40, 2),
            (Shape::new(6, 6, 160), 3, 1, 150, 5),
            (Shape::new(1, 1, 300), 1, 1, 140, 70),
            (Shape::new(12, 12, 64), 1, 2, 64, 20),
        ] {
            let window = Window::new(input, [size, size], [stride, stride], Padding::Same).unwrap();
            check(&window, filters, images, true, 5);
        }
    }

    #[test]
    fn convolutions_by_all_kernels_are_direct_sums() {
        tiles::run_with(&[Kernels::Amx, Kernels::Portable], "kernels::bf16::tests::");
    }
}
