//! Pictures of predictions: annotated photos and saliency maps. Reports and charts are in the crate
//! `moue-train`.

mod annotation;
mod canvas;
mod encode;
mod palette;
mod saliency;

pub use annotation::{annotated, draw_landmarks};
pub use canvas::{Canvas, Color, LINE};
pub use encode::{image_url, png, png_url, save_picture};
pub use palette::{CLASS_COLORS, class_color};
pub use saliency::{enlarged, explain_faces, explained, overlaid};
