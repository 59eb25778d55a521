//! Kernels over maps of 8-bit integers.
//!
//! A byte represents `scale · (byte − zero)` ([`Quantization`]), a weight is a signed byte times the scale of its filter.
//! Sums of products are exact 32-bit integers, so they are equal for every instruction set and every order. Scaling,
//! bias and activation are f32 without fused multiply-add, and equal everywhere too.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod block;
pub mod convolution;
#[cfg(target_arch = "aarch64")]
mod dotprod;
pub mod epilogue;
pub mod first;
pub mod map;
mod patches;
mod product;
mod quantization;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiled;
#[cfg(target_arch = "x86_64")]
mod vnni;
#[cfg(target_arch = "x86_64")]
mod winograd;

pub use product::Instructions;
pub use quantization::Quantization;

#[cfg(test)]
mod tests {
    use crate::kernels::tiles;
    use crate::precision::Kernels;

    #[test]
    fn convolutions_with_and_without_amx_are_direct_sums() {
        tiles::run_with(&[Kernels::Amx, Kernels::Portable], "kernels::int8::");
    }
}
