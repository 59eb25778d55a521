//! Inference: a network converted to a form without training.
//!
//! Batch normalization is folded into the preceding convolution, dropout is removed, filters are
//! transformed once, and only the input and the output of the current layer are in memory. The
//! outputs for an image do not depend on the batch that contains it. Training is in
//! [`crate::network`].

mod execute;
mod network;
pub(crate) mod plan;
mod resize;

pub use network::{InferenceNetwork, Outputs, steps};
pub use plan::{Convolved, Filters, Operation, Step};
