//! The resources that a network provides to its layers.
//!
//! [`Workspace`] manages memory, [`Profiler`] measures times, and [`Communicator`] communicates
//! with other processes.

use crate::communicator::Communicator;
use crate::profile::Profiler;
use crate::tensor::{Buffer, zeros};
use crate::workspace::Workspace;
use std::sync::Arc;

/// Memory, profiling and communication for the layers of a network.
#[derive(Default)]
pub struct Context {
    /// The pool of activations and gradients.
    pub workspace: Workspace,
    pub(crate) scratch: Scratch,
    pub(crate) profiler: Profiler,
    /// The other processes of a distributed training.
    pub(crate) communicator: Option<Arc<dyn Communicator>>,
}

/// Scratch buffers of a layer.
pub(crate) struct Scratch {
    pub first: Buffer,
    pub second: Buffer,
    /// Sums in f64.
    pub sums: Vec<f64>,
    pub partial: Vec<f64>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { first: zeros(0), second: zeros(0), sums: Vec::new(), partial: Vec::new() }
    }
}
