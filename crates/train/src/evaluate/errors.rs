//! Error analysis: the images that a model predicts incorrectly, with what may explain it.
//!
//! It selects images (of each cell of the confusion matrix, with the highest loss, where models disagree), computes a
//! saliency map for each of them, and maps a sample of the split and of the training images by their features.

use super::embedding::{Embedding, embed};
use super::evaluation::{EvaluateEvent, Evaluation};
use super::features::features;
use super::predictions::{Predictions, predict_images};
use crate::data::Split;
use moue::explain::{Explainer, Explanation, Method};
use moue_engine::loss::argmax;
use moue_engine::random::{Stream, key};
use std::collections::HashMap;
use std::sync::Arc;

/// Images of a cell of the confusion matrix.
pub const OF_CELL: usize = 24;

/// Images with the highest loss, and images of a disagreement.
pub const OF_LIST: usize = 48;

/// Images of the split, and of the training split, on the map. All pairs of them are compared.
pub const MAPPED: usize = 2000;
pub const MAPPED_TRAINING: usize = 1000;

/// An image of the page.
#[derive(Clone, Debug)]
pub struct ShownImage {
    /// Its index in the data set.
    pub image: usize,
    /// A probability for each class.
    pub probabilities: Vec<f32>,
    /// The predicted class.
    pub predicted: usize,
    /// −log of the probability of its label.
    pub loss: f64,
    /// The saliency map of the predicted class, for the images that are listed.
    pub saliency: Option<Explanation>,
}

/// A list of images: the first of all that belong to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageList {
    /// Indices of [`Errors::images`].
    pub images: Vec<usize>,
    /// Number of images that belong to the list.
    pub of: usize,
}

/// Images on which two models disagree.
#[derive(Clone, Debug)]
pub struct Disagreement {
    /// The other model, as given.
    pub model: String,
    /// Images that only the evaluated model predicts correctly, by the loss of the other.
    pub only_this: ImageList,
    /// Images that only the other model predicts correctly, by the loss of the evaluated one.
    pub only_other: ImageList,
    /// For each image of both lists, in their order, the class that the other model predicts, and its probability.
    pub predicted: Vec<(usize, f32)>,
}

/// A map of images.
#[derive(Clone, Debug)]
pub struct ImageMap {
    /// For each point, the index in [`Errors::images`].
    pub images: Vec<usize>,
    /// The points.
    pub embedding: Embedding,
    /// Number of images of the split on the map.
    pub of_split: usize,
    /// Number of values of a feature vector.
    pub features: usize,
}

/// The error analysis of an evaluation.
#[derive(Clone, Debug)]
pub struct Errors {
    /// The images that are shown, each once.
    pub images: Vec<ShownImage>,
    /// For each label and predicted class, the images with the highest loss.
    pub cells: Vec<Vec<ImageList>>,
    /// Misclassified images with the highest loss.
    pub highest_loss: ImageList,
    /// One for each compared model.
    pub disagreements: Vec<Disagreement>,
    /// `None` for a network without features, or fewer than four images.
    pub map: Option<ImageMap>,
}

/// The images that are shown, as they are selected.
struct Selection<'a> {
    predictions: &'a Predictions,
    classes: usize,
    losses: Vec<f64>,
    predicted: Vec<usize>,
    /// For each row of the predictions, its place among the shown images.
    places: HashMap<usize, usize>,
    images: Vec<ShownImage>,
}

impl<'a> Selection<'a> {
    fn new(predictions: &'a Predictions, classes: usize) -> Self {
        Self {
            predictions,
            classes,
            losses: predictions.rows().map(|(row, label)| loss(row, label)).collect(),
            predicted: predictions.rows().map(|(row, _)| argmax(row)).collect(),
            places: HashMap::new(),
            images: Vec::new(),
        }
    }

    fn is_correct(&self, row: usize) -> bool {
        self.predicted[row] == self.predictions.labels[row] as usize
    }

    /// The place of a row of the predictions.
    fn place(&mut self, row: usize) -> usize {
        let next = self.images.len();
        let place = *self.places.entry(row).or_insert(next);
        if place == next {
            self.images.push(ShownImage {
                image: self.predictions.images[row],
                probabilities: self.predictions.probabilities[row * self.classes..][..self.classes].to_vec(),
                predicted: self.predicted[row],
                loss: self.losses[row],
                saliency: None,
            });
        }
        place
    }

    /// The first of these rows.
    fn list(&mut self, rows: &[usize], most: usize) -> ImageList {
        ImageList { images: rows.iter().take(most).map(|&row| self.place(row)).collect(), of: rows.len() }
    }

    fn cells(&mut self) -> Vec<Vec<ImageList>> {
        let mut rows = vec![vec![Vec::new(); self.classes]; self.classes];
        for row in by_loss(0..self.losses.len(), &self.losses) {
            rows[self.predictions.labels[row] as usize][self.predicted[row]].push(row);
        }
        rows.iter().map(|line| line.iter().map(|rows| self.list(rows, OF_CELL)).collect()).collect()
    }

    fn highest_loss(&mut self) -> ImageList {
        let wrong = (0..self.losses.len()).filter(|&row| !self.is_correct(row));
        let wrong = by_loss(wrong, &self.losses);
        self.list(&wrong, OF_LIST)
    }

    fn disagreement(&mut self, model: &str, other: &Predictions) -> Disagreement {
        let there = Selection::new(other, self.classes);
        let only = |here: bool, losses: &[f64]| {
            let rows = 0..losses.len();
            by_loss(rows.filter(|&row| self.is_correct(row) == here && there.is_correct(row) != here), losses)
        };
        let rows = [only(true, &there.losses), only(false, &self.losses)];
        let predicted = rows.iter().flat_map(|rows| rows.iter().take(OF_LIST)).map(|&row| {
            let class = there.predicted[row];
            (class, other.probabilities[row * self.classes + class])
        });
        let predicted = predicted.collect();
        let [only_this, only_other] = rows.map(|rows| self.list(&rows, OF_LIST));
        Disagreement { model: model.to_owned(), only_this, only_other, predicted }
    }
}

fn loss(row: &[f32], label: usize) -> f64 {
    -libm::log(f64::from(row[label].max(f32::MIN_POSITIVE)))
}

/// The rows, those with the highest loss first.
fn by_loss(rows: impl Iterator<Item = usize>, losses: &[f64]) -> Vec<usize> {
    let mut rows: Vec<usize> = rows.collect();
    rows.sort_by(|&one, &other| losses[other].total_cmp(&losses[one]).then(one.cmp(&other)));
    rows
}

impl Errors {
    /// Analyzes an evaluation.
    #[must_use]
    pub fn new(evaluation: &Evaluation, observe: &mut dyn FnMut(EvaluateEvent<'_>)) -> Self {
        let predictions = &evaluation.result.predictions;
        let mut selection = Selection::new(predictions, evaluation.dataset.classes().len());
        let highest_loss = selection.highest_loss();
        let cells = selection.cells();
        let others = evaluation.others.iter().zip(&evaluation.other_predictions);
        let disagreements = others.map(|(other, own)| selection.disagreement(&other.model, own)).collect();
        explain(evaluation, &mut selection.images, observe);
        let map = map(evaluation, &mut selection, observe);
        Self { images: selection.images, cells, highest_loss, disagreements, map }
    }
}

/// Computes the saliency maps of the predicted classes.
fn explain(evaluation: &Evaluation, images: &mut [ShownImage], observe: &mut dyn FnMut(EvaluateEvent<'_>)) {
    observe(EvaluateEvent::BeginSaliency(images.len()));
    let explainer = Explainer::new(Arc::clone(&evaluation.classifier));
    for (done, shown) in images.iter_mut().enumerate() {
        let label = &evaluation.dataset.classes()[shown.predicted];
        shown.saliency = Some(explainer.explain(evaluation.dataset.image(shown.image), label, Method::GradCam));
        observe(EvaluateEvent::Predicted(done + 1));
    }
    observe(EvaluateEvent::End);
}

/// Maps a sample of the split, and of the training images where they are another split.
fn map(
    evaluation: &Evaluation,
    selection: &mut Selection<'_>,
    observe: &mut dyn FnMut(EvaluateEvent<'_>),
) -> Option<ImageMap> {
    let (classifier, dataset) = (&evaluation.classifier, &evaluation.dataset);
    let rows = sample((0..selection.losses.len()).collect(), MAPPED);
    let mut places: Vec<usize> = rows.into_iter().map(|row| selection.place(row)).collect();
    let of_split = places.len();
    if evaluation.split != Split::Train {
        let training = sample(dataset.indices(Split::Train), MAPPED_TRAINING);
        let found =
            predict_images(classifier, dataset, training, |image| dataset.image(image), evaluation.tta, &mut |_| {});
        for ((row, label), &image) in found.rows().zip(&found.images) {
            places.push(selection.images.len());
            selection.images.push(ShownImage {
                image,
                probabilities: row.to_vec(),
                predicted: argmax(row),
                loss: loss(row, label),
                saliency: None,
            });
        }
    }
    let images: Vec<usize> = places.iter().map(|&place| selection.images[place].image).collect();
    let (mut vectors, mut len) = (Vec::new(), 0);
    features(classifier.model(), dataset, &images, &mut |_, row| {
        len = row.len();
        vectors.extend_from_slice(row);
    });
    let embedding = embed(&vectors, len, &mut |done, of| {
        if done == 1 {
            observe(EvaluateEvent::BeginMap(of));
        }
        observe(EvaluateEvent::Predicted(done));
    });
    observe(EvaluateEvent::End);
    Some(ImageMap { images: places, embedding: embedding?, of_split, features: len })
}

/// A fixed random sample, in increasing order.
fn sample(mut images: Vec<usize>, most: usize) -> Vec<usize> {
    if images.len() > most {
        Stream::new(key(&[u64::from_le_bytes(*b"mapped\0\0")])).shuffle(&mut images);
        images.truncate(most);
        images.sort_unstable();
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(rows: &[[f32; 2]], labels: &[u32]) -> Predictions {
        Predictions { images: (10..10 + rows.len()).collect(), labels: labels.to_vec(), probabilities: rows.concat() }
    }

    #[test]
    fn images_with_the_highest_loss_come_first_and_are_stored_once() {
        let own = predictions(&[[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]], &[0, 0, 0, 1]);
        let mut selection = Selection::new(&own, 2);
        let list = selection.highest_loss();
        let image = |selection: &Selection<'_>, place: usize| selection.images[place].image;
        assert_eq!(
            (list.of, list.images.iter().map(|&place| image(&selection, place)).collect::<Vec<_>>()),
            (2, vec![12, 11])
        );
        let cells = selection.cells();
        assert_eq!(cells[0][1], list);
        assert_eq!([&cells[0][0], &cells[1][0], &cells[1][1]].map(|list| list.of), [1, 0, 1]);
        assert_eq!(selection.images.len(), 4);
        assert!((selection.images[list.images[0]].loss - 5.0f64.ln()).abs() < 1e-6);
        let other = predictions(&[[0.1, 0.9], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]], &[0, 0, 0, 1]);
        let found = selection.disagreement("other", &other);
        let images = |list: &ImageList| list.images.iter().map(|&place| image(&selection, place)).collect::<Vec<_>>();
        assert_eq!((images(&found.only_this), images(&found.only_other)), (vec![10], vec![11]));
        assert_eq!(found.predicted, [(1, 0.9), (0, 0.6)]);
    }

    #[test]
    fn samples_are_fixed_and_not_only_the_first_images() {
        let all: Vec<usize> = (0..500).collect();
        let found = sample(all.clone(), 100);
        assert_eq!(found, sample(all.clone(), 100));
        assert!(found.len() == 100 && found.is_sorted() && found[50] > 120 && found[50] < 380, "{found:?}");
        assert_eq!(sample(all.clone(), 500), all);
    }
}
