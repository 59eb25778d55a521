//! The precision of a classifier's arithmetic, and its choice by name.

use crate::model::{Int8Accuracy, Model};
use moue_engine::{Int8Instructions, Kernels};
use std::fmt;
use std::str::FromStr;

/// Maximum loss of accuracy with which [`PrecisionChoice::Auto`] selects 8-bit integers: 0.3 percentage points.
pub const MOST_LOSS: f64 = 0.003;

/// Minimum number of images of that measurement.
const FEWEST_IMAGES: usize = 300;

/// The precision of a classifier's arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    F32,
    /// Maps between layers and factors of products in bfloat16, sums in f32.
    Bf16,
    /// Convolutions and dense layers multiply 8-bit integers, except for the first and the last layer. The model needs
    /// the ranges of its activations ([`Model::int8`]).
    Int8,
}

impl Precision {
    /// The name in options and reports: `f32`, `bf16` or `int8`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The kernels or instructions that compute in this precision on this machine; `None` for f32, whose kernels are
    /// those of the instruction set.
    #[must_use]
    pub fn kernels(self) -> Option<&'static str> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(Kernels::in_use().name()),
            Self::Int8 => Some(Int8Instructions::in_use().name()),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<moue_engine::Precision> for Precision {
    fn from(precision: moue_engine::Precision) -> Self {
        match precision {
            moue_engine::Precision::F32 => Self::F32,
            moue_engine::Precision::Bf16 => Self::Bf16,
        }
    }
}

/// A precision as a person selects it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrecisionChoice {
    /// This precision.
    #[default]
    F32,
    /// This precision.
    Bf16,
    /// This precision.
    Int8,
    /// The fastest for a model on this machine.
    Auto,
}

impl PrecisionChoice {
    /// The precision for a model. `auto` is int8 where the processor has instructions for it and the model's measured
    /// loss of accuracy, on at least 300 images, is at most [`MOST_LOSS`], else the fastest floating-point precision.
    #[must_use]
    pub fn resolve(self, model: &Model) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Int8 => Precision::Int8,
            Self::Auto => {
                let is_fast = Int8Instructions::in_use().are_fast();
                let measured = model.int8().and_then(|int8| int8.accuracy.as_ref());
                let loss = measured.filter(|measured| measured.n >= FEWEST_IMAGES).map(Int8Accuracy::loss);
                if is_fast && loss.is_some_and(|loss| loss <= MOST_LOSS) {
                    Precision::Int8
                } else {
                    moue_engine::Precision::fastest().into()
                }
            }
        }
    }
}

/// There is no precision of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no precision `{0}`; use f32, bf16, int8 or auto")]
pub struct UnknownPrecision(String);

impl FromStr for PrecisionChoice {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, UnknownPrecision> {
        match name {
            "f32" | "fp32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            "auto" => Ok(Self::Auto),
            _ => Err(UnknownPrecision(name.to_owned())),
        }
    }
}

/// A model cannot predict with 8-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the model has no ranges of activations, which int8 needs; add them with `moue export MODEL FILE.safetensors \
     --data DATA`"
)]
pub struct NoRanges;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_chosen_by_name() {
        for (name, choice) in [
            ("f32", PrecisionChoice::F32),
            ("fp32", PrecisionChoice::F32),
            ("bf16", PrecisionChoice::Bf16),
            ("int8", PrecisionChoice::Int8),
            ("auto", PrecisionChoice::Auto),
        ] {
            assert_eq!(name.parse(), Ok(choice));
        }
        let error = "int4".parse::<PrecisionChoice>().unwrap_err().to_string();
        assert_eq!(error, "there is no precision `int4`; use f32, bf16, int8 or auto");
    }

    #[test]
    #[cfg(feature = "model-tiny")]
    fn auto_is_int8_only_with_a_small_measured_loss() {
        use crate::model::Int8;
        let fast = Int8Instructions::in_use().are_fast();
        let mut model = Model::open("tiny").unwrap();
        let float = moue_engine::Precision::fastest().into();
        for (loss, int8) in [(None, false), (Some(0.004), false), (Some(0.002), true), (Some(-0.01), true)] {
            let accuracy =
                loss.map(|loss| Int8Accuracy { split: "validation".into(), n: 1000, f32: 0.5, int8: 0.5 - loss });
            let ranges = [("conv2d_2".to_owned(), [0.0, 1.0])].into();
            model.set_int8(Some(Int8 { ranges, images: 1, accuracy })).unwrap();
            let expected = if int8 && fast { Precision::Int8 } else { float };
            assert_eq!(PrecisionChoice::Auto.resolve(&model), expected, "{loss:?}");
        }
    }
}
