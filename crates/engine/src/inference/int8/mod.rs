//! Inference with 8-bit integers.
//!
//! Convolutions and dense layers multiply bytes, except for the first and the last layer of a network. `ranges` finds
//! the values that the inputs of layers take, `build` turns the steps of a plan into steps over bytes, and `execute`
//! runs them. What has no kernel over bytes is computed in f32.

mod build;
mod execute;
mod plan;
mod ranges;
mod step;

pub use plan::Plan;
pub use ranges::{RangeMethod, Ranges, int8_layers, int8_range, ranges};
