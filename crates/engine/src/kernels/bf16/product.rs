//! The product of a block of 32 rows with a block of 32 columns, summed over steps of 32.
//!
//! A step is what Intel's AMX computes with tiles of 16 rows and 64 bytes (`tdpbf16ps`). For each element of the block:
//! the products of even and of odd index are added up separately by fused multiply-adds, from 0 and in order; the two
//! sums are added, and their sum is added to the element. Subnormal results are 0. Results of the kernels are equal
//! except where a sum is subnormal in between, which AMX replaces by 0 immediately.

use crate::kernels::isa::{self, load, store};
use crate::kernels::tiles::block::{BLOCK, Rows, STEP, Step, Steps};
use crate::precision::Kernels;
use pulp::{Simd, WithSimd};

/// The sums of a block, by rows.
pub type Sums = [f32; BLOCK * BLOCK];

/// Values of f32 in a packed step of `b`.
pub fn step_len(kernels: Kernels) -> usize {
    match kernels {
        // Two tiles of 16 pairs of rows, 16 columns each.
        Kernels::Amx => STEP * BLOCK / 2,
        // For each pair, the even row and then the odd row, as f32.
        Kernels::Portable => STEP * BLOCK,
    }
}

/// Packs two consecutive rows of `b` (`pair` 0 to 15) into a step; the rows have up to 32 columns, further ones are 0.
#[inline(always)]
pub fn pack_pair(kernels: Kernels, step: &mut [f32], pair: usize, rows: [&[u16]; 2]) {
    match kernels {
        Kernels::Amx => {
            let step: &mut [u32] = bytemuck::cast_slice_mut(step);
            let (first, second) = step.split_at_mut(STEP * BLOCK / 4);
            if let [Some(even), Some(odd)] = rows.map(|row| row.first_chunk::<BLOCK>()) {
                let tiles =
                    [first, second].into_iter().zip(even.as_chunks::<16>().0.iter().zip(odd.as_chunks::<16>().0));
                for (to, (even, odd)) in tiles {
                    let to = &mut to[pair * BLOCK / 2..][..BLOCK / 2];
                    for ((to, even), odd) in to.iter_mut().zip(even).zip(odd) {
                        *to = u32::from(*even) | u32::from(*odd) << 16;
                    }
                }
                return;
            }
            for (tile, step) in [first, second].into_iter().enumerate() {
                for (column, to) in step[pair * BLOCK / 2..][..BLOCK / 2].iter_mut().enumerate() {
                    let [even, odd] = rows.map(|row| row.get(tile * BLOCK / 2 + column).copied().unwrap_or(0));
                    *to = u32::from(even) | u32::from(odd) << 16;
                }
            }
        }
        Kernels::Portable => {
            for (row, to) in rows.iter().zip(step[2 * pair * BLOCK..].chunks_exact_mut(BLOCK)) {
                let (values, rest) = to.split_at_mut(row.len());
                values.iter_mut().zip(*row).for_each(|(to, value)| *to = f32::from_bits(u32::from(*value) << 16));
                rest.fill(0.0);
            }
        }
    }
}

/// The kernels in use, ready on this thread. A thread has one value at a time, and does not run other tasks meanwhile.
pub struct Products {
    pub kernels: Kernels,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    tiles: Option<crate::kernels::tiles::amx::Tiles>,
}

impl Products {
    /// # Panics
    /// When this machine does not support the kernels.
    pub fn new(kernels: Kernels) -> Self {
        Self {
            kernels,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            tiles: (kernels == Kernels::Amx).then(crate::kernels::tiles::amx::Tiles::new),
        }
    }

    /// Computes the block of all steps; `b` contains packed steps.
    ///
    /// # Panics
    /// When an operand is shorter than the steps reach.
    pub fn multiply(&self, a: Rows<'_>, steps: &Steps, b: &[f32], sums: &mut Sums) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if let Some(tiles) = &self.tiles {
            return tiles.multiply_bf16(a, steps, b, sums);
        }
        isa::dispatch(Multiply { a, steps: steps.list(), b, sums });
    }
}

struct Multiply<'a> {
    a: Rows<'a>,
    steps: &'a [Step],
    b: &'a [f32],
    sums: &'a mut Sums,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many rows as fit into 32 registers with vectors of 16 values, else into 16.
        if S::F32_LANES == 16 { self.in_rows::<S, 4>(simd) } else { self.in_rows::<S, 2>(simd) }
    }
}

impl Multiply<'_> {
    /// The block, with the sums of `ROWS` rows in registers at a time.
    #[inline(always)]
    fn in_rows<S: Simd, const ROWS: usize>(self, simd: S) {
        let Self { a, steps, b, sums } = self;
        sums.fill(0.0);
        let width = 2 * S::F32_LANES;
        for first in (0..BLOCK).step_by(width) {
            for row in (0..BLOCK).step_by(ROWS) {
                let start = a.tiles[row / 16] + row % 16 * a.stride;
                let rows: [usize; ROWS] = std::array::from_fn(|i| start + i * a.stride);
                for step in steps {
                    let b = &b[step.b * STEP * BLOCK..][..STEP * BLOCK];
                    let a = rows.map(
                        #[inline(always)]
                        |row| &a.words[row + step.a..][..STEP / 2],
                    );
                    let products = tile(simd, a, b, first);
                    for (i, products) in products.into_iter().enumerate() {
                        for (j, [even, odd]) in products.into_iter().enumerate() {
                            let at = (row + i) * BLOCK + first + j * S::F32_LANES;
                            let sum = &mut sums[at..][..S::F32_LANES];
                            let sum_before = load(simd, sum);
                            store(simd, sum, simd.add_f32s(sum_before, simd.add_f32s(even, odd)));
                        }
                    }
                }
            }
        }
        for sum in sums.iter_mut() {
            *sum = if sum.abs() < f32::MIN_POSITIVE { 0.0f32.copysign(*sum) } else { *sum };
        }
    }
}

/// The sums of even and of odd products of one step, for some rows and two vectors of columns.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize>(simd: S, a: [&[u32]; ROWS], b: &[f32], first: usize) -> [[[S::f32s; 2]; 2]; ROWS] {
    let mut sums = [[[simd.splat_f32s(0.0); 2]; 2]; ROWS];
    let (high, sixteen) = (simd.splat_u32s(0xffff_0000), simd.splat_u32s(16));
    for pair in 0..STEP / 2 {
        let b: [[S::f32s; 2]; 2] = std::array::from_fn(
            #[inline(always)]
            |odd| {
                std::array::from_fn(
                    #[inline(always)]
                    |j| load(simd, &b[(2 * pair + odd) * BLOCK + first + j * S::F32_LANES..][..S::F32_LANES]),
                )
            },
        );
        for (sums, a) in sums.iter_mut().zip(a) {
            let values = simd.splat_u32s(a[pair]);
            let even = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(values, sixteen));
            let odd = simd.transmute_f32s_u32s(simd.and_u32s(values, high));
            for (j, [even_sum, odd_sum]) in sums.iter_mut().enumerate() {
                *even_sum = simd.mul_add_f32s(even, b[0][j], *even_sum);
                *odd_sum = simd.mul_add_f32s(odd, b[1][j], *odd_sum);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::element::{Bf16, Element};
    use crate::random::Stream;

    /// A packed `b` and the direct sum, in the order of the module's description.
    fn check(kernels: Kernels, steps: usize, columns: usize, seed: u64) {
        let mut stream = Stream::new(seed);
        let mut draw = |len: usize| -> Vec<u16> { (0..len).map(|_| Bf16::round(stream.normal())).collect() };
        let (stride, gap) = (24, 7);
        let a = draw(2 * (31 * stride + (steps + 1) * gap + 64));
        let b: Vec<Vec<u16>> = (0..steps * STEP).map(|_| draw(columns)).collect();
        let mut packed = vec![0.0; steps * step_len(kernels)];
        for (step, to) in packed.chunks_exact_mut(step_len(kernels)).enumerate() {
            for pair in 0..STEP / 2 {
                let at = step * STEP + 2 * pair;
                pack_pair(kernels, to, pair, [&b[at], &b[at + 1]]);
            }
        }
        // The second tile of rows overlaps the first one, and the steps of b are in reverse order.
        let rows = Rows { words: bytemuck::cast_slice(&a), tiles: [3, 3 + 15 * stride], stride };
        let table = Steps::new((0..steps).map(|i| Step { a: i * gap, b: steps - 1 - i }).collect());
        let mut sums = [f32::NAN; BLOCK * BLOCK];
        Products::new(kernels).multiply(rows, &table, &packed, &mut sums);
        for row in 0..BLOCK {
            for column in 0..BLOCK {
                let mut expected = 0.0f32;
                for step in table.list() {
                    let start = 2 * (rows.tiles[row / 16] + row % 16 * stride + step.a);
                    let product = |k: usize, sum: f32| {
                        let b = b[step.b * STEP + k].get(column).map_or(0.0, |b| b.widen());
                        a[start + k].widen().mul_add(b, sum)
                    };
                    let even = (0..STEP).step_by(2).fold(0.0, |sum, k| product(k, sum));
                    let odd = (1..STEP).step_by(2).fold(0.0, |sum, k| product(k, sum));
                    expected += even + odd;
                }
                assert_eq!(sums[row * BLOCK + column], expected, "{kernels:?}, row {row}, column {column}");
            }
        }
    }

    #[test]
    fn a_block_is_the_sum_in_the_documented_order() {
        for kernels in Kernels::available() {
            for (steps, columns) in [(0, 32), (1, 32), (5, 32), (3, 16), (2, 7)] {
                check(kernels, steps, columns, steps as u64);
            }
        }
        if !Kernels::available().any(|kernels| kernels == Kernels::Amx) {
            eprintln!("SKIPPED for AMX: this processor or system does not support it");
        }
    }

    #[test]
    fn subnormal_results_are_zero() {
        for kernels in Kernels::available() {
            let value = |exponent: i32, sign: f32| Bf16::round(sign * 2f32.powi(exponent));
            let mut row = [0u16; STEP];
            let mut packed = vec![0.0; step_len(kernels)];
            row[0] = value(-70, -1.0);
            let column = [value(-70, 1.0), value(-56, 1.0), value(-57, 1.0)];
            pack_pair(kernels, &mut packed, 0, [&column, &[]]);
            for pair in 1..STEP / 2 {
                pack_pair(kernels, &mut packed, pair, [&[], &[]]);
            }
            let a = [row; 2 * BLOCK].concat();
            let rows = Rows { words: bytemuck::cast_slice(&a), tiles: [0, 16 * 16], stride: 16 };
            let mut sums = [1.0; BLOCK * BLOCK];
            Products::new(kernels).multiply(rows, &Steps::new(vec![Step { a: 0, b: 0 }]), &packed, &mut sums);
            assert_eq!(sums[..4], [0.0, -f32::MIN_POSITIVE, 0.0, 0.0], "{kernels:?}");
        }
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_step_outside_of_an_operand_panics() {
        let rows = Rows { words: &[0; 31 * 16 + 15], tiles: [0, 16 * 16], stride: 16 };
        let b = vec![0.0; step_len(Kernels::Portable)];
        Products::new(Kernels::Portable).multiply(
            rows,
            &Steps::new(vec![Step { a: 0, b: 0 }]),
            &b,
            &mut [0.0; BLOCK * BLOCK],
        );
    }
}
