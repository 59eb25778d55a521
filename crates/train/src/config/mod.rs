//! Configuration of a training: architecture files, presets, and options by key.

mod augment;
mod data;
mod file;
mod overrides;
mod presets;
mod range;
mod robust;
mod suggestion;
mod train;

pub use augment::{Augmentation, Interpolation};
pub use data::{DataOptions, NormalizationKind, TargetKind, VoteMode};
pub use file::{Config, ConfigError};
pub use overrides::{OverrideError, with_option};
pub use presets::{PRESETS, Preset};
pub use range::Bounded;
pub use robust::{Robust, RobustChange, RobustKind};
pub use train::{
    CalibrationKind, ClassWeights, KeptEpoch, OptimizerName, PrecisionName, ScheduleName, SizeStage, TrainOptions,
};
