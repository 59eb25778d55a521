//! Outliers: images whose features are far from those of all others.
//!
//! Features are projected (Johnson, Lindenstrauss 1984), so that an image needs little memory whatever the network, and
//! normalized to length 1. The distance of an image is the mean distance to its nearest neighbors, relative to the median
//! of all images: features of networks of different folds are not comparable, relative distances are.

use crate::data::Dataset;
use crate::evaluate::features;
use moue::model::Model;
use moue_engine::random::{Stream, key};
use rayon::prelude::*;

/// Values of a projected feature vector.
const DIMENSIONS: usize = 64;

/// Number of nearest neighbors.
const NEIGHBORS: usize = 10;

/// Maximum number of images among which neighbors are searched.
const MOST_REFERENCES: usize = 20_000;

/// From how many robust standard deviations above the median the logarithm of a distance is that of an outlier.
const DEVIATIONS: f64 = 4.0;

/// The standard deviation of a normal distribution, divided by its median absolute deviation.
const MAD: f64 = 1.4826;

/// The relative distance of each image, in the order of `images`; `None` where the network has no features.
#[must_use]
pub fn distances(model: &Model, dataset: &Dataset, images: &[usize], seed: u64) -> Option<Vec<f32>> {
    let mut vectors = Vec::with_capacity(images.len() * DIMENSIONS);
    let mut projection: Option<Vec<f32>> = None;
    let found = features(model, dataset, images, &mut |_, row| {
        let projection = projection.get_or_insert_with(|| signs(row.len(), seed));
        let at = vectors.len();
        vectors.extend((0..DIMENSIONS).map(|column| match row.len() {
            len if len <= DIMENSIONS => row.get(column).copied().unwrap_or(0.0),
            len => row.iter().zip(&projection[column * len..]).map(|(value, sign)| value * sign).sum(),
        }));
        let own = &mut vectors[at..];
        let length = own.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
        own.iter_mut().for_each(|value| *value /= length);
    });
    found.then(|| relative(nearest(&vectors, seed)))
}

/// A random sign for each value and dimension.
fn signs(len: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(key(&[seed, u64::from_le_bytes(*b"project\0")]));
    (0..len * DIMENSIONS).map(|_| if stream.chance(0.5) { 1.0 } else { -1.0 }).collect()
}

/// The mean distance of each vector to its nearest neighbors.
fn nearest(vectors: &[f32], seed: u64) -> Vec<f32> {
    let count = vectors.len() / DIMENSIONS;
    let mut references: Vec<usize> = (0..count).collect();
    if count > MOST_REFERENCES {
        Stream::new(key(&[seed, u64::from_le_bytes(*b"nearest\0")])).shuffle(&mut references);
        references.truncate(MOST_REFERENCES);
    }
    let vector = |at: usize| &vectors[at * DIMENSIONS..(at + 1) * DIMENSIONS];
    let of = |at: usize| {
        let own = vector(at);
        let mut least = [f32::INFINITY; NEIGHBORS];
        for &other in references.iter().filter(|&&other| other != at) {
            let product: f32 = own.iter().zip(vector(other)).map(|(a, b)| a * b).sum();
            let distance = (2.0 - 2.0 * product).max(0.0);
            if distance < least[NEIGHBORS - 1] {
                let place = least.partition_point(|&known| known <= distance);
                least[place..].rotate_right(1);
                least[place] = distance;
            }
        }
        let known: Vec<f32> = least.into_iter().filter(|distance| distance.is_finite()).map(f32::sqrt).collect();
        known.iter().sum::<f32>() / known.len().max(1) as f32
    };
    (0..count).into_par_iter().map(of).collect()
}

/// Distances divided by their median.
fn relative(mut distances: Vec<f32>) -> Vec<f32> {
    let middle = median(distances.iter().map(|&distance| f64::from(distance)).collect()).max(1e-6) as f32;
    distances.iter_mut().for_each(|distance| *distance /= middle);
    distances
}

/// The median; 0 without values.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// For each value, by how many robust standard deviations its logarithm is above the median.
pub(super) fn deviations(values: &[f32]) -> Vec<f64> {
    let logs: Vec<f64> = values.iter().map(|&value| f64::from(value).max(1e-6).ln()).collect();
    let middle = median(logs.clone());
    let spread = (MAD * median(logs.iter().map(|log| (log - middle).abs()).collect())).max(1e-3);
    logs.into_iter().map(|log| (log - middle) / spread).collect()
}

/// Which relative distances are those of outliers.
#[must_use]
pub fn outliers(distances: &[f32]) -> Vec<bool> {
    deviations(distances).into_iter().map(|deviation| deviation > DEVIATIONS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_far_from_the_others_is_an_outlier() {
        let mut stream = Stream::new(5);
        let mut vectors: Vec<f32> = (0..60 * DIMENSIONS)
            .map(|i| if i % DIMENSIONS < 8 { 1.0 + 0.1 * stream.normal() } else { 0.05 * stream.normal() })
            .collect();
        vectors[7 * DIMENSIONS..8 * DIMENSIONS].iter_mut().for_each(|value| *value = 0.0);
        vectors[7 * DIMENSIONS + 40] = 1.0;
        for vector in vectors.chunks_exact_mut(DIMENSIONS) {
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            vector.iter_mut().for_each(|value| *value /= length);
        }
        let found = relative(nearest(&vectors, 1));
        let far: Vec<usize> = outliers(&found).iter().enumerate().filter(|(_, far)| **far).map(|(at, _)| at).collect();
        assert_eq!(far, [7], "{found:?}");
    }

    #[test]
    fn few_images_have_few_neighbors() {
        assert_eq!(nearest(&[0.0; DIMENSIONS], 1), [0.0]);
        assert_eq!(outliers(&[]), Vec::<bool>::new());
    }
}
