//! Forms in which commands print what they found.

pub mod table;
