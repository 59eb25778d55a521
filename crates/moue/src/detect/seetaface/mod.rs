//! The face detector in the program: SeetaFace's funnel-structured cascade (Wu et
//! al. 2016, "Funnel-structured cascade for multi-view face detection with
//! alignment-awareness"), with the model that its authors gave out.
//!
//! A window of 40 × 40 slides over the picture at many sizes; `lab` throws out nearly
//! all of them at once, `surf` judges and moves what is left, stage by stage.
//! `model` reads both. Where two windows show one face, `suppressed` keeps the surer.
//! `search` brings a photo to the form that is searched. The crate `rustface` ports the authors' program; this follows the same method, and
//! the tests hold it against that crate.

mod cascade;
mod lab;
mod model;
mod search;
mod surf;
mod window;

pub use search::find;
