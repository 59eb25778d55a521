//! How good a model is: accuracy with its interval, per-class figures,
//! confusion, calibration; models beside each other, and altered images.

mod calibration;
pub mod corruptions;
mod mcnemar;
mod metrics;

pub use calibration::{CrossFitted, Form, Kept, calibrate, cross_fit, risk_coverage};
pub use mcnemar::{Paired, compare};
pub use metrics::{ClassFigures, Figures, Reliability, figures, reliability, wilson};

use crate::data::{Dataset, Split};
use crate::model::Model;
use crate::train::plain;
use moue_engine::Tensor;
use moue_engine::loss::argmax;

/// Images that go through the network together.
const BATCH: usize = 128;

/// A model's answers for the images of a split.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Indices of the images in the data set.
    pub images: Vec<usize>,
    /// Their labels.
    pub labels: Vec<u32>,
    /// `[N, classes]`.
    pub probabilities: Vec<f32>,
}

/// Why a model cannot be judged on a data set.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// Other classes.
    #[error("the model knows {model}, the data has {data}")]
    Classes {
        /// The model's.
        model: String,
        /// The data's.
        data: String,
    },
    /// Another form of images.
    #[error("the model takes images of {model:?}, the data was opened as {data:?}")]
    Form {
        /// The model's `[height, width, channels]`.
        model: [usize; 3],
        /// The data's.
        data: [usize; 3],
    },
}

/// Runs a model over a split; with `tta` the probabilities of each image and its
/// mirror image are averaged. `progress` hears how many images are done.
///
/// # Errors
/// When the data has other classes, or images of another form, than the model.
pub fn answer(
    model: &mut Model,
    dataset: &Dataset,
    split: Split,
    tta: bool,
    progress: &mut dyn FnMut(usize),
) -> Result<Answers, EvaluateError> {
    answer_images(model, dataset, dataset.indices(split), tta, progress)
}

/// [`answer`] for these images.
pub(crate) fn answer_images(
    model: &mut Model,
    dataset: &Dataset,
    images: Vec<usize>,
    tta: bool,
    progress: &mut dyn FnMut(usize),
) -> Result<Answers, EvaluateError> {
    if model.classes != dataset.classes {
        let list = |classes: &[String]| classes.join(", ");
        return Err(EvaluateError::Classes { model: list(&model.classes), data: list(&dataset.classes) });
    }
    let data = [dataset.height, dataset.width, dataset.channels];
    if model.architecture.input != data {
        return Err(EvaluateError::Form { model: model.architecture.input, data });
    }
    let mut probabilities = Vec::with_capacity(images.len() * model.classes.len());
    let mut batch = Tensor::default();
    for chunk in images.chunks(BATCH) {
        plain(dataset, chunk, &model.normalisation, false, &mut batch);
        let mut rows = model.probabilities(&batch);
        if tta {
            plain(dataset, chunk, &model.normalisation, true, &mut batch);
            let mirrored = model.probabilities(&batch);
            rows.iter_mut().zip(mirrored).for_each(|(p, q)| *p = f32::midpoint(*p, q));
        }
        probabilities.extend(rows);
        progress(probabilities.len() / model.classes.len());
    }
    let labels = images.iter().map(|&index| dataset.labels[index]).collect();
    Ok(Answers { images, labels, probabilities })
}

/// Indices of the rows of `probabilities` with their highest value, highest
/// first; equal ones in order.
pub(crate) fn most_confident_first(probabilities: &[f32], classes: usize) -> Vec<(usize, f32)> {
    let rows = probabilities.chunks_exact(classes).enumerate();
    let mut order: Vec<(usize, f32)> = rows.map(|(index, row)| (index, row[argmax(row)])).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order
}
