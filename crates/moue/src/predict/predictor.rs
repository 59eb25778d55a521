//! Predicts the facial expressions in a photo.

use super::inputs::{self, Input};
use super::options::PredictOptions;
use super::photo::{Photo, PhotoError};
use crate::classifier::Classifier;
use crate::detect::{Detection, Detector};
use crate::explain::Explainer;
use crate::image::to_pixels;
use crate::model::ModelFileError;
use crate::prediction::{Face, FaceBox, Prediction};
use crate::render::explain_faces;
use crate::tta::Tta;
use image::DynamicImage;
use moue_engine::loss::argmax;
use rayon::prelude::*;
use std::borrow::{Borrow, Cow};
use std::path::Path;
use std::sync::Arc;

/// Photos that each thread processes before predictions are emitted, once it has begun.
const PHOTOS_A_THREAD: usize = 16;

/// Views of faces that are predicted in one batch.
const VIEWS_AT_ONCE: usize = 64;

/// The faces of a photo, cropped, before they are classified.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceCrops {
    extent: [u32; 2],
    /// Whether the photo is the available part of a truncated file.
    truncated: bool,
    /// For each face its box, and the detection where faces were detected.
    places: Vec<(FaceBox, Option<Detection>)>,
    crops: Vec<Vec<u8>>,
}

impl FaceCrops {
    /// `[width, height]` of the photo.
    #[must_use]
    pub fn extent(&self) -> [u32; 2] {
        self.extent
    }

    /// The box of each face, and its detection; `None` where the photo was not searched.
    #[must_use]
    pub fn places(&self) -> &[(FaceBox, Option<Detection>)] {
        &self.places
    }

    /// For each face, the network's input pixels, `[H, W, C]`, 0–255.
    #[must_use]
    pub fn crops(&self) -> &[Vec<u8>] {
        &self.crops
    }

    /// That the file is truncated, or that the whole picture was taken as a face, given the minimum
    /// score of a face.
    fn warning(&self, least: f32) -> Option<String> {
        let truncated =
            self.truncated.then(|| "the file is truncated; only a part of the picture was predicted".into());
        let mut found = self.places.iter().filter_map(|(_, found)| found.as_ref());
        let whole = found.find(|found| found.is_whole_picture()).map(|found| {
            format!(
                "no face was detected with a score of at least {least}; the whole picture was taken as a face (score {:.2})",
                found.score
            )
        });
        let warnings: Vec<String> = truncated.into_iter().chain(whole).collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }
}

/// A prediction with the pixels that it was computed from.
#[derive(Clone, Debug)]
pub struct Inspected<'a> {
    /// The prediction.
    pub prediction: Prediction,
    /// The upright picture; `None` when it cannot be read.
    pub photo: Option<Cow<'a, DynamicImage>>,
    /// For each face, the network's input pixels, `[H, W, C]`.
    pub crops: Vec<Vec<u8>>,
}

impl Inspected<'_> {
    /// The prediction for an input that cannot be read.
    fn failed(input: String, error: String) -> Self {
        Inspected { prediction: Prediction::failed(input, error), photo: None, crops: Vec::new() }
    }

    /// The same with a picture of its own.
    fn into_owned(self) -> Inspected<'static> {
        let Self { prediction, photo, crops } = self;
        Inspected { prediction, photo: photo.map(|photo| Cow::Owned(photo.into_owned())), crops }
    }

    /// The same without the picture, which can be large.
    #[must_use]
    pub fn without_photo(self) -> Inspected<'static> {
        Inspected { prediction: self.prediction, photo: None, crops: self.crops }
    }
}

/// A classifier with a face detector, for photos. It is shared between threads.
///
/// [`Self::predict`] consists of three steps, which are also available separately:
/// [`Self::crop_faces`], [`Classifier::crop_probabilities`] and [`Self::prediction`].
pub struct Predictor {
    classifier: Arc<Classifier>,
    explainer: Explainer,
    options: PredictOptions,
    /// `None` for the bundled detector.
    detector: Option<Detector>,
}

impl Predictor {
    /// Loads a predictor with a bundled model by name, or any other model from its file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a model file.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        Ok(Self::new(Classifier::open(model)?))
    }

    /// A predictor with this classifier, which may be shared with other predictors.
    #[must_use]
    pub fn new(classifier: impl Into<Arc<Classifier>>) -> Self {
        let classifier = classifier.into();
        let explainer = Explainer::new(Arc::clone(&classifier));
        Self { classifier, explainer, options: PredictOptions::default(), detector: None }
    }

    /// Returns the predictor with other options.
    #[must_use]
    pub fn with_options(self, options: PredictOptions) -> Self {
        Self { options, ..self }
    }

    /// Returns the predictor with another detector.
    #[must_use]
    pub fn with_detector(self, detector: Detector) -> Self {
        Self { detector: Some(detector), ..self }
    }

    /// The classifier.
    #[must_use]
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The explainer of the classifier.
    #[must_use]
    pub fn explainer(&self) -> &Explainer {
        &self.explainer
    }

    /// The default options.
    #[must_use]
    pub fn options(&self) -> &PredictOptions {
        &self.options
    }

    fn detector(&self) -> &Detector {
        self.detector.as_ref().unwrap_or_else(|| Detector::bundled())
    }

    /// Frees the memory that is kept to make further predictions faster, as a service does when it is idle.
    pub fn release_memory(&self) {
        self.classifier.release_memory();
        self.detector().release_memory();
    }

    /// Predicts the expressions in a photo: a path, or any other form of [`Photo`].
    ///
    /// # Errors
    /// When the photo cannot be read or is too large.
    pub fn predict<'a>(&self, photo: impl Into<Photo<'a>>) -> Result<Prediction, PhotoError> {
        self.predict_with(photo, &self.options)
    }

    /// Predicts the expressions in a photo with other options.
    ///
    /// # Errors
    /// When the photo cannot be read or is too large.
    pub fn predict_with<'a>(
        &self,
        photo: impl Into<Photo<'a>>,
        options: &PredictOptions,
    ) -> Result<Prediction, PhotoError> {
        Ok(self.inspect(photo, options)?.prediction)
    }

    /// Predicts the expressions in a photo and returns the pixels too.
    ///
    /// # Errors
    /// When the photo cannot be read or is too large.
    pub fn inspect<'a>(
        &self,
        photo: impl Into<Photo<'a>>,
        options: &PredictOptions,
    ) -> Result<Inspected<'a>, PhotoError> {
        let photo = photo.into();
        let input = photo.name();
        let (photo, faces) = self.crop_photo(photo, options)?;
        let probabilities = self.probabilities(&faces.crops, options.tta);
        let prediction = self.prediction(input, &faces, &probabilities, options);
        Ok(Inspected { prediction, photo: Some(photo), crops: faces.crops })
    }

    /// Predicts many inputs in parallel on all threads of the pool. The results of `work` are
    /// emitted in the order of the inputs. An input that cannot be read gives a prediction with an
    /// `error`. Memory use does not depend on the number of inputs, which are taken as they are
    /// needed; each may come with more that belongs to it. `emit` returns whether to continue.
    pub fn predict_all<I: Borrow<Input> + Send, T: Send>(
        &self,
        inputs: impl IntoIterator<Item = I>,
        work: impl Fn(I, Inspected<'_>) -> T + Sync,
        mut emit: impl FnMut(T) -> bool,
    ) {
        let mut inputs = inputs.into_iter();
        // The first predictions are emitted early.
        let mut photos_a_thread = 1;
        loop {
            let chunk: Vec<I> = inputs.by_ref().take(photos_a_thread * rayon::current_num_threads()).collect();
            if chunk.is_empty() {
                return;
            }
            // The pool takes photos one at a time, because their sizes differ a hundredfold.
            let one_at_a_time = chunk.into_par_iter().with_max_len(1);
            let done: Vec<T> = one_at_a_time.map(|input| self.inspect_input(input, &work)).collect();
            if !done.into_iter().all(&mut emit) {
                return;
            }
            photos_a_thread = (2 * photos_a_thread).min(PHOTOS_A_THREAD);
        }
    }

    fn inspect_input<I: Borrow<Input>, T>(&self, input: I, work: impl Fn(I, Inspected<'_>) -> T) -> T {
        let name = input.borrow().name();
        let bytes = match input.borrow() {
            Input::File(path) => inputs::read(path).map(Cow::Owned).map_err(|error| error.to_string()),
            Input::Bytes { bytes, .. } => Ok(Cow::Borrowed(&**bytes)),
            Input::Unreadable { reason, .. } => Err(reason.clone()),
        };
        // The bytes may belong to the input, which is handed over.
        let inspected = bytes.and_then(|bytes| {
            let inspected = self.inspect(Photo::Bytes(&name, &bytes), &self.options);
            inspected.map(Inspected::into_owned).map_err(|error| error.to_string())
        });
        work(input, inspected.unwrap_or_else(|error| Inspected::failed(name, error)))
    }

    /// Decodes a photo, and detects and crops its faces as [`Self::crop_faces`] does.
    ///
    /// # Errors
    /// When the photo cannot be read or is too large.
    pub fn crop_photo<'a>(
        &self,
        photo: Photo<'a>,
        options: &PredictOptions,
    ) -> Result<(Cow<'a, DynamicImage>, FaceCrops), PhotoError> {
        let (photo, truncated) = photo.decode(options)?;
        let face_crops = FaceCrops { truncated, ..self.crop_faces(&photo, options) };
        Ok((photo, face_crops))
    }

    /// Detects and crops the faces of a photo; without [`PredictOptions::detect`] the whole photo
    /// is one face.
    #[must_use]
    pub fn crop_faces(&self, photo: &DynamicImage, options: &PredictOptions) -> FaceCrops {
        let [height, width, channels] = self.classifier.input();
        let extent = [photo.width(), photo.height()];
        let mut face_crops = FaceCrops { extent, truncated: false, places: Vec::new(), crops: Vec::new() };
        if options.detect {
            for found in self.detector().find(photo, &options.detect_options) {
                face_crops.places.push((found.within(extent[0], extent[1]), Some(found)));
                face_crops.crops.push(found.pixels(photo, [height, width], channels));
            }
        } else {
            face_crops.places.push((FaceBox { x: 0, y: 0, width: extent[0], height: extent[1] }, None));
            face_crops.crops.push(to_pixels(photo, [height, width], channels));
        }
        face_crops
    }

    /// The probabilities of faces, `[N, classes]`.
    fn probabilities(&self, crops: &[Vec<u8>], tta: Tta) -> Vec<f32> {
        if !tta.is_on() {
            return self.classifier.crop_probabilities(crops);
        }
        let views = tta.views(crops, self.classifier.input());
        let rows = views.chunks(VIEWS_AT_ONCE).flat_map(|views| self.classifier.crop_probabilities(views)).collect();
        tta.mean(rows, self.classifier.classes().len())
    }

    /// The prediction for a photo, given the probabilities of its faces, `[N, classes]`.
    #[must_use]
    pub fn prediction(
        &self,
        input: String,
        face_crops: &FaceCrops,
        probabilities: &[f32],
        options: &PredictOptions,
    ) -> Prediction {
        let rows = probabilities.chunks_exact(self.classifier.classes().len()).zip(&face_crops.places);
        let mut faces: Vec<Face> = rows.map(|(row, (place, found))| self.face(row, *place, found.as_ref())).collect();
        if options.explain {
            explain_faces(&self.explainer, &mut faces, &face_crops.crops);
        }
        let [width, height] = face_crops.extent;
        let warning = face_crops.warning(options.detect_options.least_score());
        Prediction { input, width, height, faces, warning, error: None }
    }

    fn face(&self, probabilities: &[f32], place: FaceBox, found: Option<&Detection>) -> Face {
        let (best, classes) = (argmax(probabilities), self.classifier.classes());
        Face {
            place,
            label: classes[best].clone(),
            confidence: probabilities[best],
            uncertain: probabilities[best] < self.classifier.uncertain_below(),
            probabilities: classes.iter().cloned().zip(probabilities.iter().copied()).collect(),
            score: found.map(|found| found.score),
            landmarks: found.and_then(Detection::points),
            roll: found.and_then(Detection::roll).map(|roll| (roll * 10.0).round() / 10.0),
            explanation: None,
        }
    }
}
