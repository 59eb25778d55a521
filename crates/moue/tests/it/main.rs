//! Integration tests with files.

mod formats;
mod photos;
mod pictures;
