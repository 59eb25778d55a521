//! What a batch is to be taken for: labels, softened and blended, and the
//! teachers' answers.

use super::batches::Batch;
use super::{ClassWeights, TrainError, TrainOptions};
use crate::augment::normalise;
use crate::data::{Dataset, hex};
use crate::model::Model;
use moue_engine::Tensor;
use moue_engine::loss::CrossEntropy;
use sha2::{Digest, Sha256};

/// Makes the targets of batches.
pub struct Targets {
    loss: CrossEntropy,
    classes: usize,
    teachers: Vec<Model>,
    teacher_weight: f32,
    teacher_tta: bool,
    rows: Vec<f32>,
    weights: Vec<f32>,
    images: Tensor,
}

impl Targets {
    /// For a training on these images; reads the teachers.
    pub fn new(options: &TrainOptions, dataset: &Dataset, training: &[usize]) -> Result<Self, TrainError> {
        Ok(Self {
            loss: CrossEntropy {
                label_smoothing: options.label_smoothing,
                class_weights: class_weights(options.class_weights, dataset, training),
            },
            classes: dataset.classes.len(),
            teachers: teachers(options, dataset)?,
            teacher_weight: options.teacher_weight,
            teacher_tta: options.teacher_tta,
            rows: Vec::new(),
            weights: Vec::new(),
            images: Tensor::default(),
        })
    }

    /// Whether somebody looks at the images in their own size.
    pub fn has_teachers(&self) -> bool {
        !self.teachers.is_empty()
    }

    /// SHA-256 of each teacher's file.
    pub fn teacher_hashes(&self) -> Result<Vec<String>, TrainError> {
        self.teachers.iter().map(model_hash).collect()
    }

    /// A target for each class, `[N, classes]`, and a factor for each image.
    pub fn of(&mut self, batch: &Batch) -> (&[f32], &[f32]) {
        let classes = self.classes;
        self.rows.resize(batch.labels.len() * classes, 0.0);
        self.weights.clear();
        let labels = batch.labels.iter().zip(&batch.next_labels).zip(&batch.shares);
        for (row, ((&own, &other), &share)) in self.rows.chunks_exact_mut(classes).zip(labels) {
            let (own, other) = (own as usize, other as usize);
            let blended = |own: f32, other: f32| share * own + (1.0 - share) * other;
            for (class, target) in row.iter_mut().enumerate() {
                *target = blended(self.loss.target(class, own, classes), self.loss.target(class, other, classes));
            }
            self.weights.push(blended(self.loss.weight(own), self.loss.weight(other)));
        }
        self.ask_teachers(batch);
        (&self.rows, &self.weights)
    }

    /// Replaces a share of each target by the mean of the teachers' answers.
    fn ask_teachers(&mut self, batch: &Batch) {
        if !self.has_teachers() {
            return;
        }
        self.rows.iter_mut().for_each(|target| *target *= 1.0 - self.teacher_weight);
        let looks = if self.teacher_tta { 2 } else { 1 };
        let share = self.teacher_weight / (self.teachers.len() * looks) as f32;
        for teacher in &mut self.teachers {
            self.images.copy_from(&batch.full_size);
            normalise(self.images.data_mut(), batch.full_size.shape().channels, &teacher.normalisation);
            for look in 0..looks {
                if look == 1 {
                    mirror(&mut self.images);
                }
                let answers = teacher.probabilities(&self.images);
                self.rows.iter_mut().zip(answers).for_each(|(target, answer)| *target += share * answer);
            }
        }
    }
}

/// Turns images left to right in place.
fn mirror(images: &mut Tensor) {
    let shape = images.shape();
    for row in images.data_mut().chunks_exact_mut(shape.width * shape.channels) {
        for column in 0..shape.width / 2 {
            let (left, right) = row.split_at_mut((shape.width - 1 - column) * shape.channels);
            left[column * shape.channels..][..shape.channels].swap_with_slice(&mut right[..shape.channels]);
        }
    }
}

/// SHA-256 of a model's file.
pub fn model_hash(model: &Model) -> Result<String, TrainError> {
    let bytes = model.to_bytes().map_err(TrainError::Unwritable)?;
    Ok(hex(&Sha256::digest(bytes)))
}

fn teachers(options: &TrainOptions, dataset: &Dataset) -> Result<Vec<Model>, TrainError> {
    let mut teachers = Vec::new();
    for path in &options.teachers {
        let teacher = Model::open(path)?;
        let own = [dataset.height, dataset.width, dataset.channels];
        if teacher.classes != dataset.classes || teacher.architecture.input != own {
            return Err(TrainError::Teacher(format!(
                "{} takes images of {:?} and knows {}; the data has {own:?} and {}",
                path.display(),
                teacher.architecture.input,
                teacher.classes.join(", "),
                dataset.classes.join(", ")
            )));
        }
        teachers.push(teacher);
    }
    Ok(teachers)
}

fn class_weights(kind: ClassWeights, dataset: &Dataset, training: &[usize]) -> Option<Vec<f32>> {
    if kind == ClassWeights::None {
        return None;
    }
    let counts = dataset.per_class(training);
    let even = training.len() as f32 / counts.len() as f32;
    let factor = |count: usize| {
        let balanced = if count == 0 { 0.0 } else { even / count as f32 };
        if kind == ClassWeights::BalancedSqrt { balanced.sqrt() } else { balanced }
    };
    Some(counts.into_iter().map(factor).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use moue_engine::Shape;

    #[test]
    fn mirrored_by_hand() {
        let mut images =
            Tensor::from_slice(2, Shape::new(1, 3, 2), &[1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.]);
        mirror(&mut images);
        assert_eq!(images.data(), [5., 6., 3., 4., 1., 2., 11., 12., 9., 10., 7., 8.]);
    }
}
