//! Image operations: decode, crop, sample and mirror.

mod crop;
mod decode;
mod mirror;
mod sample;

pub use crop::{Square, face_pixels};
pub use decode::{ImageError, decode_image, image_extent, is_image, read_image_file, to_pixels};
pub use mirror::mirror;
pub use sample::Bilinear;
