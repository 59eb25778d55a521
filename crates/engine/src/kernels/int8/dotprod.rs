//! Products of bytes with the dot products of 64-bit ARM, four at a time.
//!
//! `sdot` multiplies signed bytes: `Σ xw = Σ (x − 128)w + 128 Σ w`. The sums of the weights are computed along, which
//! costs an instruction for all rows.

use super::block::{Block, Sums, VECTOR, WORD, rows};
use std::arch::aarch64::{
    int8x16_t, int32x4_t, vaddq_s32, vdupq_n_s8, vdupq_n_s32, vld1q_s8, vreinterpretq_s8_s32, vshlq_n_s32, vst1q_s32,
};
use std::arch::asm;

/// Parts of a vector of columns, with a register of four sums each.
const PARTS: usize = 4;

/// Columns of a part.
const COLUMNS: usize = VECTOR / PARTS;

/// Changes the sign of the highest bit of four bytes: subtracts 128 from each.
const SIGNS: u32 = 0x8080_8080;

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// See [`super::product::Instructions::multiply`].
///
/// # Panics
/// When the instructions are not available, or a row is not inside of its bytes, or `columns` is too short.
pub fn multiply(block: &Block<'_>, vectors: usize, columns: &[i8], sums: &mut Sums) {
    assert!(is_available() && block.is_inside(vectors, columns), "the rows of a block are outside of their map");
    // As many rows as fit into 32 registers.
    match rows(vectors) {
        6 => multiply_rows::<3>(block, vectors, columns, sums),
        _ => multiply_rows::<4>(block, vectors, columns, sums),
    }
}

fn multiply_rows<const TOGETHER: usize>(block: &Block<'_>, vectors: usize, columns: &[i8], sums: &mut Sums) {
    let starts = block.starts[..rows(vectors)].as_chunks::<TOGETHER>().0;
    for (starts, sums) in starts.iter().zip(sums.chunks_exact_mut(TOGETHER)) {
        for vector in 0..vectors {
            // SAFETY: the instructions are available, and all reads are inside of the slices.
            #[allow(unsafe_code)]
            let total = unsafe { multiply_vector(block, starts, [vector, vectors], columns) };
            for (sums, total) in sums.iter_mut().zip(&total) {
                sums[vector * VECTOR..][..VECTOR].copy_from_slice(total.as_flattened());
            }
        }
    }
}

/// The sums of some rows with a vector of columns.
///
/// # Safety
/// The processor must have the instructions, `block.is_inside(vectors, columns)` must hold, and the starts must be those
/// of rows.
#[allow(unsafe_code)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn multiply_vector<const TOGETHER: usize>(
    block: &Block<'_>,
    starts: &[usize; TOGETHER],
    [vector, vectors]: [usize; 2],
    columns: &[i8],
) -> [[[i32; COLUMNS]; PARTS]; TOGETHER] {
    let mut total = [[vdupq_n_s32(0); PARTS]; TOGETHER];
    let mut of_weights = [vdupq_n_s32(0); PARTS];
    let ones = vdupq_n_s8(1);
    let mut column = columns.as_ptr().wrapping_add(vector * VECTOR * WORD);
    for run in 0..block.runs {
        for word in 0..block.run_words {
            let at = run * block.run_stride + word * WORD;
            let bytes = starts.map(|start| {
                // SAFETY: runs are inside of the bytes, as the caller guarantees.
                let bytes = unsafe { block.bytes.as_ptr().add(start + at).cast::<u32>().read_unaligned() };
                vreinterpretq_s8_s32(vdupq_n_s32((bytes ^ SIGNS).cast_signed()))
            });
            for part in 0..PARTS {
                // SAFETY: the panel has a vector of weights for each word, as the caller guarantees.
                let weights = unsafe { vld1q_s8(column.add(part * COLUMNS * WORD)) };
                of_weights[part] = dot(of_weights[part], weights, ones);
                for (total, bytes) in total.iter_mut().zip(bytes) {
                    total[part] = dot(total[part], weights, bytes);
                }
            }
            column = column.wrapping_add(vectors * VECTOR * WORD);
        }
    }
    total.map(|row| {
        let mut sums = [[0; COLUMNS]; PARTS];
        for (part, sums) in sums.iter_mut().enumerate() {
            let sum = vaddq_s32(row[part], vshlq_n_s32::<7>(of_weights[part]));
            // SAFETY: a register has the length of the array.
            unsafe { vst1q_s32(sums.as_mut_ptr(), sum) };
        }
        sums
    })
}

/// Adds the four products of each word.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction changes its first operand only.
    #[allow(unsafe_code)]
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
