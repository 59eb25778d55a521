//! What can fail on a GPU.

/// An error of a GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No driver offers an adapter that computes.
    #[error("no GPU was found: no driver of Vulkan, Metal or Direct3D 12 offers an adapter that runs compute shaders")]
    NoAdapter,
    /// There is no adapter of this number.
    #[error("there is no adapter {index}; found: {found}")]
    NoSuchAdapter {
        /// The number.
        index: usize,
        /// The adapters with their numbers, in words.
        found: String,
    },
    /// The driver does not open the adapter.
    #[error("{adapter} cannot be opened: {reason}")]
    Open {
        /// Name of the adapter.
        adapter: String,
        /// The driver's text.
        reason: String,
    },
    /// The adapter has not enough memory.
    #[error("{adapter} has not enough memory for {bytes} bytes")]
    OutOfMemory {
        /// Name of the adapter.
        adapter: String,
        /// The bytes that were asked for.
        bytes: u64,
    },
    /// The device was lost, for example since its driver was reset.
    #[error("{adapter} was lost: {reason}")]
    Lost {
        /// Name of the adapter.
        adapter: String,
        /// The driver's text.
        reason: String,
    },
    /// The device did not finish in time.
    #[error("{adapter} did not finish within {seconds} s")]
    Timeout {
        /// Name of the adapter.
        adapter: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The driver refused a command.
    #[error("{adapter} failed: {reason}")]
    Driver {
        /// Name of the adapter.
        adapter: String,
        /// The driver's text.
        reason: String,
    },
}
