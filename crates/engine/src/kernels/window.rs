//! The geometry of a window (kernel or pool) that slides over a map.
//!
//! The kernels of convolution and pooling compute over windows.

use crate::error::BuildError;
use crate::tensor::Shape;

/// Padding, as defined by Keras.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Padding {
    /// No padding: the output has `size − 1` fewer rows and columns.
    #[default]
    Valid,
    /// Zeros around the map, so that stride 1 keeps its size. With larger strides the zeros are
    /// distributed as in Keras and TensorFlow: an odd one is added at the bottom and right.
    Same,
}

/// A window over maps of one shape: sizes, strides and padding, as `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Shape of the input map.
    pub input: Shape,
    /// Size of the window.
    pub size: [usize; 2],
    /// Strides.
    pub strides: [usize; 2],
    /// Padding above and to the left of the map.
    pub before: [usize; 2],
    /// Number of windows vertically and horizontally.
    pub output: [usize; 2],
}

impl Window {
    /// A window over maps of this shape.
    ///
    /// # Errors
    /// When a size or stride is zero, or the window does not fit.
    pub fn new(input: Shape, size: [usize; 2], strides: [usize; 2], padding: Padding) -> Result<Self, BuildError> {
        if size.contains(&0) {
            return Err(BuildError::Zero { what: "the window's size" });
        }
        if strides.contains(&0) {
            return Err(BuildError::Zero { what: "strides" });
        }
        let extent = [input.height, input.width];
        let mut before = [0; 2];
        let mut output = [0; 2];
        for axis in 0..2 {
            match padding {
                Padding::Valid => {
                    if size[axis] > extent[axis] {
                        return Err(BuildError::WindowTooLarge {
                            window_height: size[0],
                            window_width: size[1],
                            input,
                        });
                    }
                    output[axis] = (extent[axis] - size[axis]) / strides[axis] + 1;
                }
                Padding::Same => {
                    output[axis] = extent[axis].div_ceil(strides[axis]);
                    let covered = (output[axis] - 1) * strides[axis] + size[axis];
                    before[axis] = covered.saturating_sub(extent[axis]) / 2;
                }
            }
        }
        Ok(Self { input, size, strides, before, output })
    }

    /// Padding below and to the right of the map.
    #[must_use]
    pub fn after(&self) -> [usize; 2] {
        let extent = [self.input.height, self.input.width];
        std::array::from_fn(|axis| {
            let reach = (self.output[axis] - 1) * self.strides[axis] + self.size[axis];
            reach.saturating_sub(extent[axis] + self.before[axis])
        })
    }

    /// Shape of the output with this many channels.
    #[must_use]
    pub fn output_shape(&self, channels: usize) -> Shape {
        Shape::new(self.output[0], self.output[1], channels)
    }

    /// Output positions per image.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Values in one patch: `kernel height × kernel width × channels`.
    #[must_use]
    pub fn patch_len(&self) -> usize {
        self.size[0] * self.size[1] * self.input.channels
    }

    /// Whether a patch is just one position of the input, in order.
    #[must_use]
    pub fn is_pointwise(&self) -> bool {
        self.size == [1, 1] && self.strides == [1, 1]
    }

    /// Whether there is one window and it covers the map.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.size == [self.input.height, self.input.width] && self.output == [1, 1]
    }

    /// The part of the map that the window at this output index covers along an
    /// axis: `(first input index, first window index, count)`.
    #[must_use]
    #[inline(always)]
    pub fn covered(&self, axis: usize, output: usize) -> (usize, usize, usize) {
        let extent = [self.input.height, self.input.width][axis];
        let start = output * self.strides[axis];
        let skipped = self.before[axis].saturating_sub(start);
        let first = (start + skipped) - self.before[axis];
        let end = (start + self.size[axis]).saturating_sub(self.before[axis]).min(extent);
        (first, skipped, end.saturating_sub(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_with_stride_two_pads_like_keras() {
        let even = Window::new(Shape::new(48, 48, 1), [3, 3], [2, 2], Padding::Same).unwrap();
        assert_eq!((even.output, even.before, even.after()), ([24, 24], [0, 0], [1, 1]));
        let odd = Window::new(Shape::new(45, 45, 1), [3, 3], [2, 2], Padding::Same).unwrap();
        assert_eq!((odd.output, odd.before, odd.after()), ([23, 23], [1, 1], [1, 1]));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn names_in_files() {
        for (padding, name) in [(Padding::Valid, "\"valid\""), (Padding::Same, "\"same\"")] {
            assert_eq!(serde_json::to_string(&padding).unwrap(), name);
            assert_eq!(serde_json::from_str::<Padding>(name).unwrap(), padding);
        }
        let error = serde_json::from_str::<Padding>("\"full\"").unwrap_err().to_string();
        assert!(error.starts_with("unknown variant `full`, expected `valid` or `same` at"), "{error}");
    }

    #[test]
    fn valid_padding_shrinks_the_map_by_the_kernel_size_minus_one() {
        let window = Window::new(Shape::new(48, 46, 1), [3, 5], [1, 1], Padding::Valid).unwrap();
        assert_eq!(window.output, [46, 42]);
        assert!(Window::new(Shape::new(2, 9, 1), [3, 3], [1, 1], Padding::Valid).is_err());
    }

    #[test]
    fn covered_ranges_are_inside_the_map() {
        let window = Window::new(Shape::new(5, 5, 1), [3, 3], [2, 2], Padding::Same).unwrap();
        assert_eq!(window.covered(0, 0), (0, 1, 2));
        assert_eq!(window.covered(0, 1), (1, 0, 3));
        assert_eq!(window.covered(0, 2), (3, 0, 2));
    }
}
