//! Output formats.

pub mod file;
pub mod table;
