//! The precision that a network computes in, and the kernels that multiply in bf16.
//!
//! f32 is the default. bf16 has the range of f32 and 8 bits of precision: maps between layers and the factors of products
//! are bf16; sums, weights, statistics and the loss are f32 or f64. See [`Precision`].

use std::fmt;
use std::sync::OnceLock;

/// The precision of a network's arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    F32,
    /// Maps, gradients of maps and factors of products in bf16, sums in f32. The network's input and output, its
    /// weights, statistics, gradients of weights and the optimizer stay f32; the first and the last layer multiply in f32.
    Bf16,
}

impl Precision {
    /// The name in options and reports: `f32` or `bf16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The fastest precision on this machine: bf16 where a matrix unit computes it ([`Kernels::Amx`]), else f32.
    #[must_use]
    pub fn fastest() -> Self {
        if Kernels::in_use() == Kernels::Amx { Self::Bf16 } else { Self::F32 }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Name of the environment variable that selects the kernels.
const VARIABLE: &str = "MOUE_KERNELS";

/// The kernels that multiply in bf16. All of them compute the same sums in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Intel's Advanced Matrix Extensions (AMX-TILE, AMX-BF16), on Linux.
    Amx,
    /// Fused multiply-adds in f32, at the instruction-set level in use.
    Portable,
}

/// All kernels, the fastest first.
const ALL: [Kernels; 2] = [Kernels::Amx, Kernels::Portable];

impl Kernels {
    /// The name in `MOUE_KERNELS` and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Portable => "portable",
        }
    }

    /// The kernels that this machine supports, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        ALL.into_iter().filter(|kernels| match kernels {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => crate::kernels::tiles::amx::is_available(),
            #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
            Self::Amx => false,
            Self::Portable => true,
        })
    }

    fn fastest() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// The kernels in use: those that `MOUE_KERNELS` selects where this machine supports them, else the fastest.
    #[must_use]
    pub fn in_use() -> Self {
        static IN_USE: OnceLock<Kernels> = OnceLock::new();
        *IN_USE.get_or_init(|| Self::requested().unwrap_or_else(|_| Self::fastest()))
    }

    /// The kernels that `MOUE_KERNELS` selects, or the fastest where it is not set.
    ///
    /// # Errors
    /// When `MOUE_KERNELS` is unknown, or selects kernels that this machine does not support.
    pub fn requested() -> Result<Self, UnknownKernels> {
        choose(std::env::var(VARIABLE).ok().as_deref())
    }
}

/// `MOUE_KERNELS` selects kernels that do not exist, or that are not available.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownKernels {
    /// There are no kernels of this name.
    #[error("there are no kernels MOUE_KERNELS={0}; use amx or portable")]
    Name(String),
    /// This machine does not support them.
    #[error("MOUE_KERNELS={0} is not available on this machine; use MOUE_KERNELS=portable, or unset it")]
    Unavailable(&'static str),
}

fn choose(asked: Option<&str>) -> Result<Kernels, UnknownKernels> {
    let name = match asked {
        None | Some("") => return Ok(Kernels::fastest()),
        Some(name) => name,
    };
    let kernels = ALL.into_iter().find(|kernels| kernels.name() == name);
    let kernels = kernels.ok_or_else(|| UnknownKernels::Name(name.to_owned()))?;
    let is_available = Kernels::available().any(|available| available == kernels);
    is_available.then_some(kernels).ok_or(UnknownKernels::Unavailable(kernels.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_selected_by_name() {
        assert_eq!(choose(None), Ok(Kernels::available().next().unwrap()));
        assert_eq!(choose(Some("")), choose(None));
        assert_eq!(choose(Some("portable")), Ok(Kernels::Portable));
        assert_eq!(choose(Some("amx")).is_ok(), Kernels::available().any(|kernels| kernels == Kernels::Amx));
        assert_eq!(choose(Some("AMX")), Err(UnknownKernels::Name("AMX".into())));
    }
}
