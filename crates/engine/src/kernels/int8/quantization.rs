//! Bytes that represent real values.

/// Bytes that represent `scale · (byte − zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    pub scale: f32,
    /// The byte that represents 0.
    pub zero: u8,
}

/// Added to a value from 0 to 255, it leaves the nearest integer in the lowest byte, ties to even.
const ROUND: f32 = 12_582_912.0;

/// The nearest byte; NaN becomes 0.
#[inline(always)]
pub fn to_byte(value: f32) -> u8 {
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    (value + ROUND).to_bits() as u8
}

impl Quantization {
    /// Represents values from `low` to `high`, and 0 exactly.
    pub fn of_range([low, high]: [f32; 2]) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low) / 255.0;
        if !(scale.is_normal() && (1.0 / scale).is_normal()) {
            return Self { scale: 1.0, zero: 0 };
        }
        Self { scale, zero: to_byte(-low / scale) }
    }

    /// The nearest byte of a value.
    #[inline(always)]
    pub fn quantize(&self, value: f32) -> u8 {
        to_byte(value * (1.0 / self.scale) + f32::from(self.zero))
    }

    /// The value of a byte.
    #[inline(always)]
    pub fn value(&self, byte: u8) -> f32 {
        self.scale * (f32::from(byte) - f32::from(self.zero))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_in_the_range_differ_by_half_a_step(low in -50.0f32..50.0, width in 1e-3f32..50.0, at in 0.0f32..1.0) {
            let quantization = Quantization::of_range([low, low + width]);
            let value = low + at * width;
            let error = (quantization.value(quantization.quantize(value)) - value).abs();
            // The zero is rounded, so that the ends of the range may be half a step outside.
            prop_assert!(error <= 1.01 * quantization.scale, "{error} {quantization:?}");
            prop_assert_eq!(quantization.value(quantization.quantize(0.0)), 0.0);
        }

        #[test]
        fn bytes_are_rounded_to_nearest_even(value in -10.0f32..300.0) {
            prop_assert_eq!(to_byte(value), value.round_ties_even().clamp(0.0, 255.0) as u8);
        }
    }

    #[test]
    fn every_range_has_a_quantization() {
        for range in [[0.0, 0.0], [f32::NAN, f32::NAN], [0.0, f32::INFINITY], [1e-44, 1e-44]] {
            assert_eq!(Quantization::of_range(range), Quantization { scale: 1.0, zero: 0 });
        }
        assert_eq!([f32::NAN, -3.0, f32::INFINITY, 0.5, 1.5].map(to_byte), [0, 0, 255, 0, 2]);
    }
}
