//! Products of bytes with AVX-512 VNNI.

use super::block::{Block, PANEL, ROWS, Sums, VECTOR, VECTORS, WORD, rows};
use std::arch::x86_64::{
    __m256i, __m512i, _mm_cvtsi32_si128, _mm512_add_epi16, _mm512_add_epi32, _mm512_cvtepu8_epi16, _mm512_dpbusd_epi32,
    _mm512_dpwssd_epi32, _mm512_loadu_si512, _mm512_mullo_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_slli_epi16, _mm512_slli_epi32, _mm512_sra_epi32, _mm512_storeu_si512, _mm512_sub_epi16, _mm512_sub_epi32,
};

/// Whether the processor has the instructions.
pub fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx512bw") && std::arch::is_x86_feature_detected!("avx512vnni")
}

/// See [`super::product::Instructions::multiply`]; with `WIDE`, of pairs of 16-bit values instead of words of bytes, with
/// sums modulo 2³².
///
/// # Panics
/// When the instructions are not available, or a row is not inside of its bytes, or `columns` is too short.
pub fn multiply<const WIDE: bool>(block: &Block<'_>, vectors: usize, columns: &[i8], sums: &mut Sums) {
    assert!(is_available() && block.is_inside(vectors, columns), "the rows of a block are outside of their map");
    // SAFETY: the instructions are available, and all reads are inside of the slices.
    #[allow(unsafe_code)]
    unsafe {
        match vectors {
            1 => multiply_in::<WIDE, ROWS, 1>(block, columns, sums),
            2 => multiply_in::<WIDE, ROWS, 2>(block, columns, sums),
            3 => multiply_in::<WIDE, ROWS, 3>(block, columns, sums),
            _ => multiply_in::<WIDE, { rows(VECTORS) }, VECTORS>(block, columns, sums),
        }
    }
}

/// [`multiply`] with `R` rows and `V` vectors of sums in registers.
///
/// # Safety
/// The processor must have the instructions, and `block.is_inside(V, columns)` must hold.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn multiply_in<const WIDE: bool, const R: usize, const V: usize>(
    block: &Block<'_>,
    columns: &[i8],
    sums: &mut Sums,
) {
    let mut total = [[_mm512_setzero_si512(); V]; R];
    let mut column = columns.as_ptr();
    for run in 0..block.runs {
        let start = run * block.run_stride;
        let mut rows = [block.bytes.as_ptr(); R];
        for (row, first) in rows.iter_mut().zip(block.starts) {
            // SAFETY: runs are inside of the bytes, as the caller guarantees.
            *row = unsafe { row.add(first + start) };
        }
        for word in 0..block.run_words {
            // SAFETY: there are `V` vectors of weights for each word of each run, as the caller guarantees.
            let weights: [_; V] =
                std::array::from_fn(|v| unsafe { _mm512_loadu_si512(column.add(v * VECTOR * WORD).cast()) });
            // SAFETY: as above; at the end, the pointer is one past the last weight.
            column = unsafe { column.add(V * VECTOR * WORD) };
            for (total, row) in total.iter_mut().zip(rows) {
                // SAFETY: the word is inside of its run.
                let bytes = _mm512_set1_epi32(unsafe { row.add(word * WORD).cast::<i32>().read_unaligned() });
                for (total, weights) in total.iter_mut().zip(weights) {
                    *total = if WIDE {
                        _mm512_dpwssd_epi32(*total, bytes, weights)
                    } else {
                        _mm512_dpbusd_epi32(*total, bytes, weights)
                    };
                }
            }
        }
    }
    for (total, sums) in total.into_iter().zip(sums) {
        for (total, sums) in total.into_iter().zip(sums.as_chunks_mut::<VECTOR>().0) {
            // SAFETY: a vector has the length of the chunk.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), total) };
        }
    }
}

/// Transforms 6 × 6 inputs of 32 channels of a tile, `strides` bytes apart by rows and columns, to 36 values for each
/// channel, `plane` values apart.
///
/// # Panics
/// When a slice is too short, or the instructions are not available.
pub fn transform_input(bytes: &[u8], strides: [usize; 2], values: &mut [i16], plane: usize) {
    assert!(is_available() && bytes.len() >= 5 * strides[0] + 5 * strides[1] + 32 && values.len() >= 35 * plane + 32);
    // SAFETY: the instructions are available; the inputs and outputs are inside of the slices.
    #[allow(unsafe_code)]
    unsafe {
        transform_input_in(bytes.as_ptr(), strides, values.as_mut_ptr(), plane);
    }
}

/// See [`transform_input`].
///
/// # Safety
/// The processor must have the instructions, and the slices must be long enough.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn transform_input_in(bytes: *const u8, strides: [usize; 2], values: *mut i16, plane: usize) {
    let mut half = [[_mm512_setzero_si512(); 6]; 6];
    for (column, half) in half.iter_mut().enumerate() {
        let mut inputs = [_mm512_setzero_si512(); 6];
        for (row, input) in inputs.iter_mut().enumerate() {
            // SAFETY: as the caller guarantees.
            let bytes = unsafe { bytes.add(row * strides[0] + column * strides[1]).cast::<__m256i>().read_unaligned() };
            *input = _mm512_cvtepu8_epi16(bytes);
        }
        *half = transform_inputs(inputs);
    }
    let [a, b, c, d, e, f] = half;
    for row in 0..6 {
        let outputs = transform_inputs([a[row], b[row], c[row], d[row], e[row], f[row]]);
        for (column, output) in outputs.into_iter().enumerate() {
            // SAFETY: as the caller guarantees.
            unsafe { values.add((row * 6 + column) * plane).cast::<__m512i>().write_unaligned(output) };
        }
    }
}

/// The transform of six inputs along an axis.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transform_inputs([a, b, c, d, e, f]: [__m512i; 6]) -> [__m512i; 6] {
    let [a4, b4, c4, d4] =
        [_mm512_slli_epi16::<2>(a), _mm512_slli_epi16::<2>(b), _mm512_slli_epi16::<2>(c), _mm512_slli_epi16::<2>(d)];
    let (far, near) = (_mm512_sub_epi16(d, b4), _mm512_sub_epi16(e, c4));
    let (odd, even) = (_mm512_slli_epi16::<1>(_mm512_sub_epi16(d, b)), _mm512_sub_epi16(e, c));
    [
        // 4a − 5c + e, and 4b − 5d + f.
        _mm512_add_epi16(_mm512_sub_epi16(a4, _mm512_add_epi16(c4, c)), e),
        _mm512_add_epi16(near, far),
        _mm512_sub_epi16(near, far),
        _mm512_add_epi16(even, odd),
        _mm512_sub_epi16(even, odd),
        _mm512_add_epi16(_mm512_sub_epi16(b4, _mm512_add_epi16(d4, d)), f),
    ]
}

/// The inverse of 9 modulo 2³².
const INVERSE: i32 = 954_437_177;

/// Transforms 36 products of a tile, `stride` panels apart, to 4 × 4 sums for each column of some vectors.
///
/// # Panics
/// When a slice is too short, or the instructions are not available.
pub fn transform_output(products: &[[i32; PANEL]], stride: usize, vectors: usize, sums: &mut [Sums; 4]) {
    assert!(is_available() && products.len() > 35 * stride && vectors <= VECTORS);
    for vector in 0..vectors {
        // SAFETY: the instructions are available; `vector` is one of a panel, and there are 36 products.
        #[allow(unsafe_code)]
        unsafe {
            transform_output_in(products, stride, vector, sums);
        }
    }
}

/// See [`transform_output`].
///
/// # Safety
/// The processor must have the instructions, `products` must have more than `35 · stride` panels, and `vector` must be
/// below [`VECTORS`].
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn transform_output_in(products: &[[i32; PANEL]], stride: usize, vector: usize, sums: &mut [Sums; 4]) {
    let mut half = [[_mm512_setzero_si512(); 4]; 6];
    for (column, half) in half.iter_mut().enumerate() {
        let mut inputs = [_mm512_setzero_si512(); 6];
        for (row, input) in inputs.iter_mut().enumerate() {
            // SAFETY: as the caller guarantees.
            *input = unsafe {
                let panel = products.as_ptr().add((row * 6 + column) * stride).cast::<i32>();
                panel.add(vector * VECTOR).cast::<__m512i>().read_unaligned()
            };
        }
        *half = transform_outputs(inputs);
    }
    let [a, b, c, d, e, f] = half;
    let inverse = _mm512_set1_epi32(INVERSE);
    for (row, sums) in sums.iter_mut().enumerate() {
        let outputs = transform_outputs([a[row], b[row], c[row], d[row], e[row], f[row]]);
        for (column, output) in outputs.into_iter().enumerate() {
            let shift = _mm_cvtsi32_si128(SHIFTS[row] + SHIFTS[column]);
            let exact = _mm512_sra_epi32(_mm512_mullo_epi32(output, inverse), shift);
            // SAFETY: a row of sums has the vectors of a panel.
            unsafe { sums[column].as_mut_ptr().add(vector * VECTOR).cast::<__m512i>().write_unaligned(exact) };
        }
    }
}

/// The scale of outputs along an axis is 3 times 2 to the power of these.
const SHIFTS: [i32; 4] = [3, 2, 1, 1];

/// The transform of six products along an axis.
#[inline]
#[target_feature(enable = "avx512f")]
fn transform_outputs([a, b, c, d, e, f]: [__m512i; 6]) -> [__m512i; 4] {
    let (near, odd) = (_mm512_add_epi32(b, c), _mm512_sub_epi32(b, c));
    let (far, wide) = (_mm512_add_epi32(d, e), _mm512_sub_epi32(d, e));
    [
        _mm512_add_epi32(_mm512_add_epi32(a, _mm512_slli_epi32::<2>(near)), far),
        _mm512_add_epi32(_mm512_slli_epi32::<1>(odd), wide),
        _mm512_add_epi32(near, far),
        _mm512_add_epi32(_mm512_add_epi32(odd, _mm512_slli_epi32::<1>(wide)), f),
    ]
}
