//! The `[train]` section of an architecture file.

use super::range::within;
use moue_engine::OptimizerKind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The rule of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Stochastic gradient descent with `momentum` and `nesterov`.
    Sgd,
    /// Adam with `beta_1`, `beta_2`, `epsilon`.
    #[default]
    Adam,
    /// Adam; named so where `weight_decay` is meant to be decoupled, which it
    /// always is here.
    AdamW,
}

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// It does not.
    #[default]
    Constant,
    /// Times `step_factor` every `step_epochs`.
    Step,
    /// Linear warm-up over the share `warmup`, then a cosine down to 0
    /// (Loshchilov, Hutter 2017).
    Cosine,
    /// From 1/25 up to the learning rate over the share `warmup`, then down to
    /// 1/10,000 of that start, both along a cosine (Smith 2018).
    OneCycle,
    /// Times `plateau_factor` when the validation loss has not fallen for
    /// `plateau_patience` epochs.
    Plateau,
}

/// Whether rare classes count more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every image counts the same.
    #[default]
    None,
    /// Every class counts the same: `n / (classes · count)`.
    Balanced,
    /// Half-way there: the square roots of those factors (as Mahajan et al. 2018
    /// sample their classes).
    #[serde(rename = "balanced_sqrt")]
    BalancedSqrt,
}

/// A stretch of the training on images of another size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeStage {
    /// Share of the epochs after which it ends.
    pub until: f32,
    /// `[height, width]`.
    pub image_size: [usize; 2],
}

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in a step.
    pub batch_size: usize,
    /// Of weights, shuffling, augmentation and dropout.
    pub seed: u64,
    /// The rule of a step.
    pub optimizer: OptimizerName,
    /// Size of a step; the schedule's highest.
    pub learning_rate: f32,
    /// For SGD: share of the last step that is kept.
    pub momentum: f32,
    /// For SGD: Nesterov's variant.
    pub nesterov: bool,
    /// For Adam: decay of the mean of gradients.
    pub beta_1: f32,
    /// For Adam: decay of the mean of squares.
    pub beta_2: f32,
    /// For Adam: added to the root of the mean square.
    pub epsilon: f32,
    /// Decoupled: a step takes `learning_rate · weight_decay` of each kernel away.
    pub weight_decay: f32,
    /// Largest norm of all gradients together; 0 for no limit.
    pub clip_norm: f32,
    /// How the learning rate changes.
    pub schedule: ScheduleName,
    /// For `cosine` and `one_cycle`: share of the training that warms up.
    pub warmup: f32,
    /// For `step`: epochs between two falls.
    pub step_epochs: usize,
    /// For `step`: factor of a fall.
    pub step_factor: f32,
    /// For `plateau`: epochs without a lower validation loss before a fall.
    pub plateau_patience: usize,
    /// For `plateau`: factor of a fall.
    pub plateau_factor: f32,
    /// Share of the target that is spread over all classes.
    pub label_smoothing: f32,
    /// Whether rare classes count more.
    pub class_weights: ClassWeights,
    /// Decay of the running average of the weights, which is then what is
    /// validated and kept; 0 for none.
    pub ema_decay: f32,
    /// Ends after so many epochs without a better validation accuracy; 0 never.
    pub early_stopping: usize,
    /// Models (files, or names of those in the box) whose mean answer is part of the target (Hinton et al. 2015).
    pub teachers: Vec<PathBuf>,
    /// Share of the target that is the teachers' answer.
    pub teacher_weight: f32,
    /// Whether a teacher's answer is the mean over the image and its mirror image.
    pub teacher_tta: bool,
    /// Stretches on smaller (or larger) images, one after the other; what follows
    /// the last of them is trained at the network's own size. For networks whose
    /// weights do not depend on it.
    pub progressive: Vec<SizeStage>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch_size: 64,
            seed: 0,
            optimizer: OptimizerName::Adam,
            learning_rate: 0.001,
            momentum: 0.9,
            nesterov: false,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
            weight_decay: 0.0,
            clip_norm: 0.0,
            schedule: ScheduleName::Constant,
            warmup: 0.25,
            step_epochs: 10,
            step_factor: 0.1,
            plateau_patience: 3,
            plateau_factor: 0.5,
            label_smoothing: 0.0,
            class_weights: ClassWeights::None,
            ema_decay: 0.0,
            early_stopping: 0,
            progressive: Vec::new(),
            teachers: Vec::new(),
            teacher_weight: 0.5,
            teacher_tta: false,
        }
    }
}

impl TrainOptions {
    pub(crate) fn check(&self) -> Result<(), String> {
        for (field, value) in [("train.epochs", self.epochs), ("train.batch_size", self.batch_size)] {
            if value == 0 || value > 1_000_000 {
                return Err(format!("`{field}` is {value}; it must lie between 1 and 1000000"));
            }
        }
        if self.step_epochs == 0 || self.plateau_patience == 0 {
            return Err("`train.step_epochs` and `train.plateau_patience` must be at least 1".into());
        }
        within("train.learning_rate", self.learning_rate, 1e-12, 1000.0)?;
        within("train.momentum", self.momentum, 0.0, 0.999_99)?;
        within("train.beta_1", self.beta_1, 0.0, 0.999_99)?;
        within("train.beta_2", self.beta_2, 0.0, 0.999_999)?;
        within("train.epsilon", self.epsilon, 1e-20, 1.0)?;
        within("train.weight_decay", self.weight_decay, 0.0, 10.0)?;
        within("train.clip_norm", self.clip_norm, 0.0, 1e9)?;
        within("train.warmup", self.warmup, 0.0, 0.99)?;
        within("train.step_factor", self.step_factor, 1e-6, 1.0)?;
        within("train.plateau_factor", self.plateau_factor, 1e-6, 1.0)?;
        within("train.label_smoothing", self.label_smoothing, 0.0, 0.9)?;
        within("train.ema_decay", self.ema_decay, 0.0, 0.999_999)?;
        within("train.teacher_weight", self.teacher_weight, 0.0, 1.0)?;
        let mut before = 0.0;
        for stage in &self.progressive {
            within("train.progressive: until", stage.until, before, 1.0)?;
            before = stage.until;
        }
        Ok(())
    }

    /// The size of the images in an epoch (from 0); `own` is the network's.
    #[must_use]
    pub fn size_in(&self, epoch: usize, own: [usize; 2]) -> [usize; 2] {
        let done = epoch as f32 / self.epochs as f32;
        self.progressive.iter().find(|stage| done < stage.until).map_or(own, |stage| stage.image_size)
    }

    /// The engine's form of the optimizer.
    #[must_use]
    pub fn optimizer_kind(&self) -> OptimizerKind {
        match self.optimizer {
            OptimizerName::Sgd => OptimizerKind::Sgd { momentum: self.momentum, nesterov: self.nesterov },
            OptimizerName::Adam | OptimizerName::AdamW => {
                OptimizerKind::Adam { beta_1: self.beta_1, beta_2: self.beta_2, epsilon: self.epsilon }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_stages() {
        let stage = |until, side| SizeStage { until, image_size: [side, side] };
        let progressive = vec![stage(0.5, 32), stage(0.75, 40)];
        let options = TrainOptions { epochs: 8, progressive, ..TrainOptions::default() };
        let sides: Vec<usize> = (0..8).map(|epoch| options.size_in(epoch, [48, 48])[0]).collect();
        assert_eq!(sides, [32, 32, 32, 32, 40, 40, 48, 48]);
    }

    #[test]
    fn stages_must_follow_each_other() {
        let stage = |until| SizeStage { until, image_size: [32, 32] };
        let options = |progressive| TrainOptions { progressive, ..TrainOptions::default() };
        assert!(options(vec![stage(0.5), stage(0.75)]).check().is_ok());
        assert!(options(vec![stage(0.75), stage(0.5)]).check().is_err());
        assert!(options(vec![stage(1.5)]).check().is_err());
    }
}
