//! Products of bytes with AVX2, on 16-bit values.

use super::block::{Block, Sums, VECTOR, WORD, rows};
use std::arch::x86_64::{
    __m128i, _mm_loadu_si128, _mm_set1_epi32, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_cvtepu8_epi16,
    _mm256_madd_epi16, _mm256_setzero_si256, _mm256_storeu_si256,
};

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// Rows that are multiplied together: as many sums as fit into 16 registers.
const TOGETHER: usize = 2;

/// Parts of a vector of columns; each has 16 weights.
const PARTS: usize = VECTOR * WORD / 16;

/// See [`super::product::Instructions::multiply`].
///
/// # Panics
/// When the instructions are not available, or a row is not inside of its bytes, or `columns` is too short.
pub fn multiply(block: &Block<'_>, vectors: usize, columns: &[i8], sums: &mut Sums) {
    assert!(is_available() && block.is_inside(vectors, columns), "the rows of a block are outside of their map");
    for (starts, sums) in block.starts[..rows(vectors)].chunks_exact(TOGETHER).zip(sums.chunks_exact_mut(TOGETHER)) {
        for vector in 0..vectors {
            // SAFETY: the instructions are available, and all reads are inside of the slices.
            #[allow(unsafe_code)]
            let pairs = unsafe { multiply_vector(block, [starts[0], starts[1]], [vector, vectors], columns) };
            for (sums, pairs) in sums.iter_mut().zip(&pairs) {
                let pairs = pairs.as_flattened().chunks_exact(2).map(|pair| pair[0] + pair[1]);
                sums[vector * VECTOR..].iter_mut().zip(pairs).for_each(|(sum, pair)| *sum = pair);
            }
        }
    }
}

/// Two sums for each column of a vector, of some rows: of the first two and of the last two products of each word.
///
/// # Safety
/// The processor must have AVX2, `block.is_inside(vectors, columns)` must hold, and the starts must be those of rows.
#[allow(unsafe_code)]
#[target_feature(enable = "avx2")]
unsafe fn multiply_vector(
    block: &Block<'_>,
    starts: [usize; TOGETHER],
    [vector, vectors]: [usize; 2],
    columns: &[i8],
) -> [[[i32; 8]; PARTS]; TOGETHER] {
    let mut total = [[_mm256_setzero_si256(); PARTS]; TOGETHER];
    // SAFETY: `vector` is below `vectors`.
    let mut column = unsafe { columns.as_ptr().add(vector * VECTOR * WORD) };
    for run in 0..block.runs {
        for word in 0..block.run_words {
            let at = run * block.run_stride + word * WORD;
            let bytes = starts.map(|start| {
                // SAFETY: runs are inside of the bytes, as the caller guarantees.
                let bytes = unsafe { block.bytes.as_ptr().add(start + at).cast::<i32>().read_unaligned() };
                _mm256_cvtepu8_epi16(_mm_set1_epi32(bytes))
            });
            for part in 0..PARTS {
                // SAFETY: the panel has a vector of weights for each word, as the caller guarantees.
                let weights = unsafe { _mm_loadu_si128(column.add(part * 16).cast::<__m128i>()) };
                let weights = _mm256_cvtepi8_epi16(weights);
                for (total, bytes) in total.iter_mut().zip(bytes) {
                    total[part] = _mm256_add_epi32(total[part], _mm256_madd_epi16(bytes, weights));
                }
            }
            column = column.wrapping_add(vectors * VECTOR * WORD);
        }
    }
    total.map(|row| {
        row.map(|part| {
            let mut sums = [0; 8];
            // SAFETY: a vector has the length of the array.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), part) };
            sums
        })
    })
}
