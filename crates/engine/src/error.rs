//! The error of building a layer: why its options do not fit the shape of its input.
//!
//! Errors of files and data belong to the crates that read them.

use crate::tensor::Shape;

/// Why a layer cannot be built for the shape of its input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The window (kernel or pool) does not fit into the input.
    #[error("a {window_height}x{window_width} window does not fit into an input of {input} with padding \"valid\"")]
    WindowTooLarge {
        /// Height of the window.
        window_height: usize,
        /// Width of the window.
        window_width: usize,
        /// Shape of the input.
        input: Shape,
    },
    /// The padding is as large as the window, so that a window could cover padding alone.
    #[error("padding {padding} must be smaller than the window's size {size}")]
    PaddingTooLarge {
        /// Zeros on each side.
        padding: usize,
        /// Size of the window along the axis.
        size: usize,
    },
    /// A layer was built for inputs of one shape.
    #[error("an input of {input} cannot be used in place of one of {wanted}")]
    FixedShape {
        /// Shape of the input.
        input: Shape,
        /// Shape that the layer was built for.
        wanted: Shape,
    },
    /// A size that must be positive is zero.
    #[error("{what} must be at least 1")]
    Zero {
        /// Name of the option.
        what: &'static str,
    },
    /// A value is outside its range.
    #[error("{what} must be in {range}, but is {value}")]
    OutOfRange {
        /// Name of the option.
        what: &'static str,
        /// The allowed range, in words.
        range: &'static str,
        /// The given value.
        value: f32,
    },
    /// The two branches of a residual block end in different shapes.
    #[error(
        "the branch ends in {branch} but the shortcut in {shortcut}; \
         give the block a `shortcut` (for example a 1x1 conv2d) that ends in {branch}"
    )]
    BranchMismatch {
        /// Shape at the end of the branch.
        branch: Shape,
        /// Shape at the end of the shortcut.
        shortcut: Shape,
    },
    /// The layers of a squeeze-and-excitation gate end in another shape.
    #[error("the gate ends in {gate}, but must end in one value for each channel, {wanted}")]
    GateMismatch {
        /// Shape at the end of the gate.
        gate: Shape,
        /// The required shape.
        wanted: Shape,
    },
    /// Two branches of a concatenation end in maps of different sizes.
    #[error("one branch ends in {first}, another in {other}; height and width must be equal")]
    ConcatenateMismatch {
        /// Shape at the end of the first branch.
        first: Shape,
        /// Shape at the end of another one.
        other: Shape,
    },
    /// The input of a dense layer is not flat.
    #[error("dense requires a flat input, but the input is {0}; add `flatten` or `global_average_pooling2d` before it")]
    NotFlat(Shape),
    /// The layer is larger than can be addressed.
    #[error("the layer is too large: {0}")]
    TooLarge(&'static str),
}
