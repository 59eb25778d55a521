//! The geometry of a window (kernel or pool) that slides over a map.
//!
//! The kernels of convolution and pooling compute over windows.

use crate::error::BuildError;
use crate::tensor::Shape;

/// Padding: as defined by Keras, or a number of zeros as in PyTorch. In files it is `"valid"`,
/// `"same"` or the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// No padding: the output has `size − 1` fewer rows and columns.
    #[default]
    Valid,
    /// Zeros around the map, so that stride 1 keeps its size. With larger strides the zeros are
    /// distributed as in Keras and TensorFlow: an odd one is added at the bottom and right.
    Same,
    /// This many zeros on each side of the map.
    Each(usize),
}

/// Paddings in files.
#[cfg(feature = "serde")]
mod files {
    use super::Padding;
    use serde::de::{Deserialize, Deserializer, Error, Visitor};
    use serde::ser::{Serialize, Serializer};
    use std::fmt;

    impl Serialize for Padding {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match *self {
                Self::Valid => serializer.serialize_str("valid"),
                Self::Same => serializer.serialize_str("same"),
                Self::Each(zeros) => serializer.serialize_u64(zeros as u64),
            }
        }
    }

    impl<'de> Deserialize<'de> for Padding {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(PaddingVisitor)
        }
    }

    struct PaddingVisitor;

    impl Visitor<'_> for PaddingVisitor {
        type Value = Padding;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"valid\", \"same\" or a whole number")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<Padding, E> {
            match name {
                "valid" => Ok(Padding::Valid),
                "same" => Ok(Padding::Same),
                other => Err(E::unknown_variant(other, &["valid", "same"])),
            }
        }

        fn visit_u64<E: Error>(self, zeros: u64) -> Result<Padding, E> {
            usize::try_from(zeros).map(Padding::Each).map_err(E::custom)
        }

        fn visit_i64<E: Error>(self, zeros: i64) -> Result<Padding, E> {
            usize::try_from(zeros).map(Padding::Each).map_err(E::custom)
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Padding {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Padding".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Padding: as defined by Keras, or a number of zeros on each side of the map, as in PyTorch.",
            "anyOf": [
                { "const": "valid", "description": "No padding: the output has `size − 1` fewer rows and columns." },
                {
                    "const": "same",
                    "description": "Zeros around the map, so that stride 1 keeps its size. With larger strides the zeros \
                        are distributed as in Keras and TensorFlow: an odd one is added at the bottom and right.",
                },
                { "type": "integer", "minimum": 0, "description": "This many zeros on each side of the map." },
            ],
        })
    }
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
    /// The padding that `before` and `output` follow from; `None` for the one window that covers
    /// the whole map.
    pub padding: Option<Padding>,
}

/// Maximum extent of a window.
const LARGEST: usize = 1 << 28;

impl Window {
    /// A window over maps of this shape.
    ///
    /// # Errors
    /// When a size or stride is zero, or the window does not fit.
    pub fn new(input: Shape, size: [usize; 2], strides: [usize; 2], padding: Padding) -> Result<Self, BuildError> {
        if size.contains(&0) {
            return Err(BuildError::Zero { what: "the window's size" });
        }
        if size.iter().any(|&extent| extent > LARGEST) {
            return Err(BuildError::TooLarge("a window of more than 2^28 rows or columns"));
        }
        if strides.contains(&0) {
            return Err(BuildError::Zero { what: "strides" });
        }
        let extent = [input.height, input.width];
        let mut before = [0; 2];
        let mut output = [0; 2];
        for axis in 0..2 {
            match padding {
                Padding::Valid | Padding::Each(_) => {
                    let zeros = if let Padding::Each(zeros) = padding { zeros } else { 0 };
                    // A window of zeros alone would have no mean and no maximum.
                    if zeros >= size[axis] {
                        return Err(BuildError::PaddingTooLarge { padding: zeros, size: size[axis] });
                    }
                    let padded = extent[axis] + 2 * zeros;
                    if size[axis] > padded {
                        return Err(BuildError::WindowTooLarge {
                            window_height: size[0],
                            window_width: size[1],
                            input,
                        });
                    }
                    before[axis] = zeros;
                    output[axis] = (padded - size[axis]) / strides[axis] + 1;
                }
                Padding::Same => {
                    output[axis] = extent[axis].div_ceil(strides[axis]);
                    let covered = (output[axis] - 1) * strides[axis] + size[axis];
                    before[axis] = covered.saturating_sub(extent[axis]) / 2;
                }
            }
        }
        Ok(Self { input, size, strides, before, output, padding: Some(padding) })
    }

    /// The one window that covers the whole map, for global pooling.
    #[must_use]
    pub fn whole(input: Shape) -> Self {
        let extents = [input.height, input.width];
        Self { input, size: extents, strides: extents, before: [0, 0], output: [1, 1], padding: None }
    }

    /// Whether windows have positions in common.
    #[must_use]
    pub fn overlaps(&self) -> bool {
        (0..2).any(|axis| self.strides[axis] < self.size[axis])
    }

    /// The same window over maps of another height and width.
    ///
    /// # Errors
    /// When the number of channels differs, or the window does not fit.
    pub fn resized(&self, input: Shape) -> Result<Self, BuildError> {
        if input.channels != self.input.channels {
            return Err(BuildError::FixedShape { input, wanted: self.input });
        }
        match self.padding {
            Some(padding) => Self::new(input, self.size, self.strides, padding),
            None => Ok(Self::whole(input)),
        }
    }

    /// Padding below and to the right of the map.
    #[must_use]
    pub fn after(&self) -> [usize; 2] {
        let (extent, reach) = ([self.input.height, self.input.width], self.reach());
        std::array::from_fn(|axis| reach[axis].saturating_sub(extent[axis] + self.before[axis]))
    }

    /// Rows and columns from the first window to the end of the last one, with padding.
    pub(crate) fn reach(&self) -> [usize; 2] {
        std::array::from_fn(|axis| (self.output[axis] - 1) * self.strides[axis] + self.size[axis])
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
        self.size == [self.input.height, self.input.width] && self.output == [1, 1] && self.before == [0, 0]
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
        assert_eq!(serde_json::to_string(&Padding::Each(2)).unwrap(), "2");
        assert_eq!(serde_json::from_str::<Padding>("2").unwrap(), Padding::Each(2));
        assert!(serde_json::from_str::<Padding>("-1").is_err());
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
    fn padding_by_a_number_is_on_each_side() {
        let input = Shape::new(6, 8, 1);
        let window = Window::new(input, [3, 3], [2, 2], Padding::Each(1)).unwrap();
        assert_eq!((window.output, window.before, window.after()), ([3, 4], [1, 1], [0, 0]));
        assert!(Window::new(input, [3, 3], [2, 2], Padding::Each(3)).is_err());
        let resized = window.resized(Shape::new(4, 4, 1)).unwrap();
        assert_eq!((resized.output, resized.before), ([2, 2], [1, 1]));
        assert!(window.resized(Shape::new(4, 4, 2)).is_err());
        assert_eq!(Window::whole(input).resized(Shape::new(4, 5, 1)).unwrap().size, [4, 5]);
    }

    #[test]
    fn covered_ranges_are_inside_the_map() {
        let window = Window::new(Shape::new(5, 5, 1), [3, 3], [2, 2], Padding::Same).unwrap();
        assert_eq!(window.covered(0, 0), (0, 1, 2));
        assert_eq!(window.covered(0, 1), (1, 0, 3));
        assert_eq!(window.covered(0, 2), (3, 0, 2));
    }
}
