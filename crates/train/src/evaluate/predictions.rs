//! A model's probabilities for the images of a split.

use crate::data::{Dataset, Split, inputs};
use moue::model::Model;
use moue::{Classifier, Tta};
use moue_engine::Tensor;
use moue_engine::loss::argmax;

/// Images in a batch.
const BATCH: usize = 128;

/// A model's predictions for the images of a split.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// Indices of the images in the data set.
    pub images: Vec<usize>,
    /// Their labels.
    pub labels: Vec<u32>,
    /// `[N, classes]`, with the temperature of the model's calibration, but without its factors and
    /// biases of classes, if any: the predicted class is that of the network.
    pub probabilities: Vec<f32>,
}

impl Predictions {
    /// For each image, its probabilities and its label.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let classes = self.probabilities.len() / self.labels.len().max(1);
        let labels = self.labels.iter().map(|&label| label as usize);
        self.probabilities.chunks_exact(classes.max(1)).zip(labels)
    }
}

/// Why a model does not fit a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataMismatch {
    /// The classes differ.
    #[error("the model's classes are {model}, but the data's classes are {data}")]
    Classes {
        /// The model's classes.
        model: String,
        /// The data's classes.
        data: String,
    },
    /// The image size or channels differ.
    #[error("the model takes images of shape {model:?}, but the data was opened with shape {data:?}")]
    Shape {
        /// The model's `[height, width, channels]`.
        model: [usize; 3],
        /// The data's `[height, width, channels]`.
        data: [usize; 3],
    },
}

/// Predicts a split; with `tta` the probabilities of several views of each image are averaged.
/// `progress` is called with the number of finished images.
///
/// # Errors
/// When the data has other classes, or images of another shape, than the model.
pub fn predict_split(
    classifier: &Classifier,
    dataset: &Dataset,
    split: Split,
    tta: Tta,
    progress: &mut dyn FnMut(usize),
) -> Result<Predictions, DataMismatch> {
    check_fit(classifier.model(), dataset)?;
    Ok(predict_images(classifier, dataset, dataset.indices(split), |index| dataset.image(index), tta, progress))
}

/// Checks that a model fits a data set.
///
/// # Errors
/// When the data has other classes, or images of another shape, than the model.
pub fn check_fit(model: &Model, dataset: &Dataset) -> Result<(), DataMismatch> {
    if model.classes() != dataset.classes {
        let list = |classes: &[String]| classes.join(", ");
        return Err(DataMismatch::Classes { model: list(model.classes()), data: list(&dataset.classes) });
    }
    if model.input() != dataset.shape() {
        return Err(DataMismatch::Shape { model: model.input(), data: dataset.shape() });
    }
    Ok(())
}

/// Predicts images as [`predict_split`] does; `pixels` returns their pixels (`[H, W, C]`, 0–255).
pub(super) fn predict_images<P: AsRef<[u8]>>(
    classifier: &Classifier,
    dataset: &Dataset,
    images: Vec<usize>,
    pixels: impl Fn(usize) -> P + Sync,
    tta: Tta,
    progress: &mut dyn FnMut(usize),
) -> Predictions {
    let normalization = classifier.model().normalization();
    let calibration = classifier.model().calibration().temperature_only();
    let classes = classifier.classes().len();
    let predicted = |batch: &Tensor| {
        let mut rows = classifier.logits(batch);
        calibration.apply(&mut rows, classes);
        rows
    };
    let mut probabilities = Vec::with_capacity(images.len() * classes);
    let mut batch = Tensor::default();
    let mut done = 0;
    for chunk in images.chunks(BATCH) {
        let mut sums = vec![0.0; chunk.len() * classes];
        for number in 0..tta.count() {
            let view = |index: usize| tta.view(number, pixels(index).as_ref(), dataset.shape()).into_owned();
            inputs(dataset.shape(), chunk, view, normalization, &mut batch);
            sums.iter_mut().zip(predicted(&batch)).for_each(|(sum, p)| *sum += f64::from(p));
        }
        probabilities.extend(sums.into_iter().map(|sum| (sum / tta.count() as f64) as f32));
        done += chunk.len();
        progress(done);
    }
    let labels = images.iter().map(|&index| dataset.labels[index]).collect();
    Predictions { images, labels, probabilities }
}

/// Logits `[N, classes]` of images of a data set that the classifier fits.
///
/// # Panics
/// When the images have another shape than the classifier's input.
#[must_use]
pub fn logits(classifier: &Classifier, dataset: &Dataset, images: &[usize]) -> Vec<f32> {
    let normalization = classifier.model().normalization();
    let mut batch = Tensor::default();
    let mut rows = Vec::with_capacity(images.len() * classifier.classes().len());
    for chunk in images.chunks(BATCH) {
        inputs(dataset.shape(), chunk, |index| dataset.image(index), normalization, &mut batch);
        rows.extend(classifier.logits(&batch));
    }
    rows
}

/// Indices of the rows of `probabilities` with their highest value, in decreasing order of it; ties
/// keep their order.
#[must_use]
pub fn most_confident_first(probabilities: &[f32], classes: usize) -> Vec<(usize, f32)> {
    let rows = probabilities.chunks_exact(classes).enumerate();
    let mut order: Vec<(usize, f32)> = rows.map(|(index, row)| (index, row[argmax(row)])).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order
}
