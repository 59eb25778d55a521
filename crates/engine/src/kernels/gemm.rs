//! Matrix multiplication, `c = a · b`, single-threaded, with `b` packed; callers divide the
//! work among threads.
//!
//! `b` is packed once into panels of [`panel_width`] columns, so that the inner loop reads it
//! front to back; `a` is read in place, through two strides. The inner loop keeps a tile of `c`
//! in registers and multiplies one broadcast element of `a` by a row of a panel (the register
//! blocking of Goto and van de Geijn 2008). The sum over `k` is cut into blocks of [`BLOCK`],
//! each summed front to back and added to `c` in order: the result is bit-identical however
//! rows and columns are divided.

use super::isa;
use pulp::{Simd, WithSimd};

/// Rows of `b` that are summed at a time: a panel of them fits into the first level of the cache.
pub const BLOCK: usize = 256;

/// Maximum rows of a tile, for 32 registers.
const TILE_ROWS: usize = 12;

/// Rows of a tile in WebAssembly: engines map its vectors to the registers of the processor, 16 on
/// x86-64, and a product needs a register of its own before it is added.
const TILE_ROWS_WASM: usize = 4;

/// Values of a packed matrix that are requested ahead of their use. With few rows, as for a single image, a product is as
/// fast as its weights are read, and processors request too little on their own.
const AHEAD: usize = 1024;

/// Columns are padded to this, a multiple of every vector length.
pub const LANES: usize = 16;

/// Columns in a panel: two vectors.
pub fn panel_width() -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            2 * S::F32_LANES
        }
    }
    isa::dispatch(Width)
}

/// Values in a packed `[k, n]` matrix.
pub fn packed_len(k: usize, n: usize) -> usize {
    k * n.next_multiple_of(panel_width())
}

/// The layout of a matrix: `data[row · row_stride + column · column_stride]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Contiguous rows of `width` values.
    pub fn rows(data: &'a [f32], width: usize) -> Self {
        Self { data, row_stride: width, column_stride: 1 }
    }

    /// The transpose of rows of `width` values.
    pub fn transposed(data: &'a [f32], width: usize) -> Self {
        Self { data, row_stride: 1, column_stride: width }
    }

    /// The same values with rows and columns exchanged.
    pub fn transpose(self) -> Self {
        Self { data: self.data, row_stride: self.column_stride, column_stride: self.row_stride }
    }

    fn covers(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.data.len()
    }
}

/// Packs `b` `[k, n]` into panels; the last one is padded with zeros.
pub fn pack(b: Matrix<'_>, k: usize, n: usize, packed: &mut [f32]) {
    assert!(b.covers(k, n) && packed.len() >= packed_len(k, n), "a matrix is shorter than its shape");
    let width = panel_width();
    for (panel, packed) in packed[..packed_len(k, n)].chunks_exact_mut(k.max(1) * width).enumerate() {
        let first = panel * width;
        let count = width.min(n - first);
        for (row, to) in packed.chunks_exact_mut(width).enumerate() {
            let from = row * b.row_stride + first * b.column_stride;
            if b.column_stride == 1 {
                to[..count].copy_from_slice(&b.data[from..from + count]);
            } else {
                for (i, to) in to[..count].iter_mut().enumerate() {
                    *to = b.data[from + i * b.column_stride];
                }
            }
            to[count..].fill(0.0);
        }
    }
}

/// The destination: rows `row_stride` apart, of which each holds `n` values.
#[derive(Clone, Copy)]
pub struct Destination {
    pub data: *mut f32,
    pub row_stride: usize,
}

/// `c = a · b`, or `c += a · b`, for `a` `[m, k]` and a packed `b` `[k, n]`.
///
/// # Safety
/// `c` must be valid for writes of `m` rows of `n` values, and, with `accumulate`, for reads, and
/// must not be accessed by other tasks during the call.
#[allow(unsafe_code)]
pub unsafe fn gemm_raw(c: Destination, a: Matrix<'_>, b: &[f32], m: usize, k: usize, n: usize, accumulate: bool) {
    assert!(a.covers(m, k) && b.len() >= packed_len(k, n), "a matrix is shorter than its shape");
    isa::dispatch(Driver { c, a, b, m, k, n, accumulate });
}

/// `c = a · b`, or `c += a · b`: `c` `[m, n]`, `a` `[m, k]`, packed `b` `[k, n]`.
#[allow(unsafe_code)]
pub fn gemm(c: &mut [f32], a: Matrix<'_>, b: &[f32], m: usize, k: usize, n: usize, accumulate: bool) {
    assert!(c.len() >= m * n, "the destination is shorter than its shape");
    let c = Destination { data: c.as_mut_ptr(), row_stride: n };
    // SAFETY: `c` is borrowed exclusively and holds m rows of n values.
    unsafe { gemm_raw(c, a, b, m, k, n, accumulate) }
}

struct Driver<'a> {
    c: Destination,
    a: Matrix<'a>,
    b: &'a [f32],
    m: usize,
    k: usize,
    n: usize,
    accumulate: bool,
}

impl WithSimd for Driver<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { c, a, b, m, k, n, accumulate } = self;
        if k == 0 && !accumulate {
            for row in 0..m {
                // SAFETY: the caller of `gemm_raw` guarantees m rows of n values.
                #[allow(unsafe_code)]
                unsafe {
                    std::slice::from_raw_parts_mut(c.data.add(row * c.row_stride), n).fill(0.0);
                }
            }
        }
        let width = 2 * S::F32_LANES;
        let step = match S::REGISTER_COUNT {
            _ if cfg!(target_arch = "wasm32") => TILE_ROWS_WASM,
            32.. => TILE_ROWS,
            _ => TILE_ROWS / 2,
        };
        for first_k in (0..k).step_by(BLOCK) {
            let depth = BLOCK.min(k - first_k);
            for panel in 0..n.div_ceil(width) {
                let columns = width.min(n - panel * width);
                let b = &b[(panel * k + first_k) * width..][..depth * width];
                for row in (0..m).step_by(step) {
                    let tile = Tile {
                        depth,
                        a: &a.data[row * a.row_stride + first_k * a.column_stride..],
                        row_stride: a.row_stride,
                        k_stride: a.column_stride,
                        b,
                        // SAFETY: row < m and the panel's first column is below n.
                        #[allow(unsafe_code)]
                        c: unsafe { c.data.add(row * c.row_stride + panel * width) },
                        c_stride: c.row_stride,
                        accumulate: accumulate || first_k > 0,
                    };
                    // SAFETY: the tile's rows are below m, its columns below n, and `covers` has
                    // checked that a contains every element that is read.
                    #[allow(unsafe_code)]
                    unsafe {
                        tile.run_rows(simd, step.min(m - row), columns);
                    }
                }
            }
        }
    }
}

/// One tile of `c`, `columns` of at most two vectors.
struct Tile<'a> {
    depth: usize,
    a: &'a [f32],
    row_stride: usize,
    k_stride: usize,
    b: &'a [f32],
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
}

impl Tile<'_> {
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn run_rows<S: Simd>(self, simd: S, rows: usize, columns: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            match rows {
                1 => self.run_columns::<S, 1>(simd, columns),
                2 => self.run_columns::<S, 2>(simd, columns),
                3 => self.run_columns::<S, 3>(simd, columns),
                4 => self.run_columns::<S, 4>(simd, columns),
                5 => self.run_columns::<S, 5>(simd, columns),
                6 => self.run_columns::<S, 6>(simd, columns),
                7 => self.run_columns::<S, 7>(simd, columns),
                8 => self.run_columns::<S, 8>(simd, columns),
                9 => self.run_columns::<S, 9>(simd, columns),
                10 => self.run_columns::<S, 10>(simd, columns),
                11 => self.run_columns::<S, 11>(simd, columns),
                _ => self.run_columns::<S, 12>(simd, columns),
            }
        }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn run_columns<S: Simd, const ROWS: usize>(self, simd: S, columns: usize) {
        let lanes = S::F32_LANES;
        // SAFETY: guaranteed by the caller.
        unsafe {
            if columns > lanes {
                let sums = self.sums::<S, ROWS, 2>(simd);
                self.store(simd, &sums, columns);
            } else {
                let sums = self.sums::<S, ROWS, 1>(simd);
                self.store(simd, &sums, columns);
            }
        }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn sums<S: Simd, const ROWS: usize, const VECTORS: usize>(&self, simd: S) -> [[S::f32s; VECTORS]; ROWS] {
        let lanes = S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        let (mut a, mut b) = (self.a.as_ptr(), self.b.as_ptr());
        // Offsets of rows 1 and 2 from every third row: few enough to stay in registers.
        let (one, two) = (self.row_stride, 2 * self.row_stride);
        for _ in 0..self.depth {
            // SAFETY: the caller has checked that a holds ROWS × depth elements at
            // these strides, and b holds depth rows of two vectors.
            unsafe {
                prefetch::<VECTORS>(b.wrapping_add(AHEAD), lanes);
                let mut row = [simd.splat_f32s(0.0); VECTORS];
                for (v, row) in row.iter_mut().enumerate() {
                    *row = b.add(v * lanes).cast::<S::f32s>().read_unaligned();
                }
                let mut third = a;
                for (r, sums) in sums.iter_mut().enumerate() {
                    let at = match r % 3 {
                        0 => third,
                        1 => third.add(one),
                        _ => third.add(two),
                    };
                    let factor = simd.splat_f32s(*at);
                    for (sum, row) in sums.iter_mut().zip(&row) {
                        *sum = simd.mul_add_e_f32s(factor, *row, *sum);
                    }
                    if r % 3 == 2 {
                        third = third.wrapping_add(one + two);
                    }
                }
                a = a.wrapping_add(self.k_stride);
                b = b.add(2 * lanes);
            }
        }
        sums
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn store<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        sums: &[[S::f32s; VECTORS]; ROWS],
        columns: usize,
    ) {
        let lanes = S::F32_LANES;
        for (r, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                // SAFETY: the destination holds `columns` values in each of ROWS rows.
                let place = unsafe {
                    let place = self.c.add(r * self.c_stride + v * lanes);
                    std::slice::from_raw_parts_mut(place, lanes.min(columns - v * lanes))
                };
                let sum = if self.accumulate { simd.add_f32s(isa::load(simd, place), sum) } else { sum };
                isa::store(simd, place, sum);
            }
        }
    }
}

/// Requests vectors, which may be outside of the matrix.
#[inline(always)]
fn prefetch<const VECTORS: usize>(at: *const f32, lanes: usize) {
    #[cfg(target_arch = "x86_64")]
    for v in 0..VECTORS {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: requesting an address has no effect that a program sees, whatever the address.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(v * lanes).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, lanes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use proptest::prelude::*;

    fn values(n: usize, key: u64) -> Vec<f32> {
        let mut stream = Stream::new(key);
        (0..n).map(|_| stream.between(-1.0, 1.0)).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_a_direct_f64_sum(
            m in 1usize..40, k in 0usize..600, n in 1usize..70,
            transpose_a: bool, transpose_b: bool, accumulate: bool, key: u64,
        ) {
            let (a, b, before) = (values(m * k, key), values(k * n, key ^ 1), values(m * n, key ^ 2));
            let mut c = before.clone();
            let left = if transpose_a { Matrix::transposed(&a, m) } else { Matrix::rows(&a, k) };
            let right = if transpose_b { Matrix::transposed(&b, k) } else { Matrix::rows(&b, n) };
            let mut packed = vec![f32::NAN; packed_len(k, n)];
            pack(right, k, n, &mut packed);
            gemm(&mut c, left, &packed, m, k, n, accumulate);
            for r in 0..m {
                for j in 0..n {
                    let mut sum = if accumulate { f64::from(before[r * n + j]) } else { 0.0 };
                    for i in 0..k {
                        let x = if transpose_a { a[i * m + r] } else { a[r * k + i] };
                        let y = if transpose_b { b[j * k + i] } else { b[i * n + j] };
                        sum += f64::from(x) * f64::from(y);
                    }
                    prop_assert!((f64::from(c[r * n + j]) - sum).abs() < 1e-5 * (1.0 + k as f64).sqrt());
                }
            }
        }
    }
}
