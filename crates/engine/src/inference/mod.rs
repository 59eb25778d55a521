//! Inference: a network converted to a form without training.
//!
//! Batch normalization is folded into the preceding convolution, dropout is removed, filters are
//! transformed once, and only the input and the output of the current layer are in memory. The
//! outputs for an image do not depend on the batch that contains it. Training is in
//! [`crate::network`].

mod execute;
mod int8;
mod lower;
mod network;
pub(crate) mod plan;
mod resize;

pub use execute::Outputs;
pub use int8::{RangeMethod, Ranges, int8_layers, int8_range, ranges};
pub use lower::steps;
pub use network::InferenceNetwork;
pub use plan::{Convolved, Filters, Operation, Step};
