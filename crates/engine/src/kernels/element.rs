//! The types of a map's values: f32 and bf16.
//!
//! Kernels that are limited by memory are written once over [`Element`]: they load values of either type, compute in f32,
//! and round when they store. bf16 is the upper half of an f32, held in a `u16`.

use super::gemm::LANES;
use super::isa;
use crate::precision::Precision;
use bytemuck::Pod;
use pulp::Simd;
use rayon::prelude::*;

/// Values that one task converts.
const TASK: usize = 16 * 1024;

/// A value in bf16: sign, 8 bits of exponent and 7 of mantissa.
pub type Bf16 = u16;

/// A type of values in maps.
pub trait Element: Pod + Default + Send + Sync {
    /// The precision of maps with these values.
    const PRECISION: Precision;

    /// The value of an f32, rounded to nearest even.
    fn round(value: f32) -> Self;

    /// The value as f32.
    fn widen(self) -> f32;

    /// Loads a vector of the available values, padded with zeros.
    fn load<S: Simd>(simd: S, from: &[Self]) -> S::f32s;

    /// Rounds and stores the values that fit into the slice.
    fn store<S: Simd>(simd: S, to: &mut [Self], value: S::f32s);
}

impl Element for f32 {
    const PRECISION: Precision = Precision::F32;

    #[inline(always)]
    fn round(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[Self]) -> S::f32s {
        isa::load(simd, from)
    }

    #[inline(always)]
    fn store<S: Simd>(simd: S, to: &mut [Self], value: S::f32s) {
        isa::store(simd, to, value);
    }
}

impl Element for Bf16 {
    const PRECISION: Precision = Precision::Bf16;

    /// As the instruction `vcvtneps2bf16`: subnormal numbers become zero, and a NaN stays one.
    #[inline(always)]
    fn round(value: f32) -> Self {
        let bits = value.to_bits();
        let magnitude = bits & 0x7fff_ffff;
        let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let nearest = if magnitude > 0x7f80_0000 { bits >> 16 | 0x40 } else { nearest };
        (if magnitude < 0x0080_0000 { bits >> 16 & 0x8000 } else { nearest }) as u16
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[Self]) -> S::f32s {
        let mut lanes = [0.0; LANES];
        if from.len() == S::F32_LANES {
            // A loop of constant length becomes one vector.
            (0..S::F32_LANES).for_each(|i| lanes[i] = from[i].widen());
        } else {
            lanes.iter_mut().zip(from).for_each(|(lane, value)| *lane = value.widen());
        }
        isa::load(simd, &lanes[..S::F32_LANES])
    }

    #[inline(always)]
    fn store<S: Simd>(simd: S, to: &mut [Self], value: S::f32s) {
        let mut lanes = [0.0; LANES];
        isa::store(simd, &mut lanes[..S::F32_LANES], value);
        if to.len() == S::F32_LANES {
            (0..S::F32_LANES).for_each(|i| to[i] = Self::round(lanes[i]));
        } else {
            to.iter_mut().zip(lanes).for_each(|(to, lane)| *to = Self::round(lane));
        }
    }
}

/// Copies values and rounds them to another type.
pub fn convert<A: Element, B: Element>(from: &[A], to: &mut [B]) {
    to.par_chunks_mut(TASK).zip(from.par_chunks(TASK)).for_each(|(to, from)| {
        isa::dispatch(
            #[inline(always)]
            || to.iter_mut().zip(from).for_each(|(to, from)| *to = B::round(from.widen())),
        );
    });
}

/// Runs an expression with a type that stands for the values of a tensor.
macro_rules! with_element {
    ($tensor:expr, $element:ident => $body:expr) => {
        match $tensor.precision() {
            $crate::precision::Precision::F32 => {
                type $element = f32;
                $body
            }
            $crate::precision::Precision::Bf16 => {
                type $element = $crate::kernels::element::Bf16;
                $body
            }
        }
    };
}

pub(crate) use with_element;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The nearest of all normal bf16 values, the one with an even mantissa where two are equally near.
    fn nearest(value: f32) -> Bf16 {
        let below = (value.to_bits() >> 16) as u16;
        let above = below.wrapping_add(1);
        let distance = |bits: u16| (f64::from(bits.widen()) - f64::from(value)).abs();
        match distance(below).total_cmp(&distance(above)) {
            std::cmp::Ordering::Less => below,
            std::cmp::Ordering::Greater => above,
            std::cmp::Ordering::Equal => below + (below & 1),
        }
    }

    proptest! {
        #[test]
        fn values_are_rounded_to_nearest_even(value in prop::num::f32::NORMAL) {
            // Above the largest finite value, the next one is infinite, as in f32.
            if value.abs() < 3.38e38 {
                prop_assert_eq!(Bf16::round(value), nearest(value));
            }
        }

        #[test]
        fn bf16_values_round_to_themselves(bits: u16) {
            let value = bits.widen();
            prop_assume!(value.is_normal() || value == 0.0);
            prop_assert_eq!(Bf16::round(value), bits);
        }

        #[test]
        fn vectors_are_rounded_as_scalars(values in prop::collection::vec(any::<f32>(), 0..70)) {
            let mut rounded = vec![0; values.len()];
            convert(&values, &mut rounded);
            let expected: Vec<Bf16> = values.iter().map(|&value| Bf16::round(value)).collect();
            prop_assert_eq!(&rounded, &expected);
            let mut stored = vec![0; values.len()];
            struct Copy<'a>(&'a [f32], &'a mut [Bf16]);
            impl pulp::WithSimd for Copy<'_> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    for (from, to) in self.0.chunks(S::F32_LANES).zip(self.1.chunks_mut(S::F32_LANES)) {
                        Bf16::store(simd, to, f32::load(simd, from));
                        let again = Bf16::load(simd, to);
                        Bf16::store(simd, to, again);
                    }
                }
            }
            isa::dispatch(Copy(&values, &mut stored));
            prop_assert_eq!(stored, expected);
        }
    }

    #[test]
    fn edges_are_rounded_as_by_the_instruction() {
        for (value, bits) in [
            (0.0, 0),
            (-0.0, 0x8000),
            (f32::MIN_POSITIVE, 0x0080),
            (f32::from_bits(0x007f_ffff), 0),
            (-f32::from_bits(1), 0x8000),
            (f32::MAX, 0x7f80),
            (f32::INFINITY, 0x7f80),
            (f32::NEG_INFINITY, 0xff80),
            (f32::from_bits(0x7f80_0001), 0x7fc0),
            (f32::from_bits(0xffff_ffff), 0xffff),
        ] {
            assert_eq!(Bf16::round(value), bits, "{value}");
        }
    }
}
