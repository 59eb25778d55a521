//! Near-duplicates: images of the same picture, possibly with different pixels.
//!
//! Candidates have similar fingerprints (which of two adjacent cells of a coarse grid is lighter:
//! the difference hash of Krawetz 2013, vertical as well as horizontal); they are then compared by
//! correlation. Mirrored, rotated and differently cropped copies are not found.

use super::dataset::Dataset;
use rayon::prelude::*;

/// Cells of the fingerprint's grid are compared with adjacent cells, so a line has one more cell
/// than bits.
pub(super) const GRID: usize = 9;

/// Maximum Hamming distance of the 128-bit fingerprints of two copies.
const MOST_BITS: u32 = 32;

/// Rows and columns to which candidates are downscaled for comparison.
const SIDE: usize = 24;

/// Minimum correlation of two copies.
const LEAST_CORRELATION: f32 = 0.93;

/// Minimum standard deviation of a picture with content, of 255.
const LEAST_DEVIATION: f32 = 2.0;

/// Pictures are kept with 16 bits a value, in half of the memory; correlations this near to the minimum are computed from
/// the pixels instead.
const SCALE: f32 = 32767.0;
const UNCERTAIN: f32 = 2e-3;

/// Groups of two or more near-duplicates, including exact copies; indices increase within a group
/// and from group to group. Images without content belong to no group.
#[must_use]
pub fn near_duplicates(dataset: &Dataset) -> Vec<Vec<usize>> {
    let prints: Vec<Option<(u128, Box<[i16]>)>> =
        (0..dataset.len()).into_par_iter().map(|index| fingerprint(dataset, index)).collect();
    let marks: Vec<(usize, u128)> =
        prints.iter().enumerate().filter_map(|(i, print)| Some((i, print.as_ref()?.0))).collect();
    let pairs: Vec<(usize, usize)> = (0..marks.len())
        .into_par_iter()
        .flat_map_iter(|at| {
            let (i, mark) = marks[at];
            let prints = &prints;
            let later = marks[at + 1..].iter().filter(move |(_, other)| (mark ^ other).count_ones() <= MOST_BITS);
            later.filter_map(move |&(j, _)| {
                let (one, other) = (&prints[i].as_ref()?.1, &prints[j].as_ref()?.1);
                // Vectors of length 1: neither the sum nor a part of it exceeds the square of the scale.
                let sum: i32 = one.iter().zip(other).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                let mut correlation = sum as f32 / (SCALE * SCALE);
                if (correlation - LEAST_CORRELATION).abs() < UNCERTAIN {
                    let (one, other) = (picture(dataset, i)?, picture(dataset, j)?);
                    correlation = one.iter().zip(&other).map(|(a, b)| a * b).sum();
                }
                (correlation >= LEAST_CORRELATION).then_some((i, j))
            })
        })
        .collect();
    groups(dataset.len(), &pairs)
}

/// Connected components, by union and find.
fn groups(count: usize, pairs: &[(usize, usize)]) -> Vec<Vec<usize>> {
    fn root(parents: &mut [usize], mut at: usize) -> usize {
        while parents[at] != at {
            parents[at] = parents[parents[at]];
            at = parents[at];
        }
        at
    }
    let mut parents: Vec<usize> = (0..count).collect();
    for &(i, j) in pairs {
        let (a, b) = (root(&mut parents, i), root(&mut parents, j));
        parents[a.max(b)] = a.min(b);
    }
    let mut sets = vec![Vec::new(); count];
    for index in 0..count {
        let first = root(&mut parents, index);
        sets[first].push(index);
    }
    sets.into_iter().filter(|set| set.len() > 1).collect()
}

/// The fingerprint, and the downscaled picture times [`SCALE`].
fn fingerprint(dataset: &Dataset, index: usize) -> Option<(u128, Box<[i16]>)> {
    let picture = picture(dataset, index)?.into_iter().map(|value| (value * SCALE).round() as i16).collect();
    let grid = reduced(dataset, index, GRID);
    let mut bits = 0u128;
    for row in 0..GRID - 1 {
        for column in 0..GRID - 1 {
            let here = grid[row * GRID + column];
            let across = grid[row * GRID + column + 1] > here;
            let down = grid[(row + 1) * GRID + column] > here;
            bits = bits << 2 | u128::from(across) << 1 | u128::from(down);
        }
    }
    Some((bits, picture))
}

/// The downscaled picture with mean 0 and length 1; `None` for one without content.
fn picture(dataset: &Dataset, index: usize) -> Option<Vec<f32>> {
    let mut picture = reduced(dataset, index, SIDE);
    let mean = picture.iter().sum::<f32>() / picture.len() as f32;
    picture.iter_mut().for_each(|value| *value -= mean);
    let length = picture.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length < LEAST_DEVIATION * SIDE as f32 {
        return None;
    }
    picture.iter_mut().for_each(|value| *value /= length);
    Some(picture)
}

/// The image's luma as means of `side × side` cells.
pub(super) fn reduced(dataset: &Dataset, index: usize, side: usize) -> Vec<f32> {
    let (image, channels) = (dataset.image(index), dataset.channels);
    let bounds = |cell: usize, extent: usize| {
        let first = cell * extent / side;
        first..((cell + 1) * extent).div_ceil(side).max(first + 1).min(extent.max(first + 1))
    };
    let luma = |row: usize, column: usize| {
        let at = (row * dataset.width + column) * channels;
        image[at..at + channels].iter().map(|&value| f32::from(value)).sum::<f32>() / channels as f32
    };
    let mut cells = Vec::with_capacity(side * side);
    for cell in 0..side * side {
        let (rows, columns) = (bounds(cell / side, dataset.height), bounds(cell % side, dataset.width));
        let count = (rows.len() * columns.len()) as f32;
        cells.push(rows.flat_map(|row| columns.clone().map(move |column| luma(row, column))).sum::<f32>() / count);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, synthetic};

    #[test]
    fn near_duplicates_are_found_and_other_images_are_not() {
        let mut faces = synthetic::dataset(70, ImageSpec { size: None, channels: 1 }, 1);
        assert_eq!(near_duplicates(&faces), Vec::<Vec<usize>>::new());
        let len = faces.image_len();
        // Brighter, noisier, and the same: copies of image 0, of image 1, of image 2.
        for i in 0..len {
            faces.pixels[40 * len + i] = (f32::from(faces.pixels[i]) * 0.8 + 40.0) as u8;
            faces.pixels[41 * len + i] = faces.pixels[len + i].saturating_add((i * 7 % 11) as u8);
            faces.pixels[42 * len + i] = faces.pixels[2 * len + i];
            faces.pixels[43 * len + i] = faces.pixels[2 * len + i];
            faces.pixels[50 * len + i] = 90;
            faces.pixels[51 * len + i] = 90;
        }
        assert_eq!(near_duplicates(&faces), [vec![0, 40], vec![1, 41], vec![2, 42, 43]]);
    }

    #[test]
    fn images_smaller_than_the_grid_are_supported() {
        let faces = synthetic::dataset(14, ImageSpec { size: Some([4, 3]), channels: 3 }, 1);
        let _ = near_duplicates(&faces);
    }
}
