//! The `[augment]` section of an architecture file. What it does is in [`crate::augment`].

use super::range::within;
use serde::{Deserialize, Serialize};

/// How values between pixels are made up where an image is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// From the four nearest pixels; blurs a little.
    #[default]
    Bilinear,
    /// From the sixteen nearest (Keys 1981, a = −1/2); nearly as sharp as the image.
    Bicubic,
}

/// The `[augment]` section of an architecture file; everything is off unless
/// given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Mirrors every other image.
    pub flip: bool,
    /// Turns by up to so many degrees either way.
    pub rotation: f32,
    /// Shifts by up to this share of the extent, down and across.
    pub translation: f32,
    /// Zooms by up to this share, in or out.
    pub scale: f32,
    /// Adds up to this share of white, or takes it away.
    pub brightness: f32,
    /// Stretches around the middle gray by up to this share, more or less.
    pub contrast: f32,
    /// How moved images are sampled.
    pub interpolation: Interpolation,
    /// Blurs every other image by a Gaussian whose deviation is drawn up to so many
    /// pixels.
    pub blur: f32,
    /// Adds to every other image Gaussian noise whose deviation is drawn up to this
    /// share of white.
    pub noise: f32,
    /// Probability that a rectangle is blotted out (Zhong et al. 2020).
    pub random_erasing: f32,
    /// Blends each image and its label with another one's, by a share drawn from
    /// Beta(mixup, mixup) (Zhang et al. 2018); at most 1.
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
