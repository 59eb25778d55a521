//! The small linear maps of Winograd's convolution (Lavin, Gray 2016), applied to vectors of
//! channels.
//!
//! With `d` a patch of the input, `g` a filter and `Y` a tile of the output, `Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ
//! d B)]A`. Each 2-D map is a 1-D map over the columns followed by one over the rows. `tiles`,
//! `filter` and `gradient` read and write memory.

use pulp::Simd;

/// `F(M × M, 3 × 3)` on patches of `N × N`, `N = M + 2`.
pub trait Transform<const N: usize, const M: usize>: Copy + Send + Sync {
    /// `G`.
    const FILTER: [[f32; 3]; N];
    /// `Bᵀ` of one line.
    fn input<S: Simd>(simd: S, d: [S::f32s; N]) -> [S::f32s; N];
    /// `Aᵀ` of one line.
    fn output<S: Simd>(simd: S, m: [S::f32s; N]) -> [S::f32s; M];
    /// `A` of one line: the transpose of [`Self::output`].
    fn spread<S: Simd>(simd: S, y: [S::f32s; M]) -> [S::f32s; N];
}

/// `F(4 × 4, 3 × 3)` with the points 0, ±1, ±2 and infinity.
#[derive(Clone, Copy)]
pub struct F4;

impl Transform<6, 4> for F4 {
    const FILTER: [[f32; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let (two, four, five) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(5.0));
        let even = simd.negate_mul_add_e_f32s(four, d[2], d[4]);
        let odd = simd.negate_mul_add_e_f32s(four, d[1], d[3]);
        let even_two = simd.sub_f32s(d[4], d[2]);
        let odd_two = simd.sub_f32s(d[3], d[1]);
        [
            simd.mul_add_e_f32s(four, d[0], simd.negate_mul_add_e_f32s(five, d[2], d[4])),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.mul_add_e_f32s(two, odd_two, even_two),
            simd.negate_mul_add_e_f32s(two, odd_two, even_two),
            simd.mul_add_e_f32s(four, d[1], simd.negate_mul_add_e_f32s(five, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
        let (two, four, eight) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(8.0));
        let (sum, difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        let (sum_two, difference_two) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
        [
            simd.add_f32s(simd.add_f32s(m[0], sum), sum_two),
            simd.mul_add_e_f32s(two, difference_two, difference),
            simd.mul_add_e_f32s(four, sum_two, sum),
            simd.add_f32s(simd.mul_add_e_f32s(eight, difference_two, difference), m[5]),
        ]
    }

    #[inline(always)]
    fn spread<S: Simd>(simd: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
        let (two, four, eight) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(8.0));
        let (even, odd) = (simd.add_f32s(y[0], y[2]), simd.add_f32s(y[1], y[3]));
        let even_two = simd.mul_add_e_f32s(four, y[2], y[0]);
        let odd_two = simd.mul_add_e_f32s(eight, y[3], simd.mul_f32s(two, y[1]));
        [
            y[0],
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.add_f32s(even_two, odd_two),
            simd.sub_f32s(even_two, odd_two),
            y[3],
        ]
    }
}

/// `F(2 × 2, 3 × 3)` with the points 0, ±1 and infinity.
#[derive(Clone, Copy)]
pub struct F2;

impl Transform<4, 2> for F2 {
    const FILTER: [[f32; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    fn input<S: Simd>(simd: S, d: [S::f32s; 4]) -> [S::f32s; 4] {
        [simd.sub_f32s(d[0], d[2]), simd.add_f32s(d[1], d[2]), simd.sub_f32s(d[2], d[1]), simd.sub_f32s(d[3], d[1])]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, m: [S::f32s; 4]) -> [S::f32s; 2] {
        [simd.add_f32s(simd.add_f32s(m[0], m[1]), m[2]), simd.add_f32s(simd.sub_f32s(m[1], m[2]), m[3])]
    }

    #[inline(always)]
    fn spread<S: Simd>(simd: S, y: [S::f32s; 2]) -> [S::f32s; 4] {
        [y[0], simd.add_f32s(y[0], y[1]), simd.sub_f32s(y[0], y[1]), y[1]]
    }
}

/// Applies a 1-D map, which must be `#[inline(always)]`, to the columns, then to the rows: `map · x · mapᵀ`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub fn both_ways<V: Copy, const FROM: usize, const TO: usize>(
    x: [[V; FROM]; FROM],
    zero: V,
    map: impl Fn([V; FROM]) -> [V; TO],
) -> [[V; TO]; TO] {
    let mut half = [[zero; FROM]; TO];
    for column in 0..FROM {
        let mut line = [zero; FROM];
        for row in 0..FROM {
            line[row] = x[row][column];
        }
        let line = map(line);
        for row in 0..TO {
            half[row][column] = line[row];
        }
    }
    let mut full = [[zero; TO]; TO];
    for row in 0..TO {
        full[row] = map(half[row]);
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    /// A tile of a 1-D convolution by the transforms, compared with the direct sum.
    fn one_line<F: Transform<N, M>, const N: usize, const M: usize>() {
        let simd = Scalar::new();
        let d: [f32; N] = std::array::from_fn(|i| (i as f32 * 1.7).sin());
        let g = [0.3, -0.8, 0.5];
        let u: [f32; N] = std::array::from_fn(|i| (0..3).map(|j| F::FILTER[i][j] * g[j]).sum());
        let v = F::input(simd, d);
        let y = F::output(simd, std::array::from_fn(|i| u[i] * v[i]));
        for (i, y) in y.iter().enumerate() {
            let direct: f32 = (0..3).map(|j| d[i + j] * g[j]).sum();
            assert!((y - direct).abs() < 1e-5, "{y}, expected {direct}");
        }
        // spread is the transpose of output: ⟨output(m), y⟩ = ⟨m, spread(y)⟩.
        let left: f32 = F::output(simd, d).iter().zip(&y).map(|(a, b)| a * b).sum();
        let right: f32 = d.iter().zip(&F::spread(simd, y)).map(|(a, b)| a * b).sum();
        assert!((left - right).abs() < 1e-4);
    }

    #[test]
    fn the_transforms_compute_a_convolution() {
        one_line::<F4, 6, 4>();
        one_line::<F2, 4, 2>();
    }
}
