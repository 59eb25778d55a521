//! The `[augment.robust]` table of an architecture file, implemented in `augment/robust.rs`.

use super::range::Bounded;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};

/// Robust augmentation: each change is applied with its probability, by an amount from its range. 0 turns a change off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Robust {
    /// Probability of a Gaussian blur.
    pub blur: f32,
    /// Its standard deviation in pixels.
    pub blur_range: [f32; 2],
    /// Probability of downsampling and enlarging again.
    pub downsampling: f32,
    /// Share of the rows and columns that remains.
    pub downsampling_range: [f32; 2],
    /// Probability of a gamma correction.
    pub gamma: f32,
    /// Its exponent; below 1 is lighter.
    pub gamma_range: [f32; 2],
    /// Probability of another contrast.
    pub contrast: f32,
    /// Factor of the distance from middle gray.
    pub contrast_range: [f32; 2],
    /// Probability of darkening.
    pub darkening: f32,
    /// Factor of all values.
    pub darkening_range: [f32; 2],
    /// Probability of noise.
    pub noise: f32,
    /// Its standard deviation as a share of white.
    pub noise_range: [f32; 2],
    /// Probability of JPEG compression.
    pub jpeg: f32,
    /// Its quality, 1 to 100.
    pub jpeg_range: [f32; 2],
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RobustKind {
    /// Gaussian blur.
    Blur,
    /// Downsampling and enlarging.
    Downsampling,
    /// Gamma correction.
    Gamma,
    /// Contrast around middle gray.
    Contrast,
    /// Multiplication by a factor.
    Darkening,
    /// Noise.
    Noise,
    /// JPEG compression.
    Jpeg,
}

impl RobustKind {
    /// The name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blur => "blur",
            Self::Downsampling => "downsampling",
            Self::Gamma => "gamma",
            Self::Contrast => "contrast",
            Self::Darkening => "darkening",
            Self::Noise => "noise",
            Self::Jpeg => "jpeg",
        }
    }

    /// Lowest and highest amount.
    fn limits(self) -> [f32; 2] {
        match self {
            Self::Blur => [0.0, 5.0],
            Self::Downsampling | Self::Darkening => [0.01, 1.0],
            Self::Gamma => [0.1, 10.0],
            Self::Contrast => [0.0, 4.0],
            Self::Noise => [0.0, 1.0],
            Self::Jpeg => [1.0, 100.0],
        }
    }
}

/// A change with its probability and the range of its amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RobustChange {
    /// The kind.
    pub kind: RobustKind,
    /// The probability.
    pub probability: f32,
    /// Lowest and highest amount.
    pub range: [f32; 2],
}

impl Robust {
    /// The ranges of [`Self::default`], with all probabilities 0.
    #[must_use]
    pub fn off() -> Self {
        Self {
            blur: 0.0,
            downsampling: 0.0,
            gamma: 0.0,
            contrast: 0.0,
            darkening: 0.0,
            noise: 0.0,
            jpeg: 0.0,
            ..Self::default()
        }
    }

    /// All changes, in the order in which they are applied: noise is that of the scene, so that a dark image is not
    /// drowned in it.
    #[must_use]
    pub fn changes(&self) -> [RobustChange; 7] {
        [
            (RobustKind::Blur, self.blur, self.blur_range),
            (RobustKind::Downsampling, self.downsampling, self.downsampling_range),
            (RobustKind::Noise, self.noise, self.noise_range),
            (RobustKind::Gamma, self.gamma, self.gamma_range),
            (RobustKind::Contrast, self.contrast, self.contrast_range),
            (RobustKind::Darkening, self.darkening, self.darkening_range),
            (RobustKind::Jpeg, self.jpeg, self.jpeg_range),
        ]
        .map(|(kind, probability, range)| RobustChange { kind, probability, range })
    }

    /// Validates all probabilities and ranges.
    pub(super) fn check(&self) -> Result<(), String> {
        for RobustChange { kind, probability, range: [low, high] } in self.changes() {
            let (key, [least, most]) = (format!("augment.robust.{}", kind.name()), kind.limits());
            Bounded::new("augment.robust", probability, 0.0, 1.0)
                .check()
                .map_err(|_| format!("`{key}` is {probability}; it must be a probability between 0 and 1"))?;
            if !(least <= low && low <= high && high <= most) {
                return Err(format!(
                    "`{key}_range` is [{low}, {high}]; it must be two increasing numbers between {least} and {most}"
                ));
            }
        }
        Ok(())
    }
}

impl Default for Robust {
    fn default() -> Self {
        Self {
            blur: 0.25,
            blur_range: [0.4, 2.2],
            downsampling: 0.2,
            downsampling_range: [0.33, 0.67],
            gamma: 0.2,
            gamma_range: [0.6, 1.7],
            contrast: 0.25,
            contrast_range: [0.3, 1.3],
            darkening: 0.15,
            darkening_range: [0.125, 1.0],
            noise: 0.25,
            noise_range: [0.0, 0.16],
            jpeg: 0.15,
            jpeg_range: [10.0, 70.0],
        }
    }
}

/// What the option may be.
#[cfg(feature = "schema")]
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub enum TableOrSwitch {
    /// A table.
    Table(Robust),
    /// Whether the defaults of the table are used.
    Switch(bool),
}

/// Reads a table, or `true` for its defaults and `false` for none.
pub fn table_or_switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Robust>, D::Error> {
    struct Either;
    impl<'de> Visitor<'de> for Either {
        type Value = Option<Robust>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a table, true or false")
        }

        fn visit_bool<E>(self, on: bool) -> Result<Self::Value, E> {
            Ok(on.then(Robust::default))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Robust::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
    deserializer.deserialize_any(Either)
}

#[cfg(test)]
mod tests {
    use super::super::{Augmentation, Config, PRESETS, with_option};
    use super::*;

    #[test]
    fn a_table_or_a_switch_turns_it_on() {
        let read = |text: &str| toml::from_str::<Augmentation>(text).map_err(|error| error.to_string());
        assert_eq!(read("blur = 1.0").unwrap().robust, None);
        assert_eq!(read("robust = false").unwrap().robust, None);
        assert_eq!(read("robust = true").unwrap().robust, Some(Robust::default()));
        assert_eq!(read("[robust]").unwrap().robust, Some(Robust::default()));
        let changed = read("[robust]\nblur = 0.5\njpeg_range = [20, 30]").unwrap().robust.unwrap();
        assert_eq!(changed, Robust { blur: 0.5, jpeg_range: [20.0, 30.0], ..Robust::default() });
        assert!(read("robust = 3").unwrap_err().contains("a table, true or false"));
        assert!(read("[robust]\nblurr = 1").unwrap_err().contains("unknown field `blurr`"));
    }

    #[test]
    fn the_command_line_turns_it_on_and_changes_it() {
        let config = Config::parse("small", PRESETS[0].text).unwrap();
        let on = with_option(&config, "augment.robust", "true").unwrap();
        let changed = with_option(&on, "augment.robust.noise", "0.75").unwrap();
        assert_eq!(changed.augment.robust, Some(Robust { noise: 0.75, ..Robust::default() }));
        assert_eq!(with_option(&changed, "augment.robust", "false").unwrap(), config);
        let refused = |key: &str, value: &str, part: &str| {
            let message = with_option(&on, key, value).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        };
        refused("augment.robust.blur", "1.5", "`augment.robust.blur` is 1.5; it must be a probability");
        refused("augment.robust.jpeg_range", "[50, 10]", "`augment.robust.jpeg_range` is [50, 10]");
        refused("augment.robust.noise_range", "[0, 2]", "two increasing numbers between 0 and 1");
    }
}
