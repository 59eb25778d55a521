//! Distances of vectors, and their nearest neighbors.

use rayon::prelude::*;

/// The `most` nearest other vectors of each vector, in no order.
pub fn nearest(vectors: &[f32], len: usize, most: usize) -> Vec<Vec<usize>> {
    let count = vectors.len() / len;
    let own = |at: usize| {
        let mut order: Vec<(f32, usize)> = distances(vectors, len, at).into_iter().zip(0..count).collect();
        order.swap_remove(at);
        let most = most.min(order.len());
        order.select_nth_unstable_by(most - 1, |one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        order.into_iter().take(most).map(|(_, at)| at).collect()
    };
    (0..count).into_par_iter().map(own).collect()
}

/// Squared distances of a vector to all vectors.
pub fn distances(vectors: &[f32], len: usize, at: usize) -> Vec<f32> {
    let own = &vectors[at * len..(at + 1) * len];
    let squared = |other: &[f32]| own.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum();
    vectors.chunks_exact(len).map(squared).collect()
}
