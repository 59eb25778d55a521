//! Robustness against corrupted images: blur, noise, JPEG, low light, low contrast, rotation and low
//! resolution, seeded by the image's index.

use super::metrics::compute_metrics;
use super::predictions::{DataMismatch, Predictions, check_fit, predict_images};
use super::votes::vote_accuracy;
use crate::augment::{recoded, turned};
use crate::data::{Dataset, ImageVotes};
use image::{DynamicImage, GrayImage, RgbImage, imageops};
use moue::{Classifier, Tta};
use moue_engine::Shape;
use moue_engine::random::{Stream, key};
use serde::Serialize;

/// A corruption of an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Corruption {
    /// Gaussian blur with this standard deviation, in pixels.
    Blur(f32),
    /// Gaussian noise with this standard deviation, of 255.
    Noise(f32),
    /// JPEG compression with this quality, of 100.
    Jpeg(u8),
    /// Multiplies all pixels by this factor.
    LowLight(f32),
    /// Multiplies the distance of all pixels from middle gray by this factor.
    Contrast(f32),
    /// Rotation by up to this number of degrees, in both directions.
    Rotation(f32),
    /// Downscaled to this number of rows and enlarged again.
    LowResolution(u32),
}

use Corruption::{Blur, Contrast, Jpeg, LowLight, LowResolution, Noise, Rotation};

/// All corruptions, each with three severities.
pub const ALL: [[Corruption; 3]; 6] = [
    [Blur(0.5), Blur(1.0), Blur(2.0)],
    [Noise(8.0), Noise(16.0), Noise(32.0)],
    [Jpeg(50), Jpeg(25), Jpeg(10)],
    [LowLight(0.5), LowLight(0.25), LowLight(0.125)],
    [Rotation(5.0), Rotation(10.0), Rotation(20.0)],
    [LowResolution(32), LowResolution(24), LowResolution(16)],
];

/// The ten corruptions of `robust10`.
pub const ROBUST10: [Corruption; 10] = [
    Blur(1.0),
    Blur(2.0),
    Noise(16.0),
    Noise(32.0),
    LowResolution(24),
    LowResolution(16),
    LowLight(0.125),
    Contrast(0.3),
    Rotation(15.0),
    Rotation(30.0),
];

/// A set of corruptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorruptionSet {
    /// Six kinds with three severities each.
    All,
    /// Ten corruptions of pictures from cameras, whose mean accuracy is one number for robustness.
    Robust10,
}

impl CorruptionSet {
    /// The corruptions.
    #[must_use]
    pub fn corruptions(self) -> &'static [Corruption] {
        match self {
            Self::All => ALL.as_flattened(),
            Self::Robust10 => &ROBUST10,
        }
    }
}

impl Corruption {
    /// The name of the corruption.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Blur(_) => "blur",
            Noise(_) => "noise",
            Jpeg(_) => "JPEG",
            LowLight(_) => "low light",
            Contrast(_) => "low contrast",
            Rotation(_) => "rotation",
            LowResolution(_) => "low resolution",
        }
    }

    /// The severity as text.
    #[must_use]
    pub fn strength(self) -> String {
        match self {
            Blur(deviation) => format!("σ = {deviation} px"),
            Noise(deviation) => format!("σ = {deviation}"),
            Jpeg(quality) => format!("quality {quality}"),
            LowLight(factor) | Contrast(factor) => format!("× {factor}"),
            Rotation(degrees) => format!("± {degrees}°"),
            LowResolution(rows) => format!("{rows} px"),
        }
    }

    /// The corrupted image, `[H, W, C]` with the same shape.
    #[must_use]
    pub fn apply(self, pixels: &[u8], [height, width, channels]: [usize; 3], stream: &mut Stream) -> Vec<u8> {
        match self {
            Noise(deviation) => pixels.iter().map(|&value| shifted(value, deviation * stream.normal())).collect(),
            LowLight(factor) => pixels.iter().map(|&value| (f32::from(value) * factor).round() as u8).collect(),
            Contrast(factor) => {
                pixels.iter().map(|&value| shifted(value, (factor - 1.0) * (f32::from(value) - 127.5))).collect()
            }
            Rotation(degrees) => {
                let turn = if stream.chance(0.5) { degrees } else { -degrees };
                turned(pixels, [height, width, channels], turn)
            }
            Jpeg(quality) => {
                recoded(pixels, Shape::new(height, width, channels), quality).unwrap_or_else(|| pixels.to_vec())
            }
            Blur(_) | LowResolution(_) => {
                let Some(picture) = picture(pixels, [height, width, channels]) else { return pixels.to_vec() };
                let changed = match self {
                    Blur(deviation) => picture.blur(deviation),
                    _ => self.coarse(&picture),
                };
                if channels == 1 { changed.into_luma8().into_raw() } else { changed.into_rgb8().into_raw() }
            }
        }
    }

    fn coarse(self, picture: &DynamicImage) -> DynamicImage {
        let LowResolution(rows) = self else { return picture.clone() };
        let (width, height) = (picture.width(), picture.height());
        let columns = (width * rows / height.max(1)).max(1);
        let small = picture.resize_exact(columns, rows, imageops::FilterType::Triangle);
        small.resize_exact(width, height, imageops::FilterType::Triangle)
    }
}

fn shifted(value: u8, by: f32) -> u8 {
    (f32::from(value) + by).round().clamp(0.0, 255.0) as u8
}

fn picture(pixels: &[u8], [height, width, channels]: [usize; 3]) -> Option<DynamicImage> {
    let (width, height) = (width as u32, height as u32);
    if channels == 1 {
        GrayImage::from_raw(width, height, pixels.to_vec()).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, pixels.to_vec()).map(DynamicImage::ImageRgb8)
    }
}

/// A model's accuracy on corrupted images.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Row {
    /// Name of the corruption: `blur`, `noise`, `JPEG`, `low light`, `low contrast`, `rotation` or `low resolution`.
    pub corruption: &'static str,
    /// Severity as text, for example `σ = 8` or `quality 25`.
    pub strength: String,
    /// Share of correct predictions.
    pub accuracy: f64,
    /// Decrease in accuracy compared with the clean images.
    pub loss: f64,
    /// Mean recall of the classes.
    pub macro_recall: f64,
    /// Decrease in macro recall.
    pub macro_recall_loss: f64,
    /// Accuracy by FER+'s protocol; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_accuracy: Option<f64>,
    /// Decrease of that accuracy; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_loss: Option<f64>,
    /// Macro recall with the majority as the label; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_macro_recall: Option<f64>,
    /// Decrease of that macro recall; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_macro_recall_loss: Option<f64>,
}

/// The mean over several corruptions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Summary {
    /// Mean accuracy on corrupted images.
    pub accuracy: f64,
    /// This accuracy as a share of that on the clean images.
    pub ratio: f64,
    /// Mean macro recall on corrupted images.
    pub macro_recall: f64,
    /// This macro recall as a share of that on the clean images.
    pub macro_recall_ratio: f64,
    /// Mean accuracy by FER+'s protocol; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_accuracy: Option<f64>,
    /// This accuracy as a share of that on the clean images; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_ratio: Option<f64>,
    /// Mean macro recall with the majority as the label; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_macro_recall: Option<f64>,
    /// This macro recall as a share of that on the clean images; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_macro_recall_ratio: Option<f64>,
}

/// The mean over corruptions; `None` without any.
#[must_use]
pub fn summary(rows: &[Row]) -> Option<Summary> {
    // Mean of a metric, and its ratio to the metric on clean images.
    let mean = |metric: &dyn Fn(&Row) -> Option<(f64, f64)>| {
        let pairs: Vec<(f64, f64)> = rows.iter().map(metric).collect::<Option<_>>()?;
        let count = pairs.len() as f64;
        let [value, loss] = pairs.iter().fold([0.0; 2], |[a, b], (c, d)| [a + c / count, b + d / count]);
        (count > 0.0).then(|| (value, value / (value + loss).max(f64::MIN_POSITIVE)))
    };
    let (accuracy, ratio) = mean(&|row| Some((row.accuracy, row.loss)))?;
    let (macro_recall, macro_recall_ratio) = mean(&|row| Some((row.macro_recall, row.macro_recall_loss)))?;
    let votes = mean(&|row| row.votes_accuracy.zip(row.votes_loss));
    let votes_recall = mean(&|row| row.votes_macro_recall.zip(row.votes_macro_recall_loss));
    Some(Summary {
        accuracy,
        ratio,
        macro_recall,
        macro_recall_ratio,
        votes_accuracy: votes.map(|(accuracy, _)| accuracy),
        votes_ratio: votes.map(|(_, ratio)| ratio),
        votes_macro_recall: votes_recall.map(|(recall, _)| recall),
        votes_macro_recall_ratio: votes_recall.map(|(_, ratio)| ratio),
    })
}

/// What a classifier is evaluated on.
pub struct Inputs<'a> {
    /// The data set.
    pub dataset: &'a Dataset,
    /// The predictions for the clean images.
    pub clean: &'a Predictions,
    /// The votes on the images, if any.
    pub votes: Option<&'a ImageVotes>,
}

/// Evaluates a classifier on images with each corruption. `progress` is called with the number of finished images.
///
/// # Errors
/// When the data has other classes, or images of another shape, than the model.
pub fn table(
    classifier: &Classifier,
    inputs: &Inputs<'_>,
    set: CorruptionSet,
    tta: Tta,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Row>, DataMismatch> {
    let Inputs { dataset, clean, votes } = *inputs;
    check_fit(classifier.model(), dataset)?;
    // Accuracy and macro recall.
    let scores = |predictions: &Predictions| {
        let metrics = compute_metrics(&dataset.classes, &predictions.labels, &predictions.probabilities);
        (metrics.accuracy, metrics.macro_recall)
    };
    let voted = |predictions: &Predictions| votes.map(|votes| vote_accuracy(predictions, dataset, votes));
    let (before, voted_before) = (scores(clean), voted(clean));
    let mut rows = Vec::new();
    for corruption in set.corruptions() {
        let done = rows.len() * clean.images.len();
        let altered = |index: usize| {
            let mut stream = Stream::new(key(&[u64::from_le_bytes(*b"corrupt\0"), index as u64]));
            corruption.apply(dataset.image(index), dataset.shape(), &mut stream)
        };
        let images = clean.images.clone();
        let predictions =
            predict_images(classifier, dataset, images, altered, tta, &mut |images| progress(done + images));
        let ((accuracy, macro_recall), voted) = (scores(&predictions), voted(&predictions));
        let voted_loss = voted_before.zip(voted).map(|(before, after)| (before.0 - after.0, before.1 - after.1));
        rows.push(Row {
            corruption: corruption.name(),
            strength: corruption.strength(),
            accuracy,
            loss: before.0 - accuracy,
            macro_recall,
            macro_recall_loss: before.1 - macro_recall,
            votes_accuracy: voted.map(|scores| scores.0),
            votes_loss: voted_loss.map(|loss| loss.0),
            votes_macro_recall: voted.map(|scores| scores.1),
            votes_macro_recall_loss: voted_loss.map(|loss| loss.1),
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, synthetic};

    fn distance(a: &[u8], b: &[u8]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn higher_severity_changes_an_image_more() {
        for channels in [1, 3] {
            let faces = synthetic::dataset(21, ImageSpec { size: None, channels }, 3);
            let shape = [faces.height, faces.width, faces.channels];
            for strengths in ALL {
                let distances = strengths.map(|corruption| {
                    let changed = corruption.apply(faces.image(4), shape, &mut Stream::new(1));
                    assert_eq!(changed, corruption.apply(faces.image(4), shape, &mut Stream::new(1)));
                    distance(faces.image(4), &changed)
                });
                assert!(distances[0] > 0.0 && distances.is_sorted(), "{strengths:?} {distances:?}");
            }
        }
    }

    #[test]
    fn robust10_has_the_strengths_of_its_definition() {
        let names: Vec<String> = ROBUST10.iter().map(|c| format!("{} {}", c.name(), c.strength())).collect();
        insta::assert_snapshot!(names.join(", "), @"blur σ = 1 px, blur σ = 2 px, noise σ = 16, noise σ = 32, low resolution 24 px, low resolution 16 px, low light × 0.125, low contrast × 0.3, rotation ± 15°, rotation ± 30°");
        let lower = Contrast(0.3).apply(&[0, 127, 128, 255], [2, 2, 1], &mut Stream::new(1));
        assert_eq!(lower, [89, 127, 128, 166]);
    }

    #[test]
    fn the_summary_is_the_mean_and_its_ratio_to_the_clean_accuracy() {
        let row = |accuracy, votes: Option<f64>| Row {
            corruption: "blur",
            strength: String::new(),
            accuracy,
            loss: 0.8 - accuracy,
            macro_recall: accuracy / 2.0,
            macro_recall_loss: 0.4 - accuracy / 2.0,
            votes_accuracy: votes,
            votes_loss: votes.map(|accuracy| 0.5 - accuracy),
            votes_macro_recall: votes.map(|accuracy| accuracy + 0.1),
            votes_macro_recall_loss: votes.map(|accuracy| 0.7 - accuracy),
        };
        let found = summary(&[row(0.6, Some(0.5)), row(0.2, Some(0.25))]).unwrap();
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        near(found.accuracy, 0.4);
        near(found.ratio, 0.5);
        near(found.macro_recall, 0.2);
        near(found.macro_recall_ratio, 0.5);
        near(found.votes_accuracy.unwrap(), 0.375);
        near(found.votes_ratio.unwrap(), 0.75);
        near(found.votes_macro_recall.unwrap(), 0.475);
        near(found.votes_macro_recall_ratio.unwrap(), 0.475 / 0.8);
        assert_eq!(summary(&[row(0.6, None)]).unwrap().votes_ratio, None);
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn noise_has_the_configured_standard_deviation() {
        let gray = vec![128u8; 40_000];
        let noisy = Noise(16.0).apply(&gray, [200, 200, 1], &mut Stream::new(2));
        let variance = noisy.iter().map(|&v| (f64::from(v) - 128.0) * (f64::from(v) - 128.0)).sum::<f64>() / 40_000.0;
        assert!((variance.sqrt() - 16.0).abs() < 0.3, "{}", variance.sqrt());
    }
}
