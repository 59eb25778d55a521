//! Readers of data sources: files in folders and archives, and their formats.

mod archive;
pub mod csv;
pub mod folders;
#[cfg(feature = "parquet")]
pub mod parquet;

pub use archive::is_litter;
