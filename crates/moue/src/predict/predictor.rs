//! From a photo to the expressions in it.

use super::inputs::Input;
use super::photo::Photo;
use crate::classifier::Classifier;
use crate::detect::{DetectOptions, Detector};
use crate::explain::Explainer;
use crate::image::{face_pixels, to_pixels};
use crate::model::{Model, ModelFileError};
use crate::prediction::{Face, FaceBox, Prediction};
use crate::render::explain_faces;
use image::DynamicImage;
use moue_engine::loss::argmax;
use rayon::prelude::*;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// Photos that each thread works on before predictions are handed over.
const PHOTOS_A_THREAD: usize = 16;

/// The faces of a photo, cropped, before they are classified.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceCrops {
    /// `[width, height]` of the photo.
    pub extent: [u32; 2],
    /// Where each face is, and the detector's score.
    pub places: Vec<(FaceBox, Option<f32>)>,
    /// For each face, the pixels that the network takes, `[H, W, C]`.
    pub crops: Vec<Vec<u8>>,
}

/// A prediction with what it was made from.
#[derive(Clone, Debug)]
pub struct Inspected<'a> {
    /// The prediction.
    pub prediction: Prediction,
    /// The picture, turned upright; `None` when it cannot be read.
    pub photo: Option<Cow<'a, DynamicImage>>,
    /// For each face, the pixels that the network saw, `[H, W, C]`.
    pub crops: Vec<Vec<u8>>,
}

impl Inspected<'_> {
    /// The same without the picture, which can be large.
    #[must_use]
    pub fn without_photo(self) -> Inspected<'static> {
        Inspected { prediction: self.prediction, photo: None, crops: self.crops }
    }
}

/// How a [`Predictor`] treats photos.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictOptions {
    /// Searches for faces; otherwise the whole picture is taken for one.
    pub detect: bool,
    /// How faces are searched.
    pub detect_options: DetectOptions,
    /// Whether each face comes with its saliency map ([`Face::explanation`]).
    pub explain: bool,
    /// Most columns times rows of a photo; `None` for the decoder's own limit.
    pub max_pixels: Option<u64>,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self { detect: true, detect_options: DetectOptions::default(), explain: false, max_pixels: None }
    }
}

/// A classifier with a face detector, for photos, from any number of threads.
///
/// ```no_run
/// use moue::predict::{PredictOptions, Predictor};
///
/// let predictor = Predictor::open("default".as_ref(), PredictOptions::default())?;
/// for face in predictor.predict("photo.jpg").faces {
///     println!("{} {:.0} %", face.label, face.confidence * 100.0);
/// }
/// # Ok::<(), moue::model::ModelFileError>(())
/// ```
///
/// [`Self::predict`] is made of three steps that a program may also take one by one:
/// [`Self::crop_faces`], [`Classifier::crop_probabilities`] and [`Self::prediction`].
pub struct Predictor {
    classifier: Arc<Classifier>,
    explainer: Explainer,
    options: PredictOptions,
    detector: Detector,
}

impl Predictor {
    /// A predictor with a bundled model by its name, or any other from its file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a model's.
    pub fn open(model: &Path, options: PredictOptions) -> Result<Self, ModelFileError> {
        Ok(Self::new(Arc::new(Classifier::new(Model::open(model)?)), options))
    }

    /// A predictor with this classifier.
    #[must_use]
    pub fn new(classifier: Arc<Classifier>, options: PredictOptions) -> Self {
        let explainer = Explainer::new(Arc::clone(&classifier));
        Self { classifier, explainer, options, detector: Detector::default() }
    }

    /// The same with another detector.
    #[must_use]
    pub fn with_detector(self, detector: Detector) -> Self {
        Self { detector, ..self }
    }

    /// The classifier.
    #[must_use]
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The explainer of the same classifier.
    #[must_use]
    pub fn explainer(&self) -> &Explainer {
        &self.explainer
    }

    /// How photos are treated where nothing else is asked for.
    #[must_use]
    pub fn options(&self) -> &PredictOptions {
        &self.options
    }

    /// The prediction for a photo; one that cannot be read has an `error`.
    pub fn predict<'a>(&self, photo: impl Into<Photo<'a>>) -> Prediction {
        self.predict_with(photo, &self.options)
    }

    /// The same with other options.
    pub fn predict_with<'a>(&self, photo: impl Into<Photo<'a>>, options: &PredictOptions) -> Prediction {
        self.inspect(photo.into(), options).prediction
    }

    /// The prediction with what it was made from.
    #[must_use]
    pub fn inspect<'a>(&self, photo: Photo<'a>, options: &PredictOptions) -> Inspected<'a> {
        let input = photo.name();
        match photo.decode(options.max_pixels) {
            Ok(photo) => {
                let face_crops = self.crop_faces(&photo, options);
                let probabilities = self.classifier.crop_probabilities(&face_crops.crops);
                let prediction = self.prediction(input, &face_crops, &probabilities, options);
                Inspected { prediction, photo: Some(photo), crops: face_crops.crops }
            }
            Err(error) => {
                Inspected { prediction: Prediction::failed(input, error.to_string()), photo: None, crops: Vec::new() }
            }
        }
    }

    /// Predicts many inputs at once, over all threads of the pool, and hands
    /// over what `work` makes of each, in their order. What is held in memory
    /// does not grow with their number. `emit` returns whether to go on.
    pub fn predict_all<T: Send>(
        &self,
        inputs: &[Input],
        work: impl Fn(Inspected<'_>) -> T + Sync,
        mut emit: impl FnMut(T) -> bool,
    ) {
        for chunk in inputs.chunks(PHOTOS_A_THREAD * rayon::current_num_threads()) {
            // One at a time: photos differ a hundredfold in size.
            let inspect = |input: &Input| work(self.inspect(input.into(), &self.options));
            let done: Vec<T> = chunk.par_iter().with_max_len(1).map(inspect).collect();
            if !done.into_iter().all(&mut emit) {
                return;
            }
        }
    }

    /// Finds the faces of a photo and cuts them out; without [`PredictOptions::detect`]
    /// the whole photo is one.
    #[must_use]
    pub fn crop_faces(&self, photo: &DynamicImage, options: &PredictOptions) -> FaceCrops {
        let [height, width, channels] = self.classifier.input();
        let extent = [photo.width(), photo.height()];
        let mut face_crops = FaceCrops { extent, places: Vec::new(), crops: Vec::new() };
        if options.detect {
            for found in self.detector.find(photo, &options.detect_options) {
                face_crops.places.push((found.within(extent[0], extent[1]), Some(found.score)));
                face_crops.crops.push(face_pixels(photo, &found.crop, [height, width], channels));
            }
        } else {
            face_crops.places.push((FaceBox { x: 0, y: 0, width: extent[0], height: extent[1] }, None));
            face_crops.crops.push(to_pixels(photo, [height, width], channels));
        }
        face_crops
    }

    /// The prediction for a photo whose faces have these probabilities, `[N, classes]`.
    #[must_use]
    pub fn prediction(
        &self,
        input: String,
        face_crops: &FaceCrops,
        probabilities: &[f32],
        options: &PredictOptions,
    ) -> Prediction {
        let rows = probabilities.chunks_exact(self.classifier.classes().len()).zip(&face_crops.places);
        let mut faces: Vec<Face> = rows.map(|(row, &(place, score))| self.face(row, place, score)).collect();
        if options.explain {
            explain_faces(&self.explainer, &mut faces, &face_crops.crops);
        }
        let [width, height] = face_crops.extent;
        Prediction { input, width, height, faces, error: None }
    }

    fn face(&self, probabilities: &[f32], place: FaceBox, score: Option<f32>) -> Face {
        let (best, classes) = (argmax(probabilities), self.classifier.classes());
        Face {
            place,
            label: classes[best].clone(),
            confidence: probabilities[best],
            uncertain: probabilities[best] < self.classifier.uncertain_below(),
            probabilities: classes.iter().cloned().zip(probabilities.iter().copied()).collect(),
            score,
            explanation: None,
        }
    }
}
