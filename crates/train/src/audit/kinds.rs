//! The kinds of issues, in the order in which they are listed.

use serde::Serialize;

/// A kind of issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The label contradicts the out-of-fold prediction.
    Label,
    /// A near-duplicate has another label.
    Conflict,
    /// A near-duplicate is in another split; only training images are listed.
    Leak,
    /// The features are far from those of all other images.
    Outlier,
    /// Nearly all pixels are dark.
    Dark,
    /// Nearly all pixels are bright.
    Bright,
    /// The darkest and the brightest pixels are nearly equal.
    LowContrast,
    /// Less sharp than most pictures of the data set.
    Blurred,
    /// Few different values of pixels.
    LowInformation,
    /// The picture in the source is much longer than wide, or the reverse.
    OddAspect,
    /// A border of one color has a part of the area.
    Border,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Label,
        Self::Conflict,
        Self::Leak,
        Self::Outlier,
        Self::Dark,
        Self::Bright,
        Self::LowContrast,
        Self::Blurred,
        Self::LowInformation,
        Self::OddAspect,
        Self::Border,
    ];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Conflict => "conflict",
            Self::Leak => "leak",
            Self::Outlier => "outlier",
            Self::Dark => "dark",
            Self::Bright => "bright",
            Self::LowContrast => "low_contrast",
            Self::Blurred => "blurred",
            Self::LowInformation => "low_information",
            Self::OddAspect => "odd_aspect",
            Self::Border => "border",
        }
    }

    /// The name in texts.
    #[must_use]
    pub fn title(self) -> String {
        self.name().replace('_', " ")
    }
}
