//! The tests on real photos once more, built with the feature `yunet`.

#[path = "it/photos.rs"]
mod photos;
