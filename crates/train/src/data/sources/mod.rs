//! Where images come from: files out of folders and archives, and what those hold.

mod archive;
pub mod csv;
pub mod folders;
#[cfg(feature = "parquet")]
pub mod parquet;
