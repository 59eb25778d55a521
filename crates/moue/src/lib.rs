//! Predict facial expressions: models, faces in photos and video, saliency maps.
//!
//! ```standalone_crate
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("moue-guide-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # std::env::set_current_dir(&folder)?;
//! # moue::render::save_picture("photo.jpg", &image::RgbImage::from_pixel(320, 240, image::Rgb([120; 3])))?;
//! let predictor = moue::Predictor::open("default")?;            // detector and classifier
//! for face in predictor.predict("photo.jpg")?.faces { println!("{} {:.2}", face.label, face.confidence); }
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! An expression is an appearance. It does not determine what a person feels.
//!
//! # From a photo to a prediction
//!
//! A [`Predictor`] finds the faces of a photo ([`detect`]), crops them as the network was trained on
//! them ([`image::face_pixels`]), and has a [`Classifier`] classify the crops. A photo is a path,
//! the bytes of an image file, or a decoded picture ([`Photo`]). A [`Prediction`] lists the faces
//! from left to right; a photo without a face is a prediction without faces, not an error.
//! [`PredictOptions`] control face detection, saliency maps and the maximum size of a photo. A
//! predictor is shared between threads by reference; [`Predictor::predict_all`] predicts many
//! photos on all threads of the current `rayon` pool.
//!
//! # Faces that are cropped already
//!
//! ```
//! let classifier = moue::Classifier::open("tiny")?;
//! let [height, width, channels] = classifier.input();
//! let faces = vec![128u8; 2 * height * width * channels];       // [N, H, W, C], 0–255
//! let probabilities = classifier.face_probabilities(&faces)?;   // [N, classes]
//! assert_eq!(probabilities.len(), 2 * classifier.classes().len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Probabilities are calibrated. A confidence below [`Classifier::uncertain_below`] marks a face as
//! uncertain. The prediction for a face does not depend on the batch that contains it.
//!
//! # Models
//!
//! `default`, `fer2013` and `tiny` are bundled (features `model-default` and so on); any other model is
//! a file. [`Model::open`] reads a safetensors file, or an ONNX file that moue has written (feature
//! `onnx`). A model holds its architecture, classes, normalization, calibration and provenance.
//!
//! # Explanations, video, pictures
//!
//! [`explain`] computes saliency maps. [`video`] predicts the frames that the `ffmpeg` program
//! decodes and tracks faces from frame to frame. [`render`] draws predictions into pictures.
//!
//! # Related crates
//!
//! Models are trained and evaluated with the crate `moue-train`. The crate `moue-engine` has the
//! layers and their kernels. This library never writes to standard output and never panics on
//! input: a file that cannot be used is an error that names it.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod classifier;
pub mod detect;
pub mod device;
pub mod explain;
pub mod fs;
pub mod image;
pub mod message;
pub mod model;
pub mod precision;
pub mod predict;
pub mod prediction;
pub mod render;
pub mod tta;
pub mod video;
pub mod walk;

pub use classifier::{Classifier, PrepareError};
pub use device::{Device, DeviceChoice, DeviceError};
pub use message::with_causes;
pub use model::Model;
pub use moue_engine::{Int8Instructions, Isa, Kernels};
pub use precision::{Precision, PrecisionChoice};
pub use predict::{Photo, PredictOptions, Predictor};
pub use prediction::{Face, FaceBox, Point, Prediction};
pub use tta::Tta;

/// The sample in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
