//! Where weights start.

use crate::random::Stream;

/// How a kernel is drawn; `fan_in` and `fan_out` count the inputs and outputs
/// of one output or input value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
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
    /// Nothing but zeros, where weights come from elsewhere.
    Zeros,
}

impl Initializer {
    /// A source of values.
    pub(crate) fn draw(self, fan_in: usize, fan_out: usize, stream: &mut Stream) -> impl FnMut() -> f32 {
        let variance = match self {
            Self::HeNormal | Self::HeUniform => 2.0 / fan_in as f32,
            Self::GlorotNormal | Self::GlorotUniform => 2.0 / (fan_in + fan_out) as f32,
            Self::Zeros => 0.0,
        };
        let deviation = variance.sqrt();
        let limit = (3.0 * variance).sqrt();
        move || match self {
            Self::HeNormal | Self::GlorotNormal => deviation * stream.normal(),
            Self::HeUniform | Self::GlorotUniform => stream.between(-limit, limit),
            Self::Zeros => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_is_that_of_the_papers() {
        for (initializer, expected) in [
            (Initializer::HeNormal, 2.0 / 50.0),
            (Initializer::HeUniform, 2.0 / 50.0),
            (Initializer::GlorotNormal, 2.0 / 80.0),
            (Initializer::GlorotUniform, 2.0 / 80.0),
        ] {
            let mut stream = Stream::new(5);
            let mut draw = initializer.draw(50, 30, &mut stream);
            let variance = (0..50_000).map(|_| f64::from(draw()).powi(2)).sum::<f64>() / 50_000.0;
            assert!((variance / expected - 1.0).abs() < 0.03, "{initializer:?}: {variance}");
        }
    }
}
