//! Targets of the loss: smoothed and mixed labels or votes, and the teachers' predictions.

use super::batches::Batch;
use super::error::TrainError;
use crate::config::{ClassWeights, TrainOptions};
use crate::data::{Dataset, Split};
use moue::image::mirror;
use moue::model::Model;
use moue::{Classifier, Device};
use moue_engine::Tensor;
use sha2::{Digest, Sha256};

/// Label smoothing and class weights, for targets that are distributions.
struct Loss {
    label_smoothing: f32,
    /// Share of each class in a smoothed target.
    even: f32,
    class_weights: Option<Vec<f32>>,
}

impl Loss {
    /// The smoothed share of a class.
    fn target(&self, share: f32) -> f32 {
        self.even + (1.0 - self.label_smoothing) * share
    }

    /// The weight of an image: the mean of the classes' weights.
    fn weight(&self, target: &[f32]) -> f32 {
        let weights = self.class_weights.as_ref();
        weights.map_or(1.0, |weights| target.iter().zip(weights).map(|(share, weight)| share * weight).sum())
    }
}

/// Computes the targets of batches.
pub struct Targets {
    loss: Loss,
    classes: usize,
    teachers: Vec<Classifier>,
    teacher_weight: f32,
    teacher_tta: bool,
    rows: Vec<f32>,
    weights: Vec<f32>,
    images: Tensor,
}

impl Targets {
    /// Loads the teachers for a training on this data set; the device computes their predictions.
    pub fn new(
        options: &TrainOptions,
        dataset: &Dataset,
        training: &[usize],
        device: &Device,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            loss: Loss {
                label_smoothing: options.label_smoothing,
                even: options.label_smoothing / dataset.classes.len() as f32,
                class_weights: class_weights(options.class_weights, dataset, training),
            },
            classes: dataset.classes.len(),
            teachers: teachers(options, dataset, device)?,
            teacher_weight: options.teacher_weight,
            teacher_tta: options.teacher_tta,
            rows: Vec::new(),
            weights: Vec::new(),
            images: Tensor::default(),
        })
    }

    /// Whether there are teachers, which need the images at their own size.
    pub fn has_teachers(&self) -> bool {
        !self.teachers.is_empty()
    }

    /// SHA-256 of each teacher's file.
    pub fn teacher_hashes(&self) -> Result<Vec<String>, TrainError> {
        self.teachers.iter().map(|teacher| model_hash(teacher.model())).collect()
    }

    /// A probability for each class, `[N, classes]`, and a weight for each image.
    pub fn of(&mut self, batch: &Batch) -> (&[f32], &[f32]) {
        let classes = self.classes;
        self.rows.resize(batch.labels.len() * classes, 0.0);
        self.weights.clear();
        let [own, other] = [&batch.targets, &batch.next_targets].map(|targets| targets.chunks_exact(classes));
        for (((row, own), other), &share) in self.rows.chunks_exact_mut(classes).zip(own).zip(other).zip(&batch.shares)
        {
            let blended = |own: f32, other: f32| share * own + (1.0 - share) * other;
            for ((target, own), other) in row.iter_mut().zip(own).zip(other) {
                *target = blended(self.loss.target(*own), self.loss.target(*other));
            }
            self.weights.push(blended(self.loss.weight(own), self.loss.weight(other)));
        }
        self.ask_teachers(batch);
        (&self.rows, &self.weights)
    }

    /// Replaces a share of each target by the mean of the teachers' predictions.
    fn ask_teachers(&mut self, batch: &Batch) {
        if !self.has_teachers() {
            return;
        }
        self.rows.iter_mut().for_each(|target| *target *= 1.0 - self.teacher_weight);
        let views = if self.teacher_tta { 2 } else { 1 };
        let share = self.teacher_weight / (self.teachers.len() * views) as f32;
        let shape = batch.full_size.shape();
        for teacher in &self.teachers {
            self.images.copy_from(&batch.full_size);
            teacher.model().normalization().apply(self.images.data_mut(), shape.channels);
            for view in 0..views {
                if view == 1 {
                    mirror(self.images.data_mut(), shape.width, shape.channels);
                }
                let predictions = teacher.input_probabilities(&self.images);
                self.rows.iter_mut().zip(predictions).for_each(|(target, predicted)| *target += share * predicted);
            }
        }
    }
}

/// SHA-256 of a model's file.
pub fn model_hash(model: &Model) -> Result<String, TrainError> {
    let bytes = model.to_bytes()?;
    Ok(base16ct::lower::encode_string(&Sha256::digest(bytes)))
}

fn teachers(options: &TrainOptions, dataset: &Dataset, device: &Device) -> Result<Vec<Classifier>, TrainError> {
    let mut teachers = Vec::new();
    for path in &options.teachers {
        let teacher = Model::open(path).map_err(TrainError::UnreadTeacher)?;
        let teacher = Classifier::prepare(teacher, options.precision.into(), device)
            .map_err(|source| TrainError::Prepare { what: "a teacher", source })?;
        if teacher.classes() != dataset.classes || teacher.input() != dataset.shape() {
            return Err(TrainError::Teacher(format!(
                "{} takes images of shape {:?} with the classes {}, but the data has shape {:?} and the classes {}",
                path.display(),
                teacher.input(),
                teacher.classes().join(", "),
                dataset.shape(),
                dataset.classes.join(", ")
            )));
        }
        teachers.push(teacher);
    }
    Ok(teachers)
}

/// The share of each class in the training targets, for the option `key`.
pub fn prior(dataset: &Dataset, key: &'static str) -> Result<Vec<f64>, TrainError> {
    let mass = dataset.class_mass(&dataset.indices(Split::Train));
    let sum: f64 = mass.iter().sum();
    match mass.iter().position(|&of_class| of_class == 0.0) {
        Some(class) => Err(TrainError::NoPrior { key, class: dataset.classes[class].clone() }),
        None => Ok(mass.into_iter().map(|of_class| of_class / sum).collect()),
    }
}

fn class_weights(kind: ClassWeights, dataset: &Dataset, training: &[usize]) -> Option<Vec<f32>> {
    if kind == ClassWeights::None {
        return None;
    }
    let mass = dataset.class_mass(training);
    let even = training.len() as f32 / mass.len() as f32;
    let factor = |mass: f64| {
        let balanced = if mass == 0.0 { 0.0 } else { even / mass as f32 };
        if kind == ClassWeights::BalancedSqrt { balanced.sqrt() } else { balanced }
    };
    Some(mass.into_iter().map(factor).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_smoothed_and_weighted() {
        let loss = Loss { label_smoothing: 0.2, even: 0.1, class_weights: Some(vec![2.0, 0.5]) };
        assert!((loss.target(0.75) - 0.7).abs() < 1e-6);
        assert_eq!((loss.weight(&[0.5, 0.5]), loss.weight(&[1.0, 0.0])), (1.25, 2.0));
        assert_eq!(Loss { class_weights: None, ..loss }.weight(&[0.5, 0.5]), 1.0);
    }
}
