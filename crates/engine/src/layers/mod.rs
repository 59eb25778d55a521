//! The layers of a network.
//!
//! A layer is built for the shape of its input, which is checked once. It holds its parameters,
//! their gradients and the values that `backward` needs from `forward`. The network provides the
//! memory of activations and gradients in a [`Context`]. Layers determine what is computed; the
//! kernels compute it.

mod activation;
mod batch_normalization;
mod concatenate;
mod context;
mod conv2d;
mod dense;
mod depthwise_conv2d;
mod dropout;
mod flatten;
pub(crate) mod gradient;
mod initializer;
pub(crate) mod layer;
mod output;
mod pooling;
mod residual;
mod sequence;
mod squeeze_excite;
mod up_sampling;

pub use crate::kernels::pooling::PoolingKind;
pub use activation::ActivationLayer;
pub use batch_normalization::{BatchNormalization, BatchNormalizationOptions};
pub use concatenate::Concatenate;
pub use context::Context;
pub use conv2d::{Conv2d, Conv2dOptions};
pub use dense::{Dense, DenseOptions};
pub use depthwise_conv2d::{DepthwiseConv2d, DepthwiseConv2dOptions};
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use initializer::Initializer;
pub use layer::{Description, Filtered, Layer, Mode};
pub use output::Output;
pub use pooling::Pooling2d;
pub use residual::Residual;
pub use sequence::Sequence;
pub use squeeze_excite::SqueezeExcite;
pub use up_sampling::UpSampling2d;
