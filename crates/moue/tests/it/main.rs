//! The library's tests, on files.

mod photos;
mod pictures;
