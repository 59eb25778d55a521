//! Pictures of predictions: annotated photos and saliency maps. Reports and charts are in the crate
//! `moue-train`.

mod annotation;
mod canvas;
mod encode;

pub use annotation::{annotated, draw_landmarks, enlarged, explain_faces, explained, overlaid};
pub use canvas::{Canvas, Color, LINE};
pub use encode::{image_url, save_picture};
