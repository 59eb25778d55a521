//! Sums of products of unsigned and signed bytes.
//!
//! A block is some rows, the windows of output positions, times a panel of up to 64 columns, the filters. Four products
//! at a time are added to a 32-bit sum. No instruction in use saturates: `vpdpbusd` adds four products in 32 bits;
//! AVX2's `vpmaddwd` adds two products of 16-bit values in 32 bits; `vpmaddubsw`, whose sums have 16 bits, is not used.
//! ARM's `sdot` adds four products of signed bytes in 32 bits.

use super::block::{Block, ROWS, Sums, VECTOR, WORD, rows};
use crate::kernels::isa;
use crate::precision::Kernels;
use std::sync::OnceLock;

/// The instructions that multiply bytes. All of them compute equal sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// AMX: products of tiles of bytes. Single blocks are multiplied by VNNI.
    Amx,
    /// AVX-512 VNNI: four products of bytes are added to a 32-bit sum.
    Vnni,
    /// AVX2: two products of 16-bit values at a time.
    Avx2,
    /// 64-bit ARM with dot products: four products of signed bytes are added to a 32-bit sum.
    Dotprod,
    /// Plain loops, compiled for the instruction-set level in use.
    Portable,
}

/// All instructions, the fastest first.
const ALL: [Instructions; 5] =
    [Instructions::Amx, Instructions::Vnni, Instructions::Avx2, Instructions::Dotprod, Instructions::Portable];

impl Instructions {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Vnni => "avx512-vnni",
            Self::Avx2 => "avx2",
            Self::Dotprod => "neon-dotprod",
            Self::Portable => "portable",
        }
    }

    /// All that this machine supports at its instruction-set level in use, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        ALL.into_iter().filter(|instructions| match instructions {
            Self::Amx => Kernels::in_use() == Kernels::Amx && Self::has_vnni(),
            Self::Vnni => Self::has_vnni(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                matches!(isa::Isa::in_use(), isa::Isa::Avx512 | isa::Isa::Avx2) && super::avx2::is_available()
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 => false,
            #[cfg(target_arch = "aarch64")]
            Self::Dotprod => isa::Isa::in_use() == isa::Isa::Neon && super::dotprod::is_available(),
            #[cfg(not(target_arch = "aarch64"))]
            Self::Dotprod => false,
            Self::Portable => true,
        })
    }

    /// Whether predictions are faster with them than in f32.
    #[must_use]
    pub fn are_fast(self) -> bool {
        matches!(self, Self::Amx | Self::Vnni)
    }

    fn has_vnni() -> bool {
        #[cfg(target_arch = "x86_64")]
        return isa::Isa::in_use() == isa::Isa::Avx512 && super::vnni::is_available();
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// The instructions in use: the fastest.
    #[must_use]
    pub fn in_use() -> Self {
        static IN_USE: OnceLock<Instructions> = OnceLock::new();
        *IN_USE.get_or_init(|| Self::available().next().unwrap_or(Self::Portable))
    }

    /// The sums of a block with a panel of `vectors` vectors of columns: words of [`WORD`] weights for each column.
    ///
    /// # Panics
    /// When a row is not inside of its bytes, or `columns` is too short.
    pub(crate) fn multiply(self, block: &Block<'_>, vectors: usize, columns: &[i8], sums: &mut Sums) {
        assert!(block.is_inside(vectors, columns), "the rows of a block are outside of their map");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx | Self::Vnni => super::vnni::multiply::<false>(block, vectors, columns, sums),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::multiply(block, vectors, columns, sums),
            #[cfg(target_arch = "aarch64")]
            Self::Dotprod => super::dotprod::multiply(block, vectors, columns, sums),
            _ => isa::dispatch(
                #[inline(always)]
                || portable(block, vectors, columns, sums),
            ),
        }
    }
}

/// [`Instructions::multiply`] with plain loops.
#[inline(always)]
fn portable(block: &Block<'_>, vectors: usize, columns: &[i8], sums: &mut Sums) {
    let width = vectors * VECTOR * WORD;
    for vector in 0..vectors {
        let mut total = [[0i32; VECTOR]; ROWS];
        let mut words = columns[vector * VECTOR * WORD..].chunks(width);
        for run in 0..block.runs {
            let start = run * block.run_stride;
            for (word, columns) in (0..block.run_words).zip(&mut words) {
                let columns = &columns[..VECTOR * WORD];
                let weights: [[i16; VECTOR]; WORD] =
                    std::array::from_fn(|i| std::array::from_fn(|column| i16::from(columns[column * WORD + i])));
                for (total, row) in total[..rows(vectors)].iter_mut().zip(block.starts) {
                    let bytes = &block.bytes[row + start + word * WORD..][..WORD];
                    for (weights, &byte) in weights.iter().zip(bytes) {
                        let sums = total.iter_mut().zip(weights);
                        sums.for_each(|(sum, &weight)| {
                            *sum = sum.wrapping_add(i32::from(byte).wrapping_mul(i32::from(weight)));
                        });
                    }
                }
            }
        }
        for (sums, total) in sums.iter_mut().zip(&total) {
            sums[vector * VECTOR..][..VECTOR].copy_from_slice(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::{PANEL, VECTORS};
    use super::*;
    use crate::random::Stream;

    #[test]
    fn all_instructions_compute_exact_sums() {
        let mut stream = Stream::new(1);
        for vectors in 1..=VECTORS {
            for (runs, run_words) in [(1, 1), (3, 5), (2, 48)] {
                let run_stride = run_words * WORD + 9;
                // The largest products have sums that 16 bits cannot hold.
                let mut extreme = |byte: bool| -> i32 {
                    let most = if byte { 255 } else { 127 };
                    [most, if byte { 0 } else { -127 }, (stream.between(0.0, most as f32)) as i32][stream.below(3)]
                };
                let bytes: Vec<u8> = (0..runs * run_stride + 200).map(|_| extreme(true) as u8).collect();
                let weights = runs * run_words * WORD * vectors * VECTOR;
                let columns: Vec<i8> = (0..weights).map(|_| extreme(false) as i8).collect();
                let block =
                    Block { bytes: &bytes, starts: std::array::from_fn(|row| row * 23), runs, run_stride, run_words };
                for instructions in Instructions::available() {
                    let mut sums = [[-1; PANEL]; ROWS];
                    instructions.multiply(&block, vectors, &columns, &mut sums);
                    for row in 0..rows(vectors) {
                        for column in 0..vectors * VECTOR {
                            let direct: i64 = (0..runs * run_words * WORD)
                                .map(|i| {
                                    let (run, byte) = (i / (run_words * WORD), i % (run_words * WORD));
                                    let x = bytes[block.starts[row] + run * run_stride + byte];
                                    let w = columns[(i / WORD * vectors * VECTOR + column) * WORD + i % WORD];
                                    i64::from(x) * i64::from(w)
                                })
                                .sum();
                            assert_eq!(i64::from(sums[row][column]), direct, "{instructions:?}");
                        }
                    }
                }
            }
        }
        for instructions in ALL {
            if !Instructions::available().any(|available| available == instructions) {
                eprintln!("SKIPPED for {instructions:?}: this processor or level does not have it");
            }
        }
    }

    #[test]
    #[should_panic(expected = "outside of their map")]
    fn rows_outside_of_their_map_panic() {
        let block = Block { bytes: &[0; 30], starts: [24; ROWS], runs: 1, run_stride: 0, run_words: 2 };
        Instructions::in_use().multiply(&block, 1, &[0; 2 * WORD * VECTOR], &mut [[0; PANEL]; ROWS]);
    }
}
