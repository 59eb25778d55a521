//! Softmax cross-entropy, with integer labels or with a target for each class, and its
//! gradient.
//!
//! The optimizer applies penalties on weights.

use crate::kernels::activation::softmax;
use crate::tensor::Tensor;

/// Options of [`sparse_categorical_crossentropy`].
#[derive(Clone, Debug, Default)]
pub struct CrossEntropy {
    /// Share of the target that is distributed evenly over all classes (Szegedy et al. 2016), in
    /// `[0, 1)`.
    pub label_smoothing: f32,
    /// A weight for each class, or none.
    pub class_weights: Option<Vec<f32>>,
}

impl CrossEntropy {
    /// The target probability of a class for an image with this label.
    #[must_use]
    pub fn target(&self, class: usize, label: usize, classes: usize) -> f32 {
        let share = self.label_smoothing / classes as f32;
        share + if class == label { 1.0 - self.label_smoothing } else { 0.0 }
    }

    /// The weight of an image with this label.
    #[must_use]
    pub fn weight(&self, label: usize) -> f32 {
        self.class_weights.as_ref().map_or(1.0, |weights| weights[label])
    }
}

/// The loss of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Sum of the images' losses.
    pub sum: f64,
    /// Number of images whose largest logit is that of their label.
    pub correct: usize,
}

/// The loss of a batch of logits `[N, 1, 1, classes]`, and in `gradient` the
/// derivative of its mean over the batch (weighted images count with their
/// weight, and the mean divides by `N`, as in Keras).
///
/// # Panics
/// When a label is not below the number of classes.
pub fn sparse_categorical_crossentropy(
    options: &CrossEntropy,
    logits: &Tensor,
    labels: &[u32],
    gradient: &mut Tensor,
) -> Loss {
    let classes = logits.shape().channels;
    gradient.copy_from(logits);
    let scale = 1.0 / labels.len() as f32;
    let mut sum = 0.0;
    for (row, &label) in gradient.data_mut().chunks_exact_mut(classes).zip(labels) {
        let label = label as usize;
        sum += differentiate(row, |class| options.target(class, label, classes), options.weight(label), scale);
    }
    Loss { sum, correct: count_correct(logits, labels) }
}

/// The loss with a target for each class: `targets` is `[N, classes]`, each row summing to 1, and
/// `weights` is a factor for each image. The mean is over `batch` images, of which these are all or
/// a rank's share. Returns the sum of these images' losses.
pub fn categorical_crossentropy(
    logits: &Tensor,
    targets: &[f32],
    weights: &[f32],
    batch: usize,
    gradient: &mut Tensor,
) -> f64 {
    let classes = logits.shape().channels;
    gradient.copy_from(logits);
    let scale = 1.0 / batch as f32;
    let rows = gradient.data_mut().chunks_exact_mut(classes).zip(targets.chunks_exact(classes)).zip(weights);
    rows.map(|((row, target), &weight)| differentiate(row, |class| target[class], weight, scale)).sum()
}

/// The loss of a row of logits, which are replaced by its derivative times `scale`.
fn differentiate(row: &mut [f32], target: impl Fn(usize) -> f32, weight: f32, scale: f32) -> f64 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = f64::from(max) + libm::log(row.iter().map(|&v| libm::exp(f64::from(v - max))).sum());
    let mut loss = 0.0;
    for (class, &logit) in row.iter().enumerate() {
        loss += f64::from(weight * target(class)) * (log_sum - f64::from(logit));
    }
    softmax(row);
    for (class, p) in row.iter_mut().enumerate() {
        *p = weight * scale * (*p - target(class));
    }
    loss
}

/// Number of images whose largest logit is that of their label.
#[must_use]
pub fn count_correct(logits: &Tensor, labels: &[u32]) -> usize {
    let rows = logits.data().chunks_exact(logits.shape().channels);
    rows.zip(labels).filter(|(row, label)| argmax(row) == **label as usize).count()
}

/// Converts logits to probabilities in place, in rows of `classes` values.
pub fn softmax_rows(logits: &mut [f32], classes: usize) {
    logits.chunks_exact_mut(classes).for_each(softmax);
}

/// The index of the largest value; the first one wins a tie.
#[must_use]
pub fn argmax(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
