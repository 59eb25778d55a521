//! From a photo to the expressions in it.
//!
//! A [`Detector`] finds the faces, `crop` cuts them out as the network knows them,
//! the network answers; [`explain`] shows what an answer rests on, [`inputs`]
//! says which photos are meant. A [`Predictor`] does all of it and can be shared
//! between threads.

mod crop;
mod detect;
pub mod explain;
pub mod inputs;
mod seeta;
#[cfg(feature = "yunet")]
mod yunet;

pub use crop::{Square, face_pixels};
pub use detect::{DetectOptions, Detection, Detector};
pub use inputs::Input;
#[cfg(feature = "yunet")]
pub use yunet::{YuNet, YuNetError};

use crate::augment::normalise;
use crate::data::{decode_image, to_pixels};
use crate::model::{Calibration, Model, Normalisation};
use image::DynamicImage;
use moue_engine::loss::argmax;
use moue_engine::{InferenceNetwork, Shape, Tensor, Workspace};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

/// Photos that each thread works on before answers are handed over.
const PHOTOS_A_THREAD: usize = 16;
/// Faces of an array that go through the network together.
const FACES_AT_ONCE: usize = 64;

/// A rectangle in a picture, in pixels.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FaceBox {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// A face and what its expression looks like.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Face {
    /// Where it is.
    #[serde(rename = "box")]
    pub place: FaceBox,
    /// The most probable class.
    pub label: String,
    /// Its probability.
    pub confidence: f32,
    /// Whether the confidence lies below the model's threshold.
    pub uncertain: bool,
    /// For each class.
    pub probabilities: BTreeMap<String, f32>,
    /// The detector's score; `None` without a detector.
    pub score: Option<f32>,
    /// Where that was asked for: the face with what its answer rests on laid over it,
    /// as a data URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// The answer for one input.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The input as it was given; the file's name, where one was sent.
    pub input: String,
    /// Columns of the picture, after EXIF orientation; 0 when it cannot be read.
    pub width: u32,
    /// Rows of the picture.
    pub height: u32,
    /// One for each face, from left to right; none is a normal answer.
    pub faces: Vec<Face>,
    /// Why there is no answer.
    pub error: Option<String>,
}

impl Prediction {
    /// The answer for an input that cannot be read.
    #[must_use]
    pub fn failed(input: String, error: String) -> Self {
        Self { input, width: 0, height: 0, faces: Vec::new(), error: Some(error) }
    }
}

/// The faces of a photo, cut out, before the network has seen them.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// Where each face is, and the detector's score.
    pub places: Vec<(FaceBox, Option<f32>)>,
    /// For each face, the pixels that the network takes, `[H, W, C]`.
    pub crops: Vec<Vec<u8>>,
}

/// An answer with what it was made from.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The answer.
    pub prediction: Prediction,
    /// The picture, turned upright; `None` when it cannot be read.
    pub photo: Option<DynamicImage>,
    /// For each face, the pixels that the network saw, `[H, W, C]`.
    pub crops: Vec<Vec<u8>>,
}

/// How a [`Predictor`] looks at photos.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictOptions {
    /// Searches for faces; otherwise the whole picture is taken for one.
    pub detect: bool,
    /// How faces are searched.
    pub detect_options: DetectOptions,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self { detect: true, detect_options: DetectOptions::default() }
    }
}

/// Numbers that are not pictures of faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} numbers are not whole images of {input:?} (height, width, channels)")]
pub struct NotFaces {
    /// How many numbers there are.
    pub found: usize,
    /// `[height, width, channels]` of the network's input.
    pub input: [usize; 3],
}

/// A model that is ready to answer, from any number of threads.
///
/// ```no_run
/// use moue::model::Model;
/// use moue::predict::{PredictOptions, Predictor};
///
/// let model = Model::open("default".as_ref())?;
/// let predictor = Predictor::new(&model, PredictOptions::default());
/// for face in predictor.predict_file("photo.jpg".as_ref()).faces {
///     println!("{} {:.0} %", face.label, face.confidence * 100.0);
/// }
/// # Ok::<(), moue::model::ModelFileError>(())
/// ```
pub struct Predictor {
    classes: Vec<String>,
    /// `[height, width, channels]`.
    input: [usize; 3],
    normalisation: Normalisation,
    calibration: Calibration,
    uncertain_below: f32,
    network: InferenceNetwork,
    /// Memory that is not in use just now.
    workspaces: Mutex<Vec<Workspace>>,
    options: PredictOptions,
    detector: Detector,
}

impl Predictor {
    /// A predictor for a model.
    #[must_use]
    pub fn new(model: &Model, options: PredictOptions) -> Self {
        Self {
            classes: model.classes.clone(),
            input: model.architecture.input,
            normalisation: model.normalisation.clone(),
            calibration: model.calibration.clone(),
            uncertain_below: model.uncertain_below,
            network: InferenceNetwork::new(&model.network),
            workspaces: Mutex::new(Vec::new()),
            options,
            detector: Detector::default(),
        }
    }

    /// The same with another detector.
    #[must_use]
    pub fn with_detector(self, detector: Detector) -> Self {
        Self { detector, ..self }
    }

    /// The classes, in the order of the outputs.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Answers with a lower confidence are called uncertain; 0 for never.
    #[must_use]
    pub fn uncertain_below(&self) -> f32 {
        self.uncertain_below
    }

    /// Reads a picture and answers; a picture that cannot be read is an answer
    /// with `error`.
    #[must_use]
    pub fn predict_file(&self, path: &Path) -> Prediction {
        self.look(&Input::File(path.to_owned())).prediction
    }

    /// Answers for the bytes of an image file; `input` names them in the answer.
    #[must_use]
    pub fn predict_bytes(&self, input: String, bytes: Vec<u8>) -> Prediction {
        self.look(&Input::Bytes { name: input, bytes }).prediction
    }

    /// Answers for a decoded picture.
    #[must_use]
    pub fn predict_image(&self, photo: &DynamicImage) -> Vec<Face> {
        self.faces(photo).0
    }

    /// Answers for many inputs at once, over all threads of the pool, and hands
    /// over what `work` makes of each, in their order. What is held in memory
    /// does not grow with their number. `emit` returns whether to go on.
    pub fn predict_all<T: Send>(
        &self,
        inputs: &[Input],
        work: impl Fn(Looked) -> T + Sync,
        mut emit: impl FnMut(T) -> bool,
    ) {
        for chunk in inputs.chunks(PHOTOS_A_THREAD * rayon::current_num_threads()) {
            // One at a time: photos differ a hundredfold in size.
            let done: Vec<T> = chunk.par_iter().with_max_len(1).map(|input| work(self.look(input))).collect();
            if !done.into_iter().all(&mut emit) {
                return;
            }
        }
    }

    /// Answers and keeps what the answer was made from.
    #[must_use]
    pub fn look(&self, input: &Input) -> Looked {
        let name = input.name();
        match input.read().and_then(|bytes| decode_image(&bytes)) {
            Ok(photo) => {
                let (faces, crops) = self.faces(&photo);
                let prediction =
                    Prediction { input: name, width: photo.width(), height: photo.height(), faces, error: None };
                Looked { prediction, photo: Some(photo), crops }
            }
            Err(error) => Looked { prediction: Prediction::failed(name, error), photo: None, crops: Vec::new() },
        }
    }

    /// The faces in a photo and the pixels that the network saw of each.
    fn faces(&self, photo: &DynamicImage) -> (Vec<Face>, Vec<Vec<u8>>) {
        let cut = self.cut(photo, self.options.detect);
        (self.answers(&cut, &self.probabilities(&cut.crops)), cut.crops)
    }

    /// Finds the faces of a photo and cuts them out; without `detect` the whole
    /// photo is one.
    #[must_use]
    pub fn cut(&self, photo: &DynamicImage, detect: bool) -> Cut {
        let [height, width, channels] = self.input;
        let (extent, mut cut) = ([photo.width(), photo.height()], Cut { places: Vec::new(), crops: Vec::new() });
        if detect {
            for found in self.detector.find(photo, &self.options.detect_options) {
                cut.places.push((found.within(extent[0], extent[1]), Some(found.score)));
                cut.crops.push(face_pixels(photo, &found.crop, [height, width], channels));
            }
        } else {
            cut.places.push((FaceBox { x: 0, y: 0, width: extent[0], height: extent[1] }, None));
            cut.crops.push(to_pixels(photo, [height, width], channels));
        }
        cut
    }

    /// The faces with what the network said of each, `[N, classes]`.
    #[must_use]
    pub fn answers(&self, cut: &Cut, probabilities: &[f32]) -> Vec<Face> {
        let rows = probabilities.chunks_exact(self.classes.len()).zip(&cut.places);
        rows.map(|(row, &(place, score))| self.face(row, place, score)).collect()
    }

    fn face(&self, probabilities: &[f32], place: FaceBox, score: Option<f32>) -> Face {
        let best = argmax(probabilities);
        Face {
            place,
            label: self.classes[best].clone(),
            confidence: probabilities[best],
            uncertain: probabilities[best] < self.uncertain_below,
            probabilities: self.classes.iter().cloned().zip(probabilities.iter().copied()).collect(),
            score,
            explanation: None,
        }
    }

    /// Probabilities `[N, classes]` for pictures of faces, each `[H, W, C]` of the
    /// network's input, 0–255.
    #[must_use]
    pub fn probabilities(&self, crops: &[Vec<u8>]) -> Vec<f32> {
        if crops.is_empty() {
            return Vec::new();
        }
        let shape = self.input_shape();
        let mut images = Tensor::zeros(crops.len(), shape);
        for (crop, out) in crops.iter().zip(images.data_mut().chunks_exact_mut(shape.len())) {
            crop.iter().zip(out).for_each(|(&pixel, out)| *out = f32::from(pixel));
        }
        self.calibrated(images)
    }

    /// Probabilities `[N, classes]` of many faces in one array `[N, H, W, C]` of the
    /// network's input, values 0–255, as whole numbers or not. They are looked at in
    /// batches; nothing is copied but the batch in work.
    ///
    /// # Errors
    /// When the array is not made of whole images.
    pub fn face_probabilities<P: Copy + Into<f32> + Sync>(&self, pixels: &[P]) -> Result<Vec<f32>, NotFaces> {
        let shape = self.input_shape();
        if !pixels.len().is_multiple_of(shape.len()) {
            return Err(NotFaces { found: pixels.len(), input: self.input });
        }
        let mut rows = Vec::with_capacity(pixels.len() / shape.len() * self.classes.len());
        for batch in pixels.chunks(FACES_AT_ONCE * shape.len()) {
            let mut images = Tensor::zeros(batch.len() / shape.len(), shape);
            images.data_mut().iter_mut().zip(batch).for_each(|(out, &pixel)| *out = pixel.into());
            rows.extend(self.calibrated(images));
        }
        Ok(rows)
    }

    /// `[height, width, channels]` of the pictures of faces that the network takes.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    fn input_shape(&self) -> Shape {
        let [height, width, channels] = self.input;
        Shape::new(height, width, channels)
    }

    /// Probabilities of pixels that are not yet normalised.
    fn calibrated(&self, mut images: Tensor) -> Vec<f32> {
        normalise(images.data_mut(), self.input[2], &self.normalisation);
        // The lock is not held while the network runs: a thread that waits for
        // others may be given another photo, and would wait for itself.
        let free = self.workspaces.lock().ok().and_then(|mut free| free.pop());
        let mut workspace = free.unwrap_or_default();
        let logits = self.network.run_in(&images, &mut workspace);
        let mut rows = logits.data().to_vec();
        workspace.give(logits);
        if let Ok(mut free) = self.workspaces.lock() {
            free.push(workspace);
        }
        self.calibration.apply(&mut rows, self.classes.len());
        rows
    }
}
