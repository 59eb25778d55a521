//! `validation.json` in a run folder: the confusion matrix of the last epoch on the validation split, and predictions
//! for a few of its images. Checkpoints contain the predictions, so that the file of a resumed run is the same.

use crate::data::{Dataset, Split};
use crate::evaluate::Predictions;
use moue::render::image_url;
use moue_engine::loss::argmax;
use serde::{Deserialize, Serialize};

/// Maximum number of images.
const SAMPLES: usize = 16;

/// Maximum side of an image in pixels.
const SIDE: usize = 96;

/// The part of an epoch's predictions for the validation split that a checkpoint contains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    confusion: Vec<Vec<usize>>,
    /// Predicted class and its probability, of each image of [`samples`].
    predicted: Vec<(usize, f32)>,
}

/// The content of `validation.json` in a run folder.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ValidationDocument<'a> {
    /// Number of the epoch, from 1.
    epoch: usize,
    /// The validation split, with its name in the dataset.
    split: String,
    /// The classes, in the order of `confusion`.
    labels: &'a [String],
    /// Counts; the row is the true class, the column the predicted class.
    confusion: &'a [Vec<usize>],
    /// Predictions for up to 16 images, the same ones in every epoch.
    samples: Vec<Sample<'a>>,
}

/// The prediction for an image.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sample<'a> {
    /// Row of a table, or path of an image file.
    id: &'a str,
    /// The true class.
    label: &'a str,
    /// The predicted class.
    predicted: &'a str,
    /// The probability of the predicted class.
    confidence: f32,
    /// The image as a PNG in a data URL, with sides of at most 96 pixels.
    image: String,
}

/// Positions of the images in the validation split: evenly distributed over it.
fn samples(images: usize) -> impl Iterator<Item = usize> {
    let count = images.min(SAMPLES);
    (0..count).map(move |number| number * images / count)
}

impl Validation {
    pub fn new(confusion: Vec<Vec<usize>>, predictions: &Predictions) -> Self {
        let classes = confusion.len().max(1);
        let rows: Vec<&[f32]> = predictions.probabilities.chunks(classes).collect();
        let predicted = samples(rows.len()).map(|at| {
            let class = argmax(rows[at]);
            (class, rows[at][class])
        });
        Self { predicted: predicted.collect(), confusion }
    }

    /// The document of the epoch with this number.
    pub fn document<'a>(&'a self, epoch: usize, dataset: &'a Dataset) -> ValidationDocument<'a> {
        let images = dataset.indices(Split::Validation);
        let class = |class: usize| dataset.classes.get(class).map_or("", String::as_str);
        let sample = |(at, &(predicted, confidence)): (usize, &(usize, f32))| {
            let index = images[at];
            Sample {
                id: &dataset.ids[index],
                label: class(dataset.labels[index] as usize),
                predicted: class(predicted),
                confidence,
                image: thumbnail(dataset.image(index), dataset.shape()),
            }
        };
        ValidationDocument {
            epoch,
            split: dataset.describe(Split::Validation),
            labels: &dataset.classes,
            confusion: &self.confusion,
            samples: samples(images.len()).zip(&self.predicted).map(sample).collect(),
        }
    }
}

/// The image, of which a large one loses rows and columns.
fn thumbnail(image: &[u8], [height, width, channels]: [usize; 3]) -> String {
    let step = height.max(width).div_ceil(SIDE).max(1);
    let rows = image.chunks(width * channels).step_by(step);
    let pixels: Vec<u8> = rows.flat_map(|row| row.chunks(channels).step_by(step)).flatten().copied().collect();
    image_url(&pixels, [height.div_ceil(step), width.div_ceil(step), channels]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, synthetic};

    #[test]
    fn samples_are_distributed_over_the_split() {
        assert_eq!(samples(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(samples(0).count(), 0);
        let many: Vec<usize> = samples(100).collect();
        assert_eq!((many.len(), many[0], many[15]), (16, 0, 93));
    }

    #[test]
    fn the_document_has_the_predictions_and_small_images() {
        let faces = synthetic::dataset(140, ImageSpec { size: Some([200, 100]), channels: 3 }, 1);
        let (classes, images) = (faces.classes.len(), faces.indices(Split::Validation));
        let labels: Vec<u32> = images.iter().map(|&index| faces.labels[index]).collect();
        // Every image is predicted as the class after its own.
        let next = |label: u32| (label as usize + 1) % classes;
        let row = |&label: &u32| (0..classes).map(move |class| if class == next(label) { 0.75 } else { 0.05 });
        let probabilities: Vec<f32> = labels.iter().flat_map(row).collect();
        let confusion = vec![vec![0; classes]; classes];
        let validation = Validation::new(confusion, &Predictions { images, labels, probabilities });
        let kept: Validation = serde_json::from_str(&serde_json::to_string(&validation).unwrap()).unwrap();
        assert_eq!(kept, validation);
        let document = kept.document(3, &faces);
        assert_eq!((document.epoch, document.samples.len()), (3, faces.indices(Split::Validation).len().min(SAMPLES)));
        for sample in &document.samples {
            let label = faces.classes.iter().position(|class| class == sample.label).unwrap();
            assert_eq!((sample.predicted, sample.confidence), (faces.classes[(label + 1) % classes].as_str(), 0.75));
            assert!(sample.image.starts_with("data:image/png;base64,"));
        }
        let small = thumbnail(faces.image(0), faces.shape());
        assert_eq!(small, image_url(&every_third(faces.image(0)), [67, 34, 3]).unwrap());
    }

    fn every_third(image: &[u8]) -> Vec<u8> {
        let pixel = |row: usize, column: usize| image[(row * 100 + column) * 3..][..3].to_vec();
        (0..200).step_by(3).flat_map(|row| (0..100).step_by(3).flat_map(move |column| pixel(row, column))).collect()
    }
}
