//! What a network lends to its layers while they run.
//!
//! It only holds things together: memory is managed by [`Workspace`], times are measured by
//! [`Profiler`], and [`Communicator`] communicates with other processes.

use crate::communicator::Communicator;
use crate::profile::Profiler;
use crate::tensor::{Buffer, zeros};
use crate::workspace::Workspace;
use std::sync::Arc;

/// Memory, profiling and communication for the layers of one network.
#[derive(Default)]
pub struct Context {
    /// The pool that activations and gradients are taken from.
    pub workspace: Workspace,
    pub(crate) scratch: Scratch,
    pub(crate) profiler: Profiler,
    /// The other processes, where several train the network together.
    pub(crate) communicator: Option<Arc<dyn Communicator>>,
}

/// Buffers that a layer may use while it runs.
pub(crate) struct Scratch {
    pub first: Buffer,
    pub second: Buffer,
    /// Sums, not yet rounded.
    pub sums: Vec<f64>,
    pub partial: Vec<f64>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { first: zeros(0), second: zeros(0), sums: Vec::new(), partial: Vec::new() }
    }
}
