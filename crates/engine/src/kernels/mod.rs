//! Numerical routines: functions over slices, parallel over chunks of fixed size.
//!
//! Layers determine what is computed; kernels do not depend on layers.

pub mod activation;
pub mod bf16;
pub mod channel_scale;
pub mod concatenate;
pub mod convolution;
pub mod depthwise;
pub mod disjoint;
pub mod element;
pub mod epilogue;
pub mod few_channels;
pub mod gemm;
pub mod im2col;
pub mod int8;
pub mod isa;
pub mod math;
pub mod normalization;
pub mod pooling;
pub mod reduce;
pub mod tiles;
pub mod upsampling;
pub mod window;
pub mod winograd;
