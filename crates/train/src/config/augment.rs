//! The `[augment]` section of an architecture file, implemented in [`crate::augment`].

use super::range::Bounded;
use super::robust::{Robust, table_or_switch};
use serde::{Deserialize, Serialize};

/// Interpolation of transformed images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Bilinear, from the four nearest pixels; blurs slightly.
    #[default]
    Bilinear,
    /// Bicubic, from the sixteen nearest pixels (Keys 1981, a = −1/2); preserves sharpness.
    Bicubic,
}

/// Augmentation of training images. Everything is off by default. All geometric changes form one affine
/// map, sampled once; beyond the border the pixels of the border are repeated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Maximum standard deviation of a Gaussian blur in pixels. The blur is applied with probability
    /// 1/2; its standard deviation is random.
    pub blur: f32,
    /// Maximum standard deviation of Gaussian noise as a share of white. The noise is applied with
    /// probability 1/2; its standard deviation is random.
    pub noise: f32,
    /// Probability that a rectangle of 2–20 % of the image is erased (random erasing, Zhong et al.
    /// 2020).
    pub random_erasing: f32,
    /// Parameter of mixup (Zhang et al. 2018): each image and its label are mixed with another one,
    /// weighted by a sample from Beta(`mixup`, `mixup`).
    pub mixup: f32,
    /// Changes that pictures of cameras have, applied after all others except random erasing: a table, or `true` for its
    /// defaults.
    #[serde(deserialize_with = "table_or_switch", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::robust::TableOrSwitch>"))]
    pub robust: Option<Robust>,
}

impl Augmentation {
    /// The numeric options with their ranges.
    pub(super) fn bounded(&self) -> [Bounded; 9] {
        [
            Bounded::new("augment.rotation", self.rotation, 0.0, 180.0),
            Bounded::new("augment.translation", self.translation, 0.0, 1.0),
            Bounded::new("augment.scale", self.scale, 0.0, 0.9),
            Bounded::new("augment.brightness", self.brightness, 0.0, 1.0),
            Bounded::new("augment.contrast", self.contrast, 0.0, 1.0),
            Bounded::new("augment.blur", self.blur, 0.0, 5.0),
            Bounded::new("augment.noise", self.noise, 0.0, 1.0),
            Bounded::new("augment.random_erasing", self.random_erasing, 0.0, 1.0),
            Bounded::new("augment.mixup", self.mixup, 0.0, 1.0),
        ]
    }
}
