//! Inference: a network converted to a form that only predicts.
//!
//! Batch normalization is folded into the convolution before it, dropout is left out, filters
//! are transformed once, and only the map that is being read and the one that is being written
//! exist. The outputs for an image do not depend on the batch that it is part of. Training is
//! left to [`crate::network`].

mod execute;
mod network;
pub(crate) mod plan;

pub use network::{InferenceNetwork, steps};
pub use plan::{Convolved, Filters, Operation, Step};
