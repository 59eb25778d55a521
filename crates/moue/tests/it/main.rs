//! Integration tests with files.

mod photos;
mod formats;
mod pictures;
