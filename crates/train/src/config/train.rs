//! The `[train]` section of an architecture file.

use super::range::Bounded;
use moue_engine::{OptimizerKind, Precision};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The precision of a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PrecisionName {
    /// 32-bit floating point.
    #[default]
    F32,
    /// Maps between layers, their gradients and the factors of products in bfloat16; sums, weights,
    /// statistics, the loss and the optimizer in f32.
    Bf16,
}

impl From<Precision> for PrecisionName {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl From<PrecisionName> for moue::PrecisionChoice {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}

impl From<PrecisionName> for moue::Precision {
    fn from(name: PrecisionName) -> Self {
        Precision::from(name).into()
    }
}

impl PrecisionName {
    /// The fastest precision of a training on this machine.
    #[must_use]
    pub fn fastest() -> Self {
        Precision::fastest().into()
    }
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}

/// The optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Stochastic gradient descent with `momentum` and `nesterov`.
    Sgd,
    /// Adam with `beta_1`, `beta_2` and `epsilon`.
    #[default]
    Adam,
    /// The same as `adam`: weight decay is always decoupled.
    AdamW,
}

/// The learning rate schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Constant.
    #[default]
    Constant,
    /// Multiplied by `step_factor` every `step_epochs`.
    Step,
    /// Linear warm-up over the share `warmup`, then cosine decay to 0 (Loshchilov, Hutter 2017).
    Cosine,
    /// From 1/25 up to the learning rate over the share `warmup`, then down to 1/10,000 of the
    /// initial value, both along a cosine (Smith 2018).
    OneCycle,
    /// Multiplied by `plateau_factor` when the validation loss has not decreased for
    /// `plateau_patience` epochs.
    Plateau,
}

/// Class weights in the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// All images have the same weight.
    #[default]
    None,
    /// All classes have the same weight in total: `n / (classes · count)`.
    Balanced,
    /// The square roots of the balanced weights (as Mahajan et al. 2018 sample their classes).
    #[serde(rename = "balanced_sqrt")]
    BalancedSqrt,
}

/// How probabilities are calibrated on the validation split at the end of a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CalibrationKind {
    /// One divisor for all logits (temperature scaling, Guo et al. 2017). It never changes the
    /// predicted class.
    #[default]
    Temperature,
    /// A factor and a bias for each class (vector scaling, in the same paper). It changes predicted
    /// classes, so its accuracy is reported on a line of its own; it requires 1,000 validation
    /// images.
    Vector,
}

/// The epoch whose weights become the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum KeptEpoch {
    /// The epoch with the best validation accuracy.
    #[default]
    Best,
    /// The last epoch, whatever its validation accuracy: nothing is selected on the validation split.
    Last,
}

/// A phase of the training with another image size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SizeStage {
    /// End of the phase as a share of the epochs, up to 1 and not before the end of the previous phase.
    pub until: f32,
    /// `[height, width]` of the images in pixels.
    pub image_size: [usize; 2],
}

/// Training. `train_loss` and `train_accuracy` are means over the steps of an epoch, with augmentation,
/// dropout and label smoothing; `validation_loss` is the cross-entropy after the epoch, without them. The
/// epoch with the best validation accuracy is kept, unless `keep` says otherwise.
///
/// At the end the model is calibrated on the validation split, as `calibration` says. The same step sets the
/// confidence below which a prediction is uncertain. That threshold is as high as needed for the share
/// `selective_accuracy` of the other predictions to be correct, but at most half of all predictions are uncertain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// Number of passes over the training images.
    pub epochs: usize,
    /// Number of images per training step.
    pub batch_size: usize,
    /// Seed of weights, shuffling, augmentation and dropout.
    pub seed: u64,
    /// Precision of the training, also of its teachers and validations.
    #[serde(skip_serializing_if = "is_f32")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "f32")))]
    pub precision: PrecisionName,
    /// The optimizer.
    pub optimizer: OptimizerName,
    /// Learning rate; the maximum of the schedule.
    pub learning_rate: f32,
    /// For `sgd`: momentum.
    pub momentum: f32,
    /// For `sgd`: whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// For `adam` and `adamw`: decay of the first moment.
    pub beta_1: f32,
    /// For `adam` and `adamw`: decay of the second moment.
    pub beta_2: f32,
    /// For `adam` and `adamw`: added to the denominator for numerical stability.
    pub epsilon: f32,
    /// Decoupled weight decay, also for `sgd`: each step subtracts `learning_rate · weight_decay` times
    /// each kernel. PyTorch's SGD with momentum *m* and decay *d* corresponds to *d* / (1 − *m*) here.
    pub weight_decay: f32,
    /// Maximum norm of all gradients together; 0 for no limit.
    pub clip_norm: f32,
    /// The learning rate schedule.
    pub schedule: ScheduleName,
    /// For `cosine` and `one_cycle`: share of the training that is used for warm-up.
    pub warmup: f32,
    /// For `step`: number of epochs between two reductions of the learning rate.
    pub step_epochs: usize,
    /// For `step`: factor of a reduction.
    pub step_factor: f32,
    /// For `plateau`: number of epochs without a lower validation loss before a reduction of the
    /// learning rate.
    pub plateau_patience: usize,
    /// For `plateau`: factor of a reduction.
    pub plateau_factor: f32,
    /// Share of the target that is distributed evenly over all classes.
    pub label_smoothing: f32,
    /// Class weights in the loss.
    pub class_weights: ClassWeights,
    /// Strength τ of the logit-adjusted loss for rare classes (Menon et al. 2021): the loss adds τ · log of each class's
    /// share in the training targets to its logit, so that the network learns logits without this prior. Not together
    /// with `model.prior_adjustment`, which would remove the prior a second time.
    #[serde(skip_serializing_if = "is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = 0.0)))]
    pub logit_adjustment: f32,
    /// Decay of the exponential moving average of the weights, which is then validated and saved; 0
    /// for none.
    pub ema_decay: f32,
    /// The epoch whose weights are kept.
    #[serde(skip_serializing_if = "is_best")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "best")))]
    pub keep: KeptEpoch,
    /// Calibration of the probabilities on the validation split, at the end of the training.
    pub calibration: CalibrationKind,
    /// Accuracy of the predictions that are not marked as uncertain.
    #[serde(skip_serializing_if = "is_four_fifths")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = 0.8)))]
    pub selective_accuracy: f32,
    /// Stops after this number of epochs without a better validation accuracy; 0 for never.
    pub early_stopping: usize,
    /// Teachers (files, or names of bundled models) whose mean prediction for the same augmented image is
    /// part of the target (distillation, Hinton et al. 2015).
    pub teachers: Vec<PathBuf>,
    /// Share of the target that is the teachers' prediction.
    pub teacher_weight: f32,
    /// Whether a teacher's prediction is the mean over the image and its mirror image.
    pub teacher_tta: bool,
    /// Number of layers that keep their weights, from the first one on, for fine-tuning a model. Layers
    /// are counted as in `model.layers.N`: an entry of `layers` is one layer, with its activation and with
    /// all layers inside it, and layers without weights count as well. A frozen layer gets no update, its
    /// batch normalization uses its stored statistics and does not change them, and its dropout is off.
    #[serde(skip_serializing_if = "is_zero")]
    pub freeze: usize,
    /// Phases with smaller (or larger) images, in order, for example
    /// `[{ until = 0.5, image_size = [32, 32] }]` for the first half of the epochs. The epochs after the
    /// last phase use the network's own size. Only for networks that end in a global pooling.
    pub progressive: Vec<SizeStage>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_best(keep: &KeptEpoch) -> bool {
    *keep == KeptEpoch::Best
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_f32(precision: &PrecisionName) -> bool {
    *precision == PrecisionName::F32
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_none(strength: &f32) -> bool {
    *strength == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_four_fifths(accuracy: &f32) -> bool {
    *accuracy == 0.8
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch_size: 64,
            seed: 0,
            precision: PrecisionName::F32,
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
            logit_adjustment: 0.0,
            ema_decay: 0.0,
            keep: KeptEpoch::Best,
            calibration: CalibrationKind::Temperature,
            selective_accuracy: 0.8,
            early_stopping: 0,
            freeze: 0,
            progressive: Vec::new(),
            teachers: Vec::new(),
            teacher_weight: 0.5,
            teacher_tta: false,
        }
    }
}

impl TrainOptions {
    /// The numeric options with their ranges.
    pub(super) fn bounded(&self) -> [Bounded; 19] {
        [
            Bounded::new("train.epochs", self.epochs as f32, 1.0, 1e6),
            Bounded::new("train.batch_size", self.batch_size as f32, 1.0, 1e6),
            Bounded::new("train.step_epochs", self.step_epochs as f32, 1.0, f32::INFINITY),
            Bounded::new("train.plateau_patience", self.plateau_patience as f32, 1.0, f32::INFINITY),
            Bounded::new("train.learning_rate", self.learning_rate, 1e-12, 1000.0),
            Bounded::new("train.momentum", self.momentum, 0.0, 0.999_99),
            Bounded::new("train.beta_1", self.beta_1, 0.0, 0.999_99),
            Bounded::new("train.beta_2", self.beta_2, 0.0, 0.999_999),
            Bounded::new("train.epsilon", self.epsilon, 1e-20, 1.0),
            Bounded::new("train.weight_decay", self.weight_decay, 0.0, 10.0),
            Bounded::new("train.clip_norm", self.clip_norm, 0.0, 1e9),
            Bounded::new("train.warmup", self.warmup, 0.0, 0.99),
            Bounded::new("train.step_factor", self.step_factor, 1e-6, 1.0),
            Bounded::new("train.plateau_factor", self.plateau_factor, 1e-6, 1.0),
            Bounded::new("train.label_smoothing", self.label_smoothing, 0.0, 0.9),
            Bounded::new("train.logit_adjustment", self.logit_adjustment, 0.0, 4.0),
            Bounded::new("train.ema_decay", self.ema_decay, 0.0, 0.999_999),
            Bounded::new("train.selective_accuracy", self.selective_accuracy, 0.0, 1.0),
            Bounded::new("train.teacher_weight", self.teacher_weight, 0.0, 1.0),
        ]
    }

    /// Validates the order of the phases.
    pub(super) fn check_phases(&self) -> Result<(), String> {
        let mut before = 0.0;
        for stage in &self.progressive {
            Bounded::new("train.progressive: until", stage.until, before, 1.0).check()?;
            before = stage.until;
        }
        Ok(())
    }

    /// The image size in an epoch (from 0); `own` is the network's.
    #[must_use]
    pub fn size_in(&self, epoch: usize, own: [usize; 2]) -> [usize; 2] {
        let done = epoch as f32 / self.epochs as f32;
        self.progressive.iter().find(|stage| done < stage.until).map_or(own, |stage| stage.image_size)
    }

    /// The optimizer as the engine's type.
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
    fn image_sizes_follow_the_phases() {
        let stage = |until, side| SizeStage { until, image_size: [side, side] };
        let progressive = vec![stage(0.5, 32), stage(0.75, 40)];
        let options = TrainOptions { epochs: 8, progressive, ..TrainOptions::default() };
        let sides: Vec<usize> = (0..8).map(|epoch| options.size_in(epoch, [48, 48])[0]).collect();
        assert_eq!(sides, [32, 32, 32, 32, 40, 40, 48, 48]);
    }

    #[test]
    fn progressive_phases_must_be_in_order() {
        let stage = |until| SizeStage { until, image_size: [32, 32] };
        let options = |progressive| TrainOptions { progressive, ..TrainOptions::default() };
        assert!(options(vec![stage(0.5), stage(0.75)]).check_phases().is_ok());
        assert!(options(vec![stage(0.75), stage(0.5)]).check_phases().is_err());
        assert!(options(vec![stage(1.5)]).check_phases().is_err());
    }
}
