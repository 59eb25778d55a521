//! The instruction set, selected once at run time.
//!
//! Kernels are written once with [`pulp::Simd`] (or as plain loops that the compiler vectorizes)
//! and compiled for each level; [`dispatch`] runs one at the level in use. Vectors always run over
//! channels, and the order of every sum is independent of the vector length, so levels with fused
//! multiply-add (AVX-512, AVX2, NEON) differ in speed only.

use pulp::{Simd, WithSimd};
use std::sync::OnceLock;

/// Name of the environment variable that selects a level.
const VARIABLE: &str = "MOUE_ISA";

/// An instruction-set level that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL: 16 lanes.
    Avx512,
    /// x86-64 with AVX2 and FMA: 8 lanes.
    Avx2,
    /// 64-bit ARM: 4 lanes.
    Neon,
    /// WebAssembly with 128-bit vectors: 4 lanes, no fused multiply-add.
    Simd128,
    /// Scalar code, one lane.
    Scalar,
}

/// All levels, the fastest first.
const ALL: [Isa; 5] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Simd128, Isa::Scalar];

impl Isa {
    /// The name used in `MOUE_ISA` and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Simd128 => "simd128",
            Self::Scalar => "scalar",
        }
    }

    /// The levels that this machine supports, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        ALL.into_iter().filter(|isa| Level::of(*isa).is_some())
    }

    /// The level in use: the one that `MOUE_ISA` selects where this machine supports it, else the
    /// fastest.
    #[must_use]
    pub fn in_use() -> Self {
        Self::requested().unwrap_or_else(|_| Self::available().next().unwrap_or(Self::Scalar))
    }

    /// The level that `MOUE_ISA` selects, or the fastest where it is not set.
    ///
    /// # Errors
    /// When `MOUE_ISA` is not a level, or is one that this machine does not support.
    pub fn requested() -> Result<Self, UnknownIsa> {
        choose(std::env::var(VARIABLE).ok().as_deref()).map_err(|asked| UnknownIsa {
            asked,
            available: Self::available().map(Self::name).collect::<Vec<_>>().join(", "),
        })
    }
}

/// `MOUE_ISA` selects a level that is not available.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("MOUE_ISA={asked} is not available on this machine; it supports {available}")]
pub struct UnknownIsa {
    asked: String,
    available: String,
}

fn choose(asked: Option<&str>) -> Result<Isa, String> {
    match asked {
        None | Some("") => Ok(Isa::available().next().unwrap_or(Isa::Scalar)),
        Some(name) => Isa::available().find(|isa| isa.name() == name).ok_or_else(|| name.to_owned()),
    }
}

/// A level with the proof that this machine supports it.
#[derive(Clone, Copy)]
enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(pulp::wasm::Simd128),
    Scalar,
}

impl Level {
    fn of(isa: Isa) -> Option<Self> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::try_new().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::try_new().map(Self::Avx2),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => pulp::aarch64::Neon::try_new().map(Self::Neon),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Isa::Simd128 => pulp::wasm::Simd128::try_new().map(Self::Simd128),
            Isa::Scalar => Some(Self::Scalar),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }
}

/// The level in use.
fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| Level::of(Isa::in_use()).unwrap_or(Level::Scalar))
}

/// Runs `op` compiled for the level in use. Its body and all functions that it calls must be
/// `#[inline(always)]`, otherwise they are compiled for the lowest level.
pub fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(simd) => Simd::vectorize(simd, op),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(simd) => Simd::vectorize(simd, op),
        #[cfg(target_arch = "aarch64")]
        Level::Neon(simd) => Simd::vectorize(simd, op),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128(simd) => Simd::vectorize(simd, op),
        Level::Scalar => Simd::vectorize(pulp::Scalar::new(), op),
    }
}

/// The instructions of AVX-512, where it is the level in use.
#[cfg(target_arch = "x86_64")]
pub fn avx512() -> Option<pulp::x86::V4> {
    match level() {
        Level::Avx512(simd) => Some(simd),
        _ => None,
    }
}

/// Loads a vector of the available values, padded with zeros: much faster than a partial load in
/// the usual case of a whole vector.
#[inline(always)]
pub fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    if from.len() == S::F32_LANES {
        // SAFETY: the slice contains a whole vector.
        #[allow(unsafe_code)]
        unsafe {
            from.as_ptr().cast::<S::f32s>().read_unaligned()
        }
    } else {
        simd.partial_load_f32s(from)
    }
}

/// Stores the values that fit into the slice.
#[inline(always)]
pub fn store<S: Simd>(simd: S, to: &mut [f32], value: S::f32s) {
    if to.len() == S::F32_LANES {
        // SAFETY: the slice contains a whole vector.
        #[allow(unsafe_code)]
        unsafe {
            to.as_mut_ptr().cast::<S::f32s>().write_unaligned(value);
        }
    } else {
        simd.partial_store_f32s(to, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_selected_by_name() {
        let best = Isa::available().next().unwrap();
        assert_eq!(choose(None), Ok(best));
        assert_eq!(choose(Some("scalar")), Ok(Isa::Scalar));
        assert_eq!(choose(Some(best.name())), Ok(best));
        assert_eq!(choose(Some("avx1024")), Err("avx1024".into()));
        assert_eq!(Isa::available().last(), Some(Isa::Scalar));
    }
}
