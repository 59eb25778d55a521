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
        let count = self.teachers.len() as f32;
        let keep = 1.0 - self.teacher_weight;
        for (number, teacher) in self.teachers.iter_mut().enumerate() {
            self.images.copy_from(&batch.full_size);
            normalise(self.images.data_mut(), batch.full_size.shape().channels, &teacher.normalisation);
            let answers = teacher.probabilities(&self.images);
            for (target, answer) in self.rows.iter_mut().zip(answers) {
                let kept = if number == 0 { keep * *target } else { *target };
                *target = kept + self.teacher_weight / count * answer;
            }
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
