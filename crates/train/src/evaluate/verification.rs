//! Comparison of an exported model with the model that it was exported from.

use super::evaluation::{EvaluateOptions, EvaluationError, opened};
use super::predictions::predict_images;
use crate::data::{DataSource, Dataset, ImageSpec, Split, synthetic};
use moue::model::Model;
use moue::{Classifier, Tta};
use moue_engine::loss::argmax;
use serde::Serialize;
use std::path::PathBuf;

/// The predictions of two models for the same images.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verification {
    /// Number of images.
    pub images: usize,
    /// Name of the split; null for synthetic faces.
    pub split: Option<String>,
    /// Largest difference of a probability.
    pub largest_difference: f32,
    /// Share of images for which both predict the same class.
    pub equal_classes: f64,
    /// Accuracies of the model and of the exported one; null for synthetic faces.
    pub accuracies: Option<[f64; 2]>,
}

/// Opens data for an export, with the image size of a model and split as for its training.
///
/// # Errors
/// When the data cannot be read.
pub fn export_data(model: &Model, data: PathBuf) -> Result<Dataset, EvaluationError> {
    let source = DataSource::Given(data.clone());
    let options = EvaluateOptions { data: Some(data), ..EvaluateOptions::default() };
    Ok(opened(&options, &source, model, model, &mut |_| {})?)
}

/// Compares predictions for at most `count` images, spread over the validation split of the data, or for as many
/// synthetic faces without data. `None` without images.
#[must_use]
pub fn verify(model: &Classifier, exported: &Classifier, data: Option<&Dataset>, count: usize) -> Option<Verification> {
    let drawn;
    let (dataset, images) = match data {
        Some(dataset) => {
            let all = dataset.indices(Split::Validation);
            let count = count.min(all.len());
            (dataset, (0..count).map(|i| all[i * all.len() / count]).collect())
        }
        None => {
            drawn = synthetic::dataset(count, ImageSpec::of_input(model.input()), 0);
            (&drawn, (0..drawn.len()).collect::<Vec<usize>>())
        }
    };
    if images.is_empty() {
        return None;
    }
    let classes = model.classes().len();
    let [ours, theirs] = [model, exported].map(|classifier| {
        let pixels = |index| dataset.image(index);
        predict_images(classifier, dataset, images.clone(), pixels, Tta::None, &mut |_| {}).probabilities
    });
    let pairs = ours.iter().zip(&theirs);
    let predicted = |probabilities: &[f32]| -> Vec<usize> { probabilities.chunks_exact(classes).map(argmax).collect() };
    let [a, b] = [predicted(&ours), predicted(&theirs)];
    let share = |hits: usize| hits as f64 / images.len() as f64;
    let accuracy = |predicted: &[usize]| {
        share(
            predicted.iter().zip(&images).filter(|&(&class, &image)| class == dataset.labels()[image] as usize).count(),
        )
    };
    // A NaN is not hidden.
    let larger = |most: f32, difference: f32| if difference > most || difference.is_nan() { difference } else { most };
    Some(Verification {
        images: images.len(),
        split: data.map(|data| data.source_name(Split::Validation).unwrap_or(Split::Validation.name()).to_owned()),
        largest_difference: pairs.map(|(a, b)| (a - b).abs()).fold(0.0, larger),
        equal_classes: share(a.iter().zip(&b).filter(|(a, b)| a == b).count()),
        accuracies: data.map(|_| [accuracy(&a), accuracy(&b)]),
    })
}
