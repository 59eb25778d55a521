//! A network made ready to predict.
//!
//! Batch normalization and dropout disappear, filters are transformed once, and
//! only the map that is being read and the one that is being written exist. An
//! image's outputs do not depend on the batch it comes in. Training is left to
//! [`crate::network`].

mod execute;
mod network;
pub(crate) mod plan;

pub use network::{InferenceNetwork, steps};
pub use plan::{Convolved, Filters, Operation, Step};
