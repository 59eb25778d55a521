//! Networks of [`moue_engine`] on a GPU.
//!
//! The kernels are WGSL compute shaders; `wgpu` runs them through Vulkan, Metal or Direct3D 12, whose drivers it loads
//! at run time. A [`GpuNetwork`] is made of a network's steps at inference, so that batch normalization is folded and
//! dropout removed in the same way as on the CPU. A [`GpuTraining`] is made of the descriptions of its layers.
//!
//! **Results.** All values are f32. Every value is a sum in an order that depends on shapes only (in a training also on the
//! number of images of a batch), without atomics: one device with one driver computes bit-identical results each time, and
//! predictions do not depend on their batch. They differ from the CPU's by rounding, since the order of the sums is another
//! one.
//!
//! **Errors.** A missing adapter, too little memory, a lost device or a submission without end is an [`Error`], never a
//! panic or a wait without end.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod adapter;
mod device;
mod error;
mod kernel;
mod network;
mod packed;
mod plan;
mod slots;
#[cfg(feature = "training")]
mod training;

pub use adapter::{Adapter, Kind, adapters};
pub use device::Device;
pub use error::Error;
pub use network::GpuNetwork;
#[cfg(feature = "training")]
pub use training::{Batch, GpuTraining, Gradients, Metrics, gradients};

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
