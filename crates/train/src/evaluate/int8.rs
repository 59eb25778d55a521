//! The ranges of activations that predictions with 8-bit integers need, and the accuracy with them.

use super::metrics::compute_metrics;
use super::predictions::{DataMismatch, Predictions, check_fit, predict_split};
use crate::data::{Dataset, Split, inputs};
use moue::model::{Int8, Int8Accuracy, Model};
use moue::{Classifier, Precision, Tta};
use moue_engine::Tensor;
use moue_engine::inference::{RangeMethod, ranges};

/// Number of training images that ranges are computed from.
const IMAGES: usize = 512;

/// Images in one batch.
const BATCH: usize = 64;

/// The ranges contain this share of the values at each end. On PublicTest, models lose less accuracy with it than with
/// the smallest squared error, and probabilities differ less than with shorter ranges
/// (docs/decisions/2026-11-28-int8.md).
const METHOD: RangeMethod = RangeMethod::Percentile(0.999_99);

/// Computes the ranges of a model's activations on training images, and its accuracy with 8-bit integers on the
/// validation split. The predictions in f32 are computed unless they are passed. Without training images, the model has
/// no ranges; in a network without layers that compute with 8-bit integers, there is none to compute.
///
/// # Errors
/// When the data has other classes, or images of another shape, than the model.
pub fn calibrate_int8(mut model: Model, dataset: &Dataset, float: Option<&Predictions>) -> Result<Model, DataMismatch> {
    let all = dataset.indices(Split::Train);
    model.set_int8(None).unwrap_or_else(|_| unreachable!("there are no ranges"));
    check_fit(&model, dataset)?;
    if all.is_empty() {
        return Ok(model);
    }
    let classifier = Classifier::new(model);
    let model = classifier.model();
    let count = IMAGES.min(all.len());
    // Spread over the split.
    let images: Vec<usize> = (0..count).map(|i| all[i * all.len() / count]).collect();
    let batch = |number: usize| {
        let images = images.chunks(BATCH).nth(number)?;
        let mut batch = Tensor::default();
        let normalization = model.normalization();
        inputs(dataset.shape(), images, |index| dataset.image(index), normalization, &mut batch);
        Some(batch)
    };
    let ranges = ranges(model.network(), METHOD, &batch);
    let validation = dataset.indices(Split::Validation);
    let computed = match float {
        Some(_) => None,
        None => Some(predict_split(&classifier, dataset, Split::Validation, Tta::None, &mut |_| {})?),
    };
    let accuracy = |predictions: &Predictions| {
        compute_metrics(&dataset.classes, &predictions.labels, &predictions.probabilities).accuracy
    };
    let exact = float.or(computed.as_ref()).map(accuracy);
    let mut model = classifier.into_model();
    let mut int8 = Int8 { ranges, images: count, accuracy: None };
    // The ranges are those of the network's own layers; where they are not finite, as after a training that diverged,
    // the model has none.
    if model.set_int8(Some(int8.clone())).is_err() || validation.is_empty() {
        return Ok(model);
    }
    let Ok(classifier) = Classifier::with_precision(model, Precision::Int8) else { unreachable!("it has ranges") };
    let rounded = predict_split(&classifier, dataset, Split::Validation, Tta::None, &mut |_| {})?;
    model = classifier.into_model();
    int8.accuracy = exact.map(|exact| Int8Accuracy {
        split: dataset.source_name(Split::Validation).unwrap_or(Split::Validation.name()).to_owned(),
        n: validation.len(),
        f32: exact,
        int8: accuracy(&rounded),
    });
    let _ = model.set_int8(Some(int8));
    Ok(model)
}
