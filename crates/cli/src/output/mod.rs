//! Output formats.

pub mod table;
