//! The numerical routines: plain functions over slices, threaded over fixed
//! chunks. Layers decide what to compute; nothing here knows about layers.

pub mod activation;
pub mod convolution;
pub mod depthwise;
pub mod gate;
pub mod gemm;
pub mod isa;
pub mod math;
pub mod normalization;
pub mod patches;
pub mod pooling;
pub mod reduce;
pub mod shared;
pub mod side_by_side;
pub mod window;
pub mod winograd;
