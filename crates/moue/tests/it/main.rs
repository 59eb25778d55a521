//! Integration tests with files.

mod photos;
mod pictures;
