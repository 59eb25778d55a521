//! Locally assembled binary features (Yan et al. 2008) and boosted classifiers on them, which
//! reject nearly all windows with a few table lookups.

use super::window::{Grey, STEP, WINDOW};

/// Number of features in a group; a window may be rejected after each group.
const GROUP: usize = 10;

/// Minimum standard deviation of a window's pixels; a window with less contrast is rejected.
const LEAST_DEVIATION: f64 = 10.0;

/// Sides of the compared squares, in pixels.
const SQUARE: usize = 3;

/// For each position, one bit for each of the eight surrounding squares: whether it is not brighter
/// than the center.
#[derive(Default)]
pub struct Map {
    width: usize,
    /// `[height, width]`; the last rows and columns are not computed.
    bits: Vec<u8>,
    /// Sums over three columns, and over three rows of those.
    across: Vec<i16>,
    sums: Vec<i16>,
}

impl Map {
    /// Computes the map of a picture that is at least as large as a window.
    pub fn compute(&mut self, Grey { pixels, width, height }: Grey<'_>) {
        self.width = width;
        self.bits.resize(width * height, 0);
        self.across.resize(width * height, 0);
        self.sums.resize(width * height, 0);
        for (row, out) in pixels.chunks_exact(width).zip(self.across.chunks_exact_mut(width)) {
            for ((out, &a), (&b, &c)) in out.iter_mut().zip(row).zip(row[1..].iter().zip(&row[2..])) {
                *out = i16::from(a) + i16::from(b) + i16::from(c);
            }
        }
        let (first, second, third) = (&self.across[..], &self.across[width..], &self.across[2 * width..]);
        for ((out, &a), (&b, &c)) in self.sums.iter_mut().zip(first).zip(second.iter().zip(third)) {
            *out = a + b + c;
        }
        let filled = width + 1 - 3 * SQUARE;
        for (y, out) in self.bits.chunks_exact_mut(width).enumerate().take(height + 1 - 3 * SQUARE) {
            let squares = |row: usize, column: usize| {
                let start = (y + row * SQUARE) * width + column * SQUARE;
                &self.sums[start..start + filled]
            };
            compare(
                &mut out[..filled],
                squares(1, 1),
                [
                    squares(0, 0),
                    squares(0, 1),
                    squares(0, 2),
                    squares(1, 0),
                    squares(1, 2),
                    squares(2, 0),
                    squares(2, 1),
                    squares(2, 2),
                ],
            );
        }
    }
}

/// One bit for each surrounding square, the first one being the highest bit. Computed one after the
/// other, so that each loop is vectorized.
fn compare(out: &mut [u8], middle: &[i16], around: [&[i16]; 8]) {
    out.fill(0);
    for (number, square) in around.into_iter().enumerate() {
        let bit = 0x80_u8 >> number;
        for ((out, &middle), &square) in out.iter_mut().zip(middle).zip(square) {
            *out |= if middle >= square { bit } else { 0 };
        }
    }
}

/// A sum of table entries with early rejection.
pub struct Boosted {
    /// Column and row of each feature in the window.
    pub features: Vec<[usize; 2]>,
    /// Minimum sum after each feature; only used at the end of a group.
    pub least: Vec<f32>,
    /// For each feature, the score of each of the 256 values.
    pub tables: Vec<[f32; 256]>,
}

impl Boosted {
    /// Calls `found` with column, row and score of each accepted window.
    pub fn slide(&self, map: &Map, picture: Grey<'_>, mut keep: impl FnMut(usize, usize, f32)) {
        let places: Vec<usize> = self.features.iter().map(|&[x, y]| y * map.width + x).collect();
        let columns = (picture.width - WINDOW) / STEP + 1;
        let mut scores = vec![0.0_f32; columns];
        let group = GROUP.min(places.len());
        for y in (0..=picture.height - WINDOW).step_by(STEP) {
            let row = &map.bits[y * map.width..];
            // The first group is computed for all windows of a row together: the sums are
            // independent.
            scores.fill(0.0);
            for (&place, table) in places[..group].iter().zip(&self.tables) {
                for (score, &value) in scores.iter_mut().zip(row[place..].iter().step_by(STEP)) {
                    *score += table[usize::from(value)];
                }
            }
            for (column, &score) in scores.iter().enumerate() {
                let x = column * STEP;
                if score < self.least[group - 1] {
                    continue;
                }
                if let Some(score) = self.rest(&row[x..], &places, score).filter(|_| deviates(picture, x, y)) {
                    keep(x, y, score);
                }
            }
        }
    }

    /// The score of a window after all groups, unless a later group rejects it.
    fn rest(&self, window: &[u8], places: &[usize], mut score: f32) -> Option<f32> {
        let mut done = GROUP;
        while done < places.len() {
            let group = done..(done + GROUP).min(places.len());
            for (&place, table) in places[group.clone()].iter().zip(&self.tables[group.clone()]) {
                score += table[usize::from(window[place])];
            }
            done = group.end;
            if score < self.least[done - 1] {
                return None;
            }
        }
        Some(score)
    }
}

fn deviates(picture: Grey<'_>, x: usize, y: usize) -> bool {
    let (mut sum, mut squares) = (0_u32, 0_u32);
    for row in picture.pixels.chunks_exact(picture.width).skip(y).take(WINDOW) {
        for &pixel in &row[x..x + WINDOW] {
            sum += u32::from(pixel);
            squares += u32::from(pixel) * u32::from(pixel);
        }
    }
    let area = (WINDOW * WINDOW) as f64;
    let mean = f64::from(sum) / area;
    (f64::from(squares) / area - mean * mean).sqrt() > LEAST_DEVIATION
}
