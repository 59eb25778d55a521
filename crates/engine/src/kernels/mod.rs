//! The numerical routines: plain functions over slices, threaded over fixed
//! chunks. Layers decide what to compute; nothing here knows about layers.

pub mod activation;
pub mod convolution;
pub mod gemm;
pub mod pooling;
pub mod reduce;
pub mod window;
