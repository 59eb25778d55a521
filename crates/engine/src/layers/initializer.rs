//! Initial values of kernels.
//!
//! The caller passes the random stream; biases and scales start from constants of their layers.

use crate::random::Stream;

/// Initializers of kernels; `fan_in` is the number of inputs of an output value, `fan_out` the
/// number of outputs of an input value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Initializer {
    /// Normal with variance `2 / fan_in` (He et al. 2015), for ReLU-like layers.
    #[default]
    HeNormal,
    /// Uniform with variance `2 / fan_in`.
    HeUniform,
    /// Normal with variance `2 / (fan_in + fan_out)` (Glorot, Bengio 2010).
    GlorotNormal,
    /// Uniform with variance `2 / (fan_in + fan_out)`: the default of Keras.
    GlorotUniform,
    /// Zeros, for weights that are set afterwards; not available in files.
    #[cfg_attr(feature = "serde", serde(skip))]
    Zeros,
}

impl Initializer {
    /// A source of values; `None` for zeros.
    pub(crate) fn draw(self, fan_in: usize, fan_out: usize, stream: &mut Stream) -> Option<impl FnMut() -> f32> {
        let variance = match self {
            Self::HeNormal | Self::HeUniform => 2.0 / fan_in as f32,
            Self::GlorotNormal | Self::GlorotUniform => 2.0 / (fan_in + fan_out) as f32,
            Self::Zeros => return None,
        };
        let is_normal = matches!(self, Self::HeNormal | Self::GlorotNormal);
        let deviation = variance.sqrt();
        let limit = (3.0 * variance).sqrt();
        Some(move || if is_normal { deviation * stream.normal() } else { stream.between(-limit, limit) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "serde")]
    #[test]
    fn names_in_files() {
        for (initializer, name) in [
            (Initializer::HeNormal, "\"he_normal\""),
            (Initializer::HeUniform, "\"he_uniform\""),
            (Initializer::GlorotNormal, "\"glorot_normal\""),
            (Initializer::GlorotUniform, "\"glorot_uniform\""),
        ] {
            assert_eq!(serde_json::to_string(&initializer).unwrap(), name);
            assert_eq!(serde_json::from_str::<Initializer>(name).unwrap(), initializer);
        }
        let error = serde_json::from_str::<Initializer>("\"zeros\"").unwrap_err().to_string();
        let accepted = "`he_normal`, `he_uniform`, `glorot_normal`, `glorot_uniform`";
        assert!(error.starts_with(&format!("unknown variant `zeros`, expected one of {accepted} at")), "{error}");
        assert!(serde_json::to_string(&Initializer::Zeros).is_err());
    }

    #[test]
    fn the_variance_equals_the_published_one() {
        for (initializer, expected) in [
            (Initializer::HeNormal, 2.0 / 50.0),
            (Initializer::HeUniform, 2.0 / 50.0),
            (Initializer::GlorotNormal, 2.0 / 80.0),
            (Initializer::GlorotUniform, 2.0 / 80.0),
        ] {
            let mut stream = Stream::new(5);
            let mut draw = initializer.draw(50, 30, &mut stream).unwrap();
            let variance = (0..50_000).map(|_| f64::from(draw()).powi(2)).sum::<f64>() / 50_000.0;
            assert!((variance / expected - 1.0).abs() < 0.03, "{initializer:?}: {variance}");
        }
    }
}
