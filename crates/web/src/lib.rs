//! moue's predictor for browsers and Node: `page/moue/index.ts` calls it from JavaScript.
//!
//! Pictures are passed as files or as pixels, predictions are returned as the JSON of `moue
//! predict`. The page handles threads, files and the network.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

use moue::Classifier;
use moue::detect::DetectOptions;
use moue::model::{Model, ValidationCount};
use moue::predict::{Photo, PhotoError, PredictOptions, Predictor};
use moue::prediction::Prediction;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// Maximum columns times rows of a picture: a page's memory must hold four bytes for each pixel
/// several times.
const PIXELS: u64 = 64_000_000;

/// A predictor with the model `tiny`, or with a given model.
#[wasm_bindgen]
pub struct WebPredictor {
    predictor: Predictor,
}

#[wasm_bindgen]
impl WebPredictor {
    /// Loads a model from the bytes of a model file, or the model `tiny`.
    ///
    /// # Errors
    /// When the bytes are not a model file.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::needless_pass_by_value, reason = "JavaScript passes optional arguments by value")]
    pub fn new(model: Option<Vec<u8>>) -> Result<Self, JsError> {
        Self::open(model.as_deref()).map_err(|error| JsError::new(&error))
    }

    /// The classes, in alphabetical order.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn classes(&self) -> Vec<String> {
        self.predictor.classifier().classes().to_vec()
    }

    /// Name of the model's architecture.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn name(&self) -> String {
        self.predictor.classifier().model().architecture().name.clone()
    }

    /// Accuracy of the model on its validation split, 0–1; `undefined` if the model file does not contain it.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        self.validation().map(|count| count.accuracy())
    }

    /// Number of images of that split; `undefined` if the model file does not contain it.
    #[wasm_bindgen(getter, js_name = accuracyImages)]
    #[must_use]
    pub fn accuracy_images(&self) -> Option<usize> {
        self.validation().map(|count| count.images)
    }

    /// The prediction for an image file, as JSON. With `fast`, faces are searched at 320 pixels only. A truncated file is an error, unless it is allowed.
    ///
    /// # Errors
    /// When the prediction cannot be serialized.
    #[wasm_bindgen(js_name = predictFile)]
    #[allow(clippy::needless_pass_by_value, reason = "JavaScript passes strings by value")]
    pub fn predict_file(
        &self,
        name: String,
        bytes: &[u8],
        detect: bool,
        explain: bool,
        fast: bool,
        allow_truncated: bool,
    ) -> Result<String, JsError> {
        let options = PredictOptions { allow_truncated, ..self.options(detect, explain, fast) };
        json(&self.predict(Photo::Bytes(&name, bytes), &options))
    }

    /// The prediction for pixels of a canvas (RGBA, row by row), as JSON. With `fast`, faces are searched
    /// at 320 pixels only.
    ///
    /// # Errors
    /// When there are not four bytes for each pixel.
    #[wasm_bindgen(js_name = predictPixels)]
    #[allow(clippy::needless_pass_by_value, reason = "JavaScript passes strings by value")]
    pub fn predict_pixels(
        &self,
        name: String,
        rgba: Vec<u8>,
        width: u32,
        height: u32,
        detect: bool,
        explain: bool,
        fast: bool,
    ) -> Result<String, JsError> {
        let photo = image::RgbaImage::from_raw(width, height, rgba)
            .filter(|photo| !photo.is_empty())
            .ok_or_else(|| JsError::new("the array must have four bytes (RGBA) for each pixel"))?;
        json(&self.predict(Photo::Image(&name, &photo.into()), &self.options(detect, explain, fast)))
    }
}

impl WebPredictor {
    fn validation(&self) -> Option<ValidationCount> {
        self.predictor.classifier().model().provenance().validation
    }

    fn open(model: Option<&[u8]>) -> Result<Self, String> {
        let model = match model {
            Some(bytes) => Model::from_bytes(bytes, "model"),
            None => Model::open("tiny"),
        };
        let classifier = Classifier::new(model.map_err(|error| error.to_string())?);
        let options = PredictOptions { max_pixels: Some(PIXELS), ..PredictOptions::default() };
        Ok(Self { predictor: Predictor::new(classifier).with_options(options) })
    }

    fn options(&self, detect: bool, explain: bool, fast: bool) -> PredictOptions {
        let detect_options = DetectOptions { fast, ..DetectOptions::default() };
        PredictOptions { detect, explain, detect_options, ..*self.predictor.options() }
    }

    fn predict(&self, photo: Photo<'_>, options: &PredictOptions) -> Prediction {
        let failed = |error: PhotoError| Prediction::failed(photo.name(), error.to_string());
        self.predictor.predict_with(photo, options).unwrap_or_else(failed)
    }
}

fn json(prediction: &Prediction) -> Result<String, JsError> {
    Ok(serde_json::to_string(prediction)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::DynamicImage;
    use moue_train::data::{ImageSpec, synthetic};

    fn face() -> image::GrayImage {
        let faces = synthetic::dataset(7, ImageSpec::of_input([48, 48, 1]), 0);
        image::GrayImage::from_raw(48, 48, faces.image(0).to_vec()).unwrap()
    }

    fn png(picture: &image::GrayImage) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_file_and_its_pixels_give_the_same_prediction_as_the_command() {
        let (engine, face) = (WebPredictor::open(None).unwrap(), face());
        let file = engine.predict(Photo::Bytes("face", &png(&face)), &engine.options(false, true, false));
        let options = PredictOptions { detect: false, ..PredictOptions::default() };
        let command =
            Predictor::open("tiny").unwrap().with_options(options).predict(Photo::Bytes("face", &png(&face))).unwrap();
        assert_eq!(file.faces[0].probabilities, command.faces[0].probabilities);
        assert!(file.faces[0].explanation.as_ref().unwrap().starts_with("data:image/png;base64,"));
        let rgba = DynamicImage::ImageLuma8(face).to_rgba8().into_raw();
        let pixels = engine.predict_pixels("face".into(), rgba, 48, 48, false, false, false).unwrap_or_default();
        let plain =
            json(&engine.predict(Photo::Bytes("face", &png(&self::face())), &engine.options(false, false, false)))
                .unwrap_or_default();
        assert_eq!(pixels, plain);
    }

    #[test]
    fn the_model_is_named_with_its_accuracy() {
        let engine = WebPredictor::open(None).unwrap();
        assert_eq!((engine.name(), engine.accuracy_images()), ("tiny".into(), Some(3186)));
        assert!(engine.accuracy().is_some_and(|accuracy| (0.8..0.9).contains(&accuracy)), "{:?}", engine.accuracy());
    }

    #[test]
    fn a_truncated_file_gives_a_prediction_with_an_error_unless_allowed() {
        let (engine, file) = (WebPredictor::open(None).unwrap(), png(&face()));
        let cut = &file[..file.len() * 7 / 10];
        let error = engine.predict(Photo::Bytes("cut.png", cut), &engine.options(false, false, false)).error.unwrap();
        assert!(error.starts_with("truncated PNG image"), "{error}");
        let json = engine.predict_file("cut.png".into(), cut, false, false, false, true).unwrap_or_default();
        assert!(json.contains("\"warning\":\"the file is truncated"), "{json}");
    }

    #[test]
    fn a_file_that_is_not_an_image_gives_a_prediction_with_an_error() {
        let engine = WebPredictor::open(None).unwrap();
        let prediction =
            engine.predict(Photo::Bytes("notes.txt", b"nothing to see"), &engine.options(true, false, false));
        assert!(prediction.faces.is_empty() && prediction.error.is_some(), "{prediction:?}");
        assert!(WebPredictor::open(Some(b"no model")).is_err());
    }
}
