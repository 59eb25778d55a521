//! Predictions for pictures and for arrays of faces.

use crate::device;
use crate::error::refused;
use crate::precision::of_predictions;
use crate::tta::tta;
use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};
use moue::detect::DetectOptions;
use moue::model::Model;
use moue::predict::{self, Photo, PhotoError, PredictOptions};
use moue::prediction::Prediction;
use moue::{Classifier, Tta};
use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArrayDyn};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::path::PathBuf;

/// A picture from Python.
#[derive(FromPyObject)]
pub enum Source {
    /// Pixels `[H, W, C]`, and H, W, C.
    Pixels(PyBackedBytes, u32, u32, u32),
    /// An image file's bytes.
    Bytes(PyBackedBytes),
    /// An image file.
    File(PathBuf),
}

/// Pixels `[H, W, C]` as a picture; `None` where their number does not match the shape.
fn picture(pixels: &[u8], height: u32, width: u32, channels: u32) -> Option<DynamicImage> {
    let pixels = pixels.to_vec();
    let photo = match channels {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        4 => RgbaImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => None,
    };
    photo.filter(|_| width > 0 && height > 0)
}

/// A model that is ready to predict.
#[pyclass(frozen, module = "moue._moue")]
pub struct Predictor {
    inner: predict::Predictor,
    /// A thread pool of its own, where a number of threads was given.
    pool: Option<ThreadPool>,
}

#[pymethods]
impl Predictor {
    #[new]
    fn new(
        py: Python<'_>,
        model: PathBuf,
        min_face: u32,
        min_score: f32,
        threads: usize,
        precision_name: &str,
        device: &str,
    ) -> PyResult<Self> {
        let (choice, device) = (of_predictions(precision_name)?, device::open(device)?);
        py.detach(|| {
            let options = PredictOptions {
                detect_options: DetectOptions { min_face, min_score, ..Default::default() },
                ..Default::default()
            };
            let pool = (threads > 0).then(|| ThreadPoolBuilder::new().num_threads(threads).build());
            let pool = pool.transpose().map_err(|error| refused(&error))?;
            let model = Model::open(&model).map_err(|error| refused(&error))?;
            let classifier = Classifier::prepare(model, choice, &device).map_err(|error| refused(&error))?;
            let inner = predict::Predictor::new(classifier);
            Ok(Self { inner: inner.with_options(options), pool })
        })
    }

    /// The classes, in the order of the columns of `predict_faces`.
    #[getter]
    fn classes(&self) -> Vec<String> {
        self.inner.classifier().classes().to_vec()
    }

    /// Height, width and channels of the face images that the network takes.
    #[getter]
    fn input_shape(&self) -> (usize, usize, usize) {
        self.inner.classifier().input().into()
    }

    #[getter]
    fn uncertain_below(&self) -> f32 {
        self.inner.classifier().uncertain_below()
    }

    /// The precision of the classifier.
    #[getter]
    fn precision(&self) -> &'static str {
        self.inner.classifier().precision().name()
    }

    /// The device of the classifier.
    #[getter]
    fn device(&self) -> String {
        self.inner.classifier().device().to_string()
    }

    /// A JSON document for each picture, in order.
    fn predict(
        &self,
        py: Python<'_>,
        pictures: Vec<Source>,
        detect: bool,
        allow_truncated: bool,
        tta_name: Option<&str>,
    ) -> PyResult<Vec<String>> {
        let tta = tta(tta_name)?;
        let predictions: Vec<Prediction> = py.detach(|| {
            self.installed(|| {
                pictures
                    .par_iter()
                    .with_max_len(1)
                    .map(|source| self.predict_source(source, detect, allow_truncated, tta))
                    .collect()
            })
        });
        device::warn(py, self.inner.classifier().device())?;
        let texts: Result<Vec<String>, _> = predictions.iter().map(serde_json::to_string).collect();
        texts.map_err(|error| refused(&error))
    }

    /// Probabilities, row by row, of face images `[N, H, W, C]` of the network's input.
    fn predict_faces<'py>(&self, py: Python<'py>, faces: Faces<'py>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let rows = match &faces {
            Faces::Whole(array) => self.rows(py, array),
            Faces::Real(array) => self.rows(py, array),
        };
        let rows = rows?;
        device::warn(py, self.inner.classifier().device())?;
        Ok(rows.into_pyarray(py))
    }
}

/// Faces as an array, values 0–255.
#[derive(FromPyObject)]
pub enum Faces<'py> {
    Whole(PyReadonlyArrayDyn<'py, u8>),
    Real(PyReadonlyArrayDyn<'py, f32>),
}

impl Predictor {
    fn installed<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    fn rows<P>(&self, py: Python<'_>, faces: &PyReadonlyArrayDyn<'_, P>) -> PyResult<Vec<f32>>
    where
        P: Element + Copy + Into<f32> + Sync,
    {
        let pixels = faces.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))?;
        let rows = py.detach(|| self.installed(|| self.inner.classifier().face_probabilities(pixels)));
        rows.map_err(|error| refused(&error))
    }

    fn predict_source(&self, source: &Source, detect: bool, allow_truncated: bool, tta: Tta) -> Prediction {
        let options = PredictOptions { detect, allow_truncated, tta, ..*self.inner.options() };
        let predicted = |photo: Photo<'_>| {
            let failed = |error: PhotoError| Prediction::failed(photo.name(), error.to_string());
            self.inner.predict_with(photo, &options).unwrap_or_else(failed)
        };
        match source {
            Source::File(path) => predicted(Photo::File(path)),
            Source::Bytes(bytes) => predicted(Photo::Bytes("<bytes>", bytes)),
            Source::Pixels(bytes, height, width, channels) => match picture(bytes, *height, *width, *channels) {
                Some(photo) => predicted(Photo::Image("<pixels>", &photo)),
                None => Prediction::failed("<pixels>".into(), "an array of this shape is not a picture".into()),
            },
        }
    }
}
