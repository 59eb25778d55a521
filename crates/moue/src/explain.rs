//! Saliency maps: which parts of a face a prediction depends on.
//!
//! Grad-CAM (Selvaraju et al. 2017) weighs the channels of a deep feature map by the mean gradient
//! of the class's logit; occlusion (Zeiler, Fergus 2014) covers the face piece by piece and
//! measures the decrease in probability.

use crate::classifier::Classifier;
use crate::image::Bilinear;
use crate::model::{build_blank, weights};
use moue_engine::{Layer, Mode, Network, Shape, Tensor};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Minimum rows and columns of the feature map that Grad-CAM uses.
const LEAST_EXTENT: usize = 6;

/// Share of the face's side that the occluding square covers, and its stride.
const COVER: usize = 6;
const STRIDE: usize = 12;

/// A method that computes saliency maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Grad-CAM on the deepest feature map of at least 6 × 6.
    #[default]
    GradCam,
    /// The decrease in probability where a gray square covers the face.
    Occlusion,
}

impl fmt::Display for Method {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str(match self {
            Self::GradCam => "Grad-CAM",
            Self::Occlusion => "occlusion",
        })
    }
}

/// A saliency map: the importance of each pixel, 0–1, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The class that it explains.
    pub label: String,
    /// The method that computed it.
    pub method: Method,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`; the largest is 1, unless all are 0.
    pub values: Vec<f32>,
}

/// Computes saliency maps for a classifier. It shares the classifier's weights until gradients are
/// first needed.
pub struct Explainer {
    classifier: Arc<Classifier>,
    /// Index of the layer in the outermost sequence whose output Grad-CAM uses.
    layer: Option<usize>,
    /// A copy of the network for gradients in f32, made for the first Grad-CAM map.
    network: Mutex<Option<Network>>,
}

impl Explainer {
    /// An explainer of this classifier.
    #[must_use]
    pub fn new(classifier: Arc<Classifier>) -> Self {
        let layers = classifier.model().network.layers().children();
        let large = |layer: &&dyn Layer| {
            let Shape { height, width, .. } = layer.output_shape();
            height.min(width) >= LEAST_EXTENT
        };
        // The last layer is excluded: no layer follows whose gradient could be taken.
        let layer = layers.iter().rposition(large).filter(|&index| index + 1 < layers.len());
        Self { classifier, layer, network: Mutex::new(None) }
    }

    /// `[height, width, channels]` of the face images.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        self.classifier.input()
    }

    /// The saliency map of a face `pixels` (`[H, W, C]` of the network's input, 0–255) for the
    /// class `label`; an unknown label stands for the first class. A network without a feature map
    /// of 6 × 6 is explained by occlusion.
    #[must_use]
    pub fn explain(&self, pixels: &[u8], label: &str, method: Method) -> Explanation {
        let class = self.classifier.classes().iter().position(|class| class == label).unwrap_or(0);
        let found = match (method, self.layer) {
            (Method::GradCam, Some(layer)) => self.grad_cam(pixels, class, layer),
            _ => None,
        };
        let (method, [height, width], mut values) = match found {
            Some((extent, values)) => (Method::GradCam, extent, values),
            None => {
                let (extent, values) = self.occlusion(pixels, class);
                (Method::Occlusion, extent, values)
            }
        };
        let largest = values.iter().copied().fold(0.0, f32::max);
        if largest > 0.0 {
            values.iter_mut().for_each(|value| *value /= largest);
        }
        let label = self.classifier.classes().get(class).cloned().unwrap_or_default();
        Explanation { label, method, height, width, values }
    }

    fn images(&self, count: usize) -> Tensor {
        Tensor::zeros(count, self.classifier.input_shape())
    }

    /// Rows and columns of the map, and its values.
    fn grad_cam(&self, pixels: &[u8], class: usize, layer: usize) -> Option<([usize; 2], Vec<f32>)> {
        let mut image = self.images(1);
        image.data_mut().iter_mut().zip(pixels).for_each(|(out, &pixel)| *out = f32::from(pixel));
        let channels = image.shape().channels;
        let model = self.classifier.model();
        model.normalization.apply(image.data_mut(), channels);
        // A poisoned lock is harmless: each pass overwrites the previous one.
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        if network.is_none() {
            let mut copy = build_blank(&model.architecture, model.classes.len()).ok()?;
            weights::set_weights(&mut copy, &weights::snapshot(&model.network));
            *network = Some(copy);
        }
        let network = network.as_mut()?;
        let logits = network.forward(&image, Mode::Inference).shape();
        let mut wanted = Tensor::zeros(1, logits);
        wanted.data_mut()[class] = 1.0;
        let (map, gradient) = network.gradient_at(layer, &image, &wanted)?;
        let Shape { height, width, channels } = map.shape();
        let mut weights = vec![0.0; channels];
        for row in gradient.data().chunks_exact(channels) {
            weights.iter_mut().zip(row).for_each(|(weight, g)| *weight += g / (height * width) as f32);
        }
        let values = map.data().chunks_exact(channels);
        let values = values.map(|row| row.iter().zip(&weights).map(|(a, w)| a * w).sum::<f32>().max(0.0)).collect();
        Some(([height, width], values))
    }

    /// Rows and columns of the map, and its values.
    fn occlusion(&self, pixels: &[u8], class: usize) -> ([usize; 2], Vec<f32>) {
        let [height, width, channels] = self.input();
        let steps = |extent: usize| -> Vec<usize> {
            let stride = (extent / STRIDE).max(1);
            (0..extent.div_ceil(stride)).map(|step| step * stride).collect()
        };
        let (rows, columns) = (steps(height), steps(width));
        let mut images = self.images(1 + rows.len() * columns.len());
        let len = images.shape().len();
        let gray = pixels.iter().map(|&pixel| f32::from(pixel)).sum::<f32>() / pixels.len().max(1) as f32;
        let middles: Vec<[usize; 2]> =
            rows.iter().flat_map(|&row| columns.iter().map(move |&column| [row, column])).collect();
        for (number, out) in images.data_mut().chunks_exact_mut(len).enumerate() {
            out.iter_mut().zip(pixels).for_each(|(out, &pixel)| *out = f32::from(pixel));
            // The first image is not occluded.
            let Some([row, column]) = number.checked_sub(1).map(|number| middles[number]) else { continue };
            let reach = [height / COVER, width / COVER];
            for y in row.saturating_sub(reach[0] / 2)..(row + reach[0].div_ceil(2) + 1).min(height) {
                let from = column.saturating_sub(reach[1] / 2);
                let to = (column + reach[1].div_ceil(2) + 1).min(width);
                out[(y * width + from) * channels..(y * width + to) * channels].fill(gray);
            }
        }
        let probabilities = self.classifier.probabilities(images);
        let of_class = probabilities.chunks_exact(self.classifier.classes().len()).map(|row| row[class]);
        let whole = probabilities[class];
        ([rows.len(), columns.len()], of_class.skip(1).map(|p| (whole - p).max(0.0)).collect())
    }
}

impl Explanation {
    /// The value at a position, given as shares of the height and width; bilinear.
    #[must_use]
    pub fn at(&self, down: f32, right: f32) -> f32 {
        let place = |share: f32, extent: usize| share * extent as f32 - 0.5;
        let at = [place(down, self.height), place(right, self.width)];
        let value = |row: usize, column: usize| [self.values[row * self.width + column]];
        Bilinear::at([self.height, self.width], at).mix(value)[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_places_are_blended() {
        let (label, method) = ("happy".to_owned(), Method::Occlusion);
        let map = Explanation { label, method, height: 2, width: 2, values: vec![0.0, 1.0, 0.5, 0.5] };
        assert_eq!(map.at(0.25, 0.25), 0.0);
        assert_eq!(map.at(0.25, 0.5), 0.5);
        assert_eq!(map.at(0.5, 0.75), 0.75);
        assert_eq!((map.at(0.0, 0.0), map.at(1.0, 1.0)), (0.0, 0.5));
    }
}
