//! Principal components by subspace iteration (Halko, Martinsson, Tropp 2011).
//!
//! The covariance matrix is never built: a network with a dense layer on a large map has features of thousands of values.

use moue_engine::random::{Stream, key};
use rayon::prelude::*;

/// Multiplications with the vectors and their transpose.
const ITERATIONS: usize = 12;

/// Directions beyond those that are returned, with which the last of these converge faster.
const BEYOND: usize = 8;

/// Vectors whose products are added together.
const CHUNK: usize = 256;

/// Rotations of Jacobi's method, of all pairs.
const SWEEPS: usize = 30;

/// Vectors in coordinates of their principal components.
pub struct Components {
    /// `[N, dimensions]`, in decreasing order of variance.
    pub scores: Vec<f32>,
    /// The share of the variance that the first two components have.
    pub variance: [f64; 2],
    /// Number of components.
    pub dimensions: usize,
}

/// The first `most` principal components of `vectors`, `[N, len]`.
pub fn components(vectors: &[f32], len: usize, most: usize) -> Components {
    let count = vectors.len() / len;
    let mut mean = vec![0.0f64; len];
    for row in vectors.chunks_exact(len) {
        mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    mean.iter_mut().for_each(|sum| *sum /= count as f64);
    let centered: Vec<f32> =
        vectors.iter().enumerate().map(|(at, &value)| (f64::from(value) - mean[at % len]) as f32).collect();
    let dimensions = most.min(len);
    let width = (most + BEYOND).min(len);
    let mut stream = Stream::new(key(&[u64::from_le_bytes(*b"subspace")]));
    let mut directions: Vec<f64> = (0..width * len).map(|_| f64::from(stream.normal())).collect();
    orthonormal(&mut directions, len);
    for _ in 0..ITERATIONS {
        directions = multiplied(&centered, &directions, len);
        orthonormal(&mut directions, len);
    }
    // The principal components within the subspace.
    let product = multiplied(&centered, &directions, len);
    let dot = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
    let mut matrix: Vec<f64> = Vec::with_capacity(width * width);
    for one in directions.chunks_exact(len) {
        matrix.extend(product.chunks_exact(len).map(|other| dot(one, other)));
    }
    let (values, rotation) = eigen(matrix, width);
    let axes: Vec<f64> = (0..dimensions).flat_map(|axis| combined(&directions, &rotation[axis], len)).collect();
    let score = |row: &[f32], axis: &[f64]| row.iter().zip(axis).map(|(&a, b)| f64::from(a) * b).sum::<f64>() as f32;
    let rows = centered.par_chunks_exact(len);
    let scores = rows.flat_map_iter(|row| axes.chunks_exact(len).map(move |axis| score(row, axis))).collect();
    let all: f64 = centered.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    let share =
        |at: usize| if all > 0.0 { values.get(at).map_or(0.0, |value| (value / all).clamp(0.0, 1.0)) } else { 0.0 };
    Components { scores, variance: [share(0), share(1)], dimensions }
}

/// For each direction `d`, `Xᵀ X d`.
fn multiplied(vectors: &[f32], directions: &[f64], len: usize) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = vectors
        .par_chunks(CHUNK * len)
        .map(|chunk| {
            let mut sums = vec![0.0; directions.len()];
            for row in chunk.chunks_exact(len) {
                for (direction, sum) in directions.chunks_exact(len).zip(sums.chunks_exact_mut(len)) {
                    let score: f64 = row.iter().zip(direction).map(|(&a, b)| f64::from(a) * b).sum();
                    sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += score * f64::from(value));
                }
            }
            sums
        })
        .collect();
    // In the order of the chunks, for any number of threads.
    let mut all = vec![0.0; directions.len()];
    parts.iter().for_each(|part| all.iter_mut().zip(part).for_each(|(sum, value)| *sum += value));
    all
}

/// Orthonormalizes the rows (modified Gram–Schmidt, twice). A row that depends on those before it becomes 0.
fn orthonormal(rows: &mut [f64], len: usize) {
    let dot = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
    for at in 0..rows.len() / len {
        let (before, rest) = rows.split_at_mut(at * len);
        let own = &mut rest[..len];
        let begun = dot(own, own).sqrt();
        for _ in 0..2 {
            for other in before.chunks_exact(len) {
                let share = dot(own, other);
                own.iter_mut().zip(other).for_each(|(value, other)| *value -= share * other);
            }
        }
        let length = dot(own, own).sqrt();
        let scale = if length > begun * 1e-10 && length > 1e-150 { 1.0 / length } else { 0.0 };
        own.iter_mut().for_each(|value| *value *= scale);
    }
}

/// The sum of the rows with these factors, with its largest value positive: the sign of a component is arbitrary.
fn combined(rows: &[f64], factors: &[f64], len: usize) -> Vec<f64> {
    let mut sum = vec![0.0; len];
    for (row, factor) in rows.chunks_exact(len).zip(factors) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
    }
    let largest = sum.iter().copied().fold(0.0, |most: f64, value| if value.abs() > most.abs() { value } else { most });
    if largest < 0.0 {
        sum.iter_mut().for_each(|value| *value = -*value);
    }
    sum
}

/// The eigenvalues of a symmetric matrix in decreasing order, each with its eigenvector (Jacobi's method).
fn eigen(mut matrix: Vec<f64>, size: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|at| (0..size).map(|own| f64::from(u8::from(own == at))).collect()).collect();
    for _ in 0..SWEEPS {
        for one in 0..size {
            for other in one + 1..size {
                let off = matrix[one * size + other];
                if off == 0.0 {
                    continue;
                }
                let theta = (matrix[other * size + other] - matrix[one * size + one]) / (2.0 * off);
                let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for at in 0..size {
                    let (a, b) = (matrix[at * size + one], matrix[at * size + other]);
                    (matrix[at * size + one], matrix[at * size + other]) =
                        (cosine * a - sine * b, sine * a + cosine * b);
                }
                for at in 0..size {
                    let (a, b) = (matrix[one * size + at], matrix[other * size + at]);
                    (matrix[one * size + at], matrix[other * size + at]) =
                        (cosine * a - sine * b, sine * a + cosine * b);
                    let (a, b) = (vectors[one][at], vectors[other][at]);
                    (vectors[one][at], vectors[other][at]) = (cosine * a - sine * b, sine * a + cosine * b);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    let value = |at: usize| matrix[at * size + at];
    order.sort_by(|&one, &other| value(other).total_cmp(&value(one)));
    (order.iter().map(|&at| value(at)).collect(), order.iter().map(|&at| std::mem::take(&mut vectors[at])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_those_of_known_axes() {
        // Deviations 3, 2 and 0.1 along three axes that are not those of the values.
        let axes = [[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]];
        let mut stream = Stream::new(9);
        let count = 500;
        let factors: Vec<[f32; 3]> =
            (0..count).map(|_| [3.0, 2.0, 0.1].map(|deviation| deviation * stream.normal())).collect();
        let value = |row: &[f32; 3], at: usize| 5.0 + (0..3).map(|axis| row[axis] * axes[axis][at]).sum::<f32>();
        let vectors: Vec<f32> = factors.iter().flat_map(|row| [0, 1, 2].map(|at| value(row, at))).collect();
        let found = components(&vectors, 3, 2);
        assert_eq!((found.dimensions, found.scores.len()), (2, 2 * count));
        let [first, second] = found.variance;
        assert!((first - 9.0 / 13.01).abs() < 0.04 && (second - 4.0 / 13.01).abs() < 0.04, "{first} {second}");
        // The scores are the centered factors, up to the rotation that the sample has by chance.
        let correlated =
            (0..count).map(|at| f64::from(found.scores[2 * at] * factors[at][0])).sum::<f64>() / count as f64;
        assert!((correlated - 9.0).abs() < 1.0, "{correlated}");
        let product: f64 = found.scores.chunks_exact(2).map(|row| f64::from(row[0]) * f64::from(row[1])).sum();
        assert!(product.abs() / (count as f64) < 1e-4, "components are not correlated: {product}");
    }

    #[test]
    fn eigenvectors_satisfy_their_equation() {
        let matrix = vec![4.0, 1.0, -2.0, 1.0, 3.0, 0.5, -2.0, 0.5, 1.0];
        let (values, vectors) = eigen(matrix.clone(), 3);
        assert!(values[0] >= values[1] && values[1] >= values[2]);
        for (value, vector) in values.iter().zip(&vectors) {
            for (row, own) in matrix.chunks_exact(3).zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
                assert!((product - value * own).abs() < 1e-12);
            }
        }
    }
}
