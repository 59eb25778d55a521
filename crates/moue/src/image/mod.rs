//! Image operations: decode, crop, sample and mirror.

mod complete;
mod crop;
mod decode;
mod format;
mod mirror;
mod sample;
mod tiff;

pub use crop::{Square, face_pixels};
pub use decode::{
    ImageError, decode_image, decode_truncated_image, image_extent, is_image, read_image_file, read_opened_image,
    to_pixels,
};
pub use mirror::mirror;
pub use sample::Bilinear;
