//! Matrix products on the calling thread.
//!
//! The driver is the `gemm` crate's: it picks the instruction set and packs by
//! itself. Callers cut the work into fixed chunks, so the bits do not depend on
//! the number of threads.
#![allow(unsafe_code)]

use gemm_common::Parallelism;

/// A read-only matrix inside a slice: element `(r, c)` lies at
/// `r * row_stride + c * column_stride`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major, `columns` wide.
    pub fn rows(data: &'a [f32], columns: usize) -> Self {
        Self { data, row_stride: columns, column_stride: 1 }
    }

    /// The transpose of a row-major matrix that is `columns` wide.
    pub fn transposed(data: &'a [f32], columns: usize) -> Self {
        Self { data, row_stride: 1, column_stride: columns }
    }

    fn covers(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.data.len()
    }
}

/// `c = a · b`, or `c += a · b`, with `a` `[m, k]`, `b` `[k, n]` and `c`
/// row-major `[m, n]`.
///
/// # Panics
/// When a slice is too short for its matrix.
pub fn gemm(c: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, m: usize, k: usize, n: usize, accumulate: bool) {
    assert!(c.len() >= m * n && a.covers(m, k) && b.covers(k, n), "a matrix is shorter than its shape");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            c[..m * n].fill(0.0);
        }
        return;
    }
    let run = gemm_f32::gemm::f32::get_gemm_fn();
    // The driver wants its destination column-major: compute cᵀ = bᵀ · aᵀ.
    // SAFETY: the assertion above keeps every address that the driver touches
    // inside the three slices; `c` is borrowed exclusively; the driver reads `c`
    // only when `accumulate` is set, and it is initialised.
    unsafe {
        run(
            n,
            m,
            k,
            c.as_mut_ptr(),
            n as isize,
            1,
            accumulate,
            b.data.as_ptr(),
            b.row_stride as isize,
            b.column_stride as isize,
            a.data.as_ptr(),
            a.row_stride as isize,
            a.column_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The instruction set that the driver chooses here.
pub fn isa() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if std::arch::is_x86_feature_detected!("fma") {
            return "avx2";
        }
    }
    if cfg!(target_arch = "aarch64") { "neon" } else { "scalar" }
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
            m in 1usize..40, k in 0usize..70, n in 1usize..40,
            transpose_a: bool, transpose_b: bool, accumulate: bool, key: u64,
        ) {
            let (a, b, before) = (values(m * k, key), values(k * n, key ^ 1), values(m * n, key ^ 2));
            let mut c = before.clone();
            let left = if transpose_a { Matrix::transposed(&a, m) } else { Matrix::rows(&a, k) };
            let right = if transpose_b { Matrix::transposed(&b, k) } else { Matrix::rows(&b, n) };
            gemm(&mut c, left, right, m, k, n, accumulate);
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
