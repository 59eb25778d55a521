//! ONNX files: export a model for other programs, and read it again.
//!
//! The graph takes `input`, `f32` pixels of 0–255 as `[N, C, H, W]`, and returns `probabilities`,
//! `[N, classes]`: normalization and calibration are part of the graph. Batch normalization is
//! folded into a preceding convolution. Only files that this module has written can be read; their
//! weights may have been changed since. An int8 graph quantizes weights and activations.

mod proto;
mod quantize;
mod read;
mod write;

pub use read::from_onnx;
pub use write::{to_onnx, to_onnx_int8};

use std::path::Path;

/// Whether a file has the extension of ONNX.
#[must_use]
pub fn is_named_so(path: impl AsRef<Path>) -> bool {
    path.as_ref().extension().is_some_and(|own| own.eq_ignore_ascii_case("onnx"))
}

/// Version of ONNX's operator set; ONNX Runtime reads it since 1.10.
const OPSET: i64 = 17;
/// The corresponding version of the file format.
const IR_VERSION: i64 = 8;

/// Names of the graph's constants.
const RANGE: &str = "pixel_range";
const MEAN: &str = "normalisation.mean";
const STD: &str = "normalisation.std";
const PRIOR: &str = "calibration.prior_adjustment";
const TEMPERATURE: &str = "calibration.temperature";
const SCALE: &str = "calibration.scale";
const BIAS: &str = "calibration.bias";
const SPATIAL_AXES: &str = "spatial_axes";

/// For each value of a kernel in moue's order, its index in ONNX's order, where channels come
/// first: `[height, width, channels, filters]` becomes `[filters, channels, height, width]`, and a
/// depthwise `[height, width, channels]` becomes `[channels, 1, height, width]`. Other arrays are
/// unchanged.
fn channels_first(shape: &[usize]) -> (Vec<usize>, Box<dyn Fn(usize) -> usize>) {
    let (height, width, channels, filters) = match *shape {
        [height, width, channels, filters] => (height, width, channels, filters),
        [height, width, channels] => (height, width, 1, channels),
        _ => return (shape.to_vec(), Box::new(|i| i)),
    };
    let place = move |i: usize| {
        let (filter, channel, position) = (i % filters, i / filters % channels, i / (filters * channels));
        (filter * channels + channel) * height * width + position
    };
    (vec![filters, channels, height, width], Box::new(place))
}

#[cfg(test)]
mod tests {
    use super::channels_first;

    #[test]
    fn kernels_are_transposed() {
        let (shape, place) = channels_first(&[2, 3, 4, 5]);
        assert_eq!(shape, [5, 4, 2, 3]);
        // Row 1, column 2, channel 3, filter 4.
        assert_eq!(place(((3 + 2) * 4 + 3) * 5 + 4), ((4 * 4 + 3) * 2 + 1) * 3 + 2);
        let (shape, place) = channels_first(&[2, 3, 4]);
        assert_eq!(shape, [4, 1, 2, 3]);
        assert_eq!(place((3 + 2) * 4 + 3), (3 * 2 + 1) * 3 + 2);
        assert_eq!(channels_first(&[6, 7]).0, [6, 7]);
    }
}
