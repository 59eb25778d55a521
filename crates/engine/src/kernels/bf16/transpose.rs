//! Transposes blocks of 32 × 32 values, for tiles whose rows are channels.

/// Values of a row and of a column.
pub const SIDE: usize = 32;

/// A block by rows.
pub type Block = [[u16; SIDE]; SIDE];

/// Writes the columns of a block as rows: columns 0 to 15 to the first tile, 16 to 31 to the second one.
///
/// # Panics
/// When a tile is shorter than 16 rows.
#[inline(always)]
pub fn transpose(block: &Block, tiles: [&mut [u16]; 2]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = crate::kernels::isa::avx512() {
        return pulp::Simd::vectorize(simd, avx512::Transpose { simd, block, tiles });
    }
    by_values(block, tiles);
}

fn by_values(block: &Block, tiles: [&mut [u16]; 2]) {
    for (tile, to) in tiles.into_iter().enumerate() {
        for (column, to) in to.chunks_exact_mut(SIDE).take(SIDE / 2).enumerate() {
            to.iter_mut().zip(block).for_each(|(to, row)| *to = row[tile * SIDE / 2 + column]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Block, SIDE};
    use pulp::{NullaryFnOnce, cast};
    use std::arch::x86_64::__m512i;

    /// The instructions are methods of the proof that the processor has them.
    pub struct Transpose<'a> {
        pub simd: pulp::x86::V4,
        pub block: &'a Block,
        pub tiles: [&'a mut [u16]; 2],
    }

    impl NullaryFnOnce for Transpose<'_> {
        type Output = ();

        /// Pairs of rows become words, and two blocks of 16 × 16 words are transposed.
        #[inline(always)]
        fn call(self) {
            let Self { simd, block, tiles: [first, second] } = self;
            let (f, bw) = (simd.avx512f, simd.avx512bw);
            let zero = cast([0u32; 16]);
            let (mut low, mut high): ([__m512i; 16], [__m512i; 16]) = ([zero; 16], [zero; 16]);
            for (pair, rows) in block.as_chunks::<2>().0.iter().enumerate() {
                let [even, odd] = rows.map(cast);
                low[pair] = bw._mm512_unpacklo_epi16(even, odd);
                high[pair] = bw._mm512_unpackhi_epi16(even, odd);
            }
            // Unpacking takes 4 of each 8 columns.
            for (words, shift) in [(words(f, low), 0), (words(f, high), 4)] {
                for (i, row) in words.into_iter().enumerate() {
                    let column = i / 4 * 8 + i % 4 + shift;
                    let tile = if column < SIDE / 2 { &mut *first } else { &mut *second };
                    let row: [u16; SIDE] = cast(row);
                    tile[column % (SIDE / 2) * SIDE..][..SIDE].copy_from_slice(&row);
                }
            }
        }
    }

    /// Transposes 16 × 16 words.
    #[inline(always)]
    fn words(f: pulp::core_arch::x86::Avx512f, rows: [__m512i; 16]) -> [__m512i; 16] {
        let mut pairs = rows;
        for i in 0..8 {
            pairs[2 * i] = f._mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = f._mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = pairs;
        for i in 0..4 {
            for j in 0..2 {
                let (a, b) = (pairs[4 * i + j], pairs[4 * i + 2 + j]);
                fours[4 * i + 2 * j] = f._mm512_unpacklo_epi64(a, b);
                fours[4 * i + 2 * j + 1] = f._mm512_unpackhi_epi64(a, b);
            }
        }
        // `fours[4 · i + j]` has, in lane `l`, column `4 · l + j` of rows `4 · i` to `4 · i + 3`.
        let mut columns = fours;
        for j in 0..4 {
            let [a, b, c, d] = std::array::from_fn(|i| fours[4 * i + j]);
            let (ab_even, ab_odd) = (f._mm512_shuffle_i32x4::<0x88>(a, b), f._mm512_shuffle_i32x4::<0xdd>(a, b));
            let (cd_even, cd_odd) = (f._mm512_shuffle_i32x4::<0x88>(c, d), f._mm512_shuffle_i32x4::<0xdd>(c, d));
            columns[j] = f._mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
            columns[8 + j] = f._mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
            columns[4 + j] = f._mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
            columns[12 + j] = f._mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let block: Block = std::array::from_fn(|row| std::array::from_fn(|column| (row * 100 + column) as u16));
        for transpose in [transpose, by_values] {
            let (mut first, mut second) = ([0; SIDE * SIDE / 2], [0; SIDE * SIDE / 2]);
            transpose(&block, [&mut first, &mut second]);
            for (i, value) in first.iter().chain(&second).enumerate() {
                assert_eq!(*value as usize, i % SIDE * 100 + i / SIDE);
            }
        }
    }
}
