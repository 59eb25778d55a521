//! A small CPU engine for convolutional networks.
//!
//! Tensors are NHWC `f32`; between layers they may be bf16 ([`Precision`]). A [`Layer`] has fixed
//! shapes from the moment it is built, computes its output in `forward` and its gradients in
//! `backward`; a [`Network`] is a tree of layers. The engine has no code for faces or files, and
//! prints nothing.
//!
//! **Bit-identical results.** The same binary at the same instruction-set level computes
//! bit-identical results for any number of threads, and for any number of processes that divide a
//! batch between grains ([`communicator`]): work is divided into chunks whose size depends only on
//! shapes, partial sums are added in the order of the chunks, and every random draw depends on a
//! key ([`random`]), never on the order of execution.
//!
//! **Features.** `optimizers` (on by default) adds the optimizers, which inference does not need;
//! `serde` serializes the enums that are options of layers.

mod buffer;
mod error;
mod kernels;
mod parameter;
mod precision;
mod profile;
mod tensor;
mod workspace;

pub mod communicator;
pub mod inference;
pub mod layers;
pub mod loss;
pub mod network;
#[cfg(feature = "optimizers")]
pub mod optimizer;
pub mod random;

pub use buffer::Buffer;
pub use communicator::{Communicator, GRAIN, Gradient};
pub use error::BuildError;
pub use inference::InferenceNetwork;
pub use kernels::activation::Activation;
pub use kernels::int8::Instructions as Int8Instructions;
pub use kernels::isa::{Isa, UnknownIsa};
pub use kernels::window::{Padding, Window};
pub use layers::{Context, Layer, Mode};
pub use network::Network;
#[cfg(feature = "optimizers")]
pub use optimizer::{Optimizer, OptimizerKind};
pub use parameter::{Parameter, Role};
pub use precision::{Kernels, Precision, UnknownKernels};
pub use profile::{LayerTime, Profile};
pub use tensor::{Shape, Tensor};
pub use workspace::{Workspace, WorkspacePool};

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
