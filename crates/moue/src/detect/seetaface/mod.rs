//! The bundled face detector: SeetaFace's funnel-structured cascade (Wu et al. 2016,
//! "Funnel-structured cascade for multi-view face detection with alignment-awareness"), with the
//! model that its authors released.
//!
//! A window of 40 × 40 slides over the picture at many scales; `lab` rejects nearly all windows
//! immediately, `surf` classifies and moves the others, stage by stage. `model` reads both. Of
//! overlapping detections, `suppressed` keeps the one with the higher score. `search` converts a
//! photo to the searched picture. The crate `rustface` is a port of the authors' program; this is
//! another implementation of the same method, and the tests compare both.

mod cascade;
mod lab;
mod model;
mod search;
mod surf;
mod window;

pub use search::find;
