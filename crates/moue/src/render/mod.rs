//! Pictures of predictions: photos with framed faces, faces with saliency maps. Pages
//! and charts are in another library.

mod annotation;
mod canvas;
mod encode;

pub use annotation::{annotated, enlarged, explain_faces, explained, overlaid};
pub use canvas::{Canvas, Color, LINE};
pub use encode::{image_url, save_picture};
