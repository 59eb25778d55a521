//! Robustness against corrupted images: blur, noise, JPEG, low light, rotation and low resolution,
//! each with three severities, seeded by the image's index.

use super::metrics::compute_metrics;
use super::predictions::{DataMismatch, Predictions, check_fit, predict_images};
use crate::augment::{recoded, turned};
use crate::data::Dataset;
use image::{DynamicImage, GrayImage, RgbImage, imageops};
use moue::Classifier;
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
    /// Rotation by up to this number of degrees, in both directions.
    Rotation(f32),
    /// Downscaled to this number of rows and enlarged again.
    LowResolution(u32),
}

use Corruption::{Blur, Jpeg, LowLight, LowResolution, Noise, Rotation};

/// All corruptions, each with three severities.
pub const ALL: [[Corruption; 3]; 6] = [
    [Blur(0.5), Blur(1.0), Blur(2.0)],
    [Noise(8.0), Noise(16.0), Noise(32.0)],
    [Jpeg(50), Jpeg(25), Jpeg(10)],
    [LowLight(0.5), LowLight(0.25), LowLight(0.125)],
    [Rotation(5.0), Rotation(10.0), Rotation(20.0)],
    [LowResolution(32), LowResolution(24), LowResolution(16)],
];

impl Corruption {
    /// The name of the corruption.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Blur(_) => "blur",
            Noise(_) => "noise",
            Jpeg(_) => "JPEG",
            LowLight(_) => "low light",
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
            LowLight(factor) => format!("× {factor}"),
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
    /// Name of the corruption: `blur`, `noise`, `JPEG`, `low light`, `rotation` or `low resolution`.
    pub corruption: &'static str,
    /// Severity as text, for example `σ = 8` or `quality 25`.
    pub strength: String,
    /// Share of correct predictions.
    pub accuracy: f64,
    /// Decrease in accuracy compared with the clean images.
    pub loss: f64,
}

/// Evaluates a classifier on images with each corruption; `clean` are its predictions for the clean
/// images. `progress` is called with the number of finished images.
///
/// # Errors
/// When the data has other classes, or images of another shape, than the model.
pub fn table(
    classifier: &Classifier,
    dataset: &Dataset,
    tta: bool,
    clean: &Predictions,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Row>, DataMismatch> {
    check_fit(classifier, dataset)?;
    let accuracy = |predictions: &Predictions| {
        compute_metrics(&dataset.classes, &predictions.labels, &predictions.probabilities).accuracy
    };
    let before = accuracy(clean);
    let mut rows = Vec::new();
    for corruption in ALL.into_iter().flatten() {
        let done = rows.len() * clean.images.len();
        let altered = |index: usize| {
            let mut stream = Stream::new(key(&[u64::from_le_bytes(*b"corrupt\0"), index as u64]));
            corruption.apply(dataset.image(index), dataset.shape(), &mut stream)
        };
        let images = clean.images.clone();
        let predictions =
            predict_images(classifier, dataset, images, altered, tta, &mut |images| progress(done + images));
        let accuracy = accuracy(&predictions);
        rows.push(Row {
            corruption: corruption.name(),
            strength: corruption.strength(),
            accuracy,
            loss: before - accuracy,
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
    fn noise_has_the_configured_standard_deviation() {
        let gray = vec![128u8; 40_000];
        let noisy = Noise(16.0).apply(&gray, [200, 200, 1], &mut Stream::new(2));
        let variance = noisy.iter().map(|&v| (f64::from(v) - 128.0) * (f64::from(v) - 128.0)).sum::<f64>() / 40_000.0;
        assert!((variance.sqrt() - 16.0).abs() < 0.3, "{}", variance.sqrt());
    }
}
