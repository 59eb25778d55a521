//! The `[augment]` section of an architecture file, implemented in [`crate::augment`].

use super::range::within;
use serde::{Deserialize, Serialize};

/// Interpolation of transformed images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Bilinear, from the four nearest pixels; blurs slightly.
    #[default]
    Bilinear,
    /// Bicubic, from the sixteen nearest pixels (Keys 1981, a = −1/2); preserves sharpness.
    Bicubic,
}

/// The `[augment]` section of an architecture file; every augmentation is off by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Flips images horizontally with probability 1/2.
    pub flip: bool,
    /// Maximum rotation in degrees, in both directions.
    pub rotation: f32,
    /// Maximum translation as a share of height and width.
    pub translation: f32,
    /// Maximum scaling as a share, in both directions.
    pub scale: f32,
    /// Maximum change of brightness as a share of white.
    pub brightness: f32,
    /// Maximum change of contrast around middle gray, as a share.
    pub contrast: f32,
    /// Interpolation of transformed images.
    pub interpolation: Interpolation,
    /// Maximum standard deviation of a Gaussian blur in pixels, applied with probability 1/2.
    pub blur: f32,
    /// Maximum standard deviation of Gaussian noise as a share of white, applied with probability
    /// 1/2.
    pub noise: f32,
    /// Probability of random erasing (Zhong et al. 2020).
    pub random_erasing: f32,
    /// Parameter of mixup: each image and its label are mixed with another one, weighted by a
    /// sample from Beta(mixup, mixup) (Zhang et al. 2018); at most 1.
    pub mixup: f32,
}

impl Augmentation {
    pub(crate) fn check(&self) -> Result<(), String> {
        within("augment.rotation", self.rotation, 0.0, 180.0)?;
        within("augment.translation", self.translation, 0.0, 1.0)?;
        within("augment.scale", self.scale, 0.0, 0.9)?;
        within("augment.brightness", self.brightness, 0.0, 1.0)?;
        within("augment.contrast", self.contrast, 0.0, 1.0)?;
        within("augment.blur", self.blur, 0.0, 5.0)?;
        within("augment.noise", self.noise, 0.0, 1.0)?;
        within("augment.random_erasing", self.random_erasing, 0.0, 1.0)?;
        within("augment.mixup", self.mixup, 0.0, 1.0)
    }
}
