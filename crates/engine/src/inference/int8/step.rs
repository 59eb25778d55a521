//! The steps of a network over bytes, as data.

use crate::inference::plan::Step;
use crate::kernels::activation::Activation;
use crate::kernels::int8::Quantization;
use crate::kernels::int8::convolution::Convolution;
use crate::kernels::int8::first::FirstConvolution;
use crate::kernels::window::Window;
use crate::tensor::Shape;

/// A step and the layer that it comes from.
pub struct Int8Step {
    pub layer: String,
    pub operation: Int8Operation,
}

/// An operation over maps of bytes or of f32 values.
pub enum Int8Operation {
    /// A step of the plan, in f32.
    Float(Step),
    /// The first convolution, from f32 to bytes, and maximum pooling of the bytes, image by image.
    First { convolution: Box<FirstConvolution>, pooling: Option<Window> },
    /// From f32 values to bytes.
    Quantize(Quantization),
    /// A convolution of bytes; `adds`: of the map that a residual block adds, too.
    Convolution { convolution: Box<Convolution>, output: Shape, adds: bool },
    /// Maximum of bytes.
    MaxPooling(Window),
    /// Mean over all positions of bytes, as f32.
    GlobalAverage,
    /// Reshapes a map.
    Reshape(Shape),
    /// A residual block whose branch ends with a convolution that adds the shortcut.
    Residual { branch: Vec<Int8Step>, shortcut: Vec<Int8Step> },
    /// Any other residual block: as bytes where there is a quantization.
    Sum { branch: Vec<Int8Step>, shortcut: Vec<Int8Step>, activation: Activation, quantization: Option<Quantization> },
    /// Branches over the same input, concatenated along the channels, as bytes where there is a quantization.
    Concatenate { branches: Vec<Vec<Int8Step>>, output: Shape, quantization: Option<Quantization> },
}
