//! Maps of images: vectors with many values as points of a plane, by PCA and by t-SNE.
//!
//! Both depend on the vectors only, and are bit-identical for any number of threads.

mod neighbors;
mod pca;
mod tsne;

use neighbors::nearest;
use pca::Components;

/// Principal components that t-SNE starts from, as its authors advise: fewer values per image and less noise.
const COMPONENTS: usize = 30;

/// Neighbors by which a map is compared with the vectors.
const NEIGHBORS: usize = 10;

/// Points of a plane for each vector, by two methods.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Coordinates on the first two principal components.
    pub pca: Vec<[f32; 2]>,
    /// The share of the variance of the vectors that each of them has.
    pub variance: [f64; 2],
    /// Coordinates by t-SNE.
    pub tsne: Vec<[f32; 2]>,
    /// For PCA and t-SNE, how many of the ten nearest vectors of a vector are among its ten nearest points, as a mean
    /// share.
    pub kept: [f64; 2],
}

/// Maps `vectors`, `[N, len]`; `None` for fewer than four, or values that are not finite. `progress` is called with the
/// number of finished steps and of all steps.
#[must_use]
pub fn embed(vectors: &[f32], len: usize, progress: &mut dyn FnMut(usize, usize)) -> Option<Embedding> {
    let count = vectors.len().checked_div(len).filter(|count| *count >= 4)?;
    if !vectors.iter().all(|value| value.is_finite()) {
        return None;
    }
    let Components { scores, variance, dimensions } = pca::components(vectors, len, COMPONENTS);
    let column = |row: &[f32], at: usize| row.get(at).copied().unwrap_or(0.0);
    let pca: Vec<[f32; 2]> = scores.chunks_exact(dimensions).map(|row| [column(row, 0), column(row, 1)]).collect();
    let tsne = tsne::tsne(&scores, dimensions, &pca, progress);
    let near = nearest(vectors, len, NEIGHBORS);
    let kept = [&pca, &tsne].map(|points| {
        let own = nearest(points.as_flattened(), 2, NEIGHBORS);
        let shared = near.iter().zip(&own).map(|(one, other)| one.iter().filter(|at| other.contains(at)).count());
        shared.sum::<usize>() as f64 / (count * NEIGHBORS.min(count - 1)) as f64
    });
    Some(Embedding { pca, variance, tsne, kept })
}

#[cfg(test)]
mod tests {
    use super::*;
    use moue_engine::random::Stream;

    /// Three groups of vectors with noise.
    fn groups(count: usize, len: usize) -> Vec<f32> {
        let mut stream = Stream::new(4);
        let value = |at: usize, noise: f32| f32::from(u8::from(at % len == at / len % 3)) + 0.1 * noise;
        (0..count * len).map(|at| value(at, stream.normal())).collect()
    }

    #[test]
    fn groups_are_separate_on_both_maps() {
        let (count, len) = (150, 12);
        let found = embed(&groups(count, len), len, &mut |_, _| {}).unwrap();
        for points in [&found.pca, &found.tsne] {
            let near = nearest(points.as_flattened(), 2, NEIGHBORS);
            let strangers =
                near.iter().enumerate().flat_map(|(at, near)| near.iter().map(move |other| at % 3 != other % 3));
            assert_eq!(strangers.filter(|strange| *strange).count(), 0);
            assert!(points.as_flattened().iter().all(|value| value.is_finite()));
        }
        let [pca, tsne] = found.kept;
        assert!(pca > 0.1 && tsne > pca && tsne < 1.0, "{pca} {tsne}");
    }

    #[test]
    fn maps_are_bit_identical_for_any_number_of_threads() {
        let vectors = groups(120, 40);
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| embed(&vectors, 40, &mut |_, _| {}).unwrap())
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn few_and_equal_vectors_give_no_error() {
        assert_eq!(embed(&[], 0, &mut |_, _| {}), None);
        assert_eq!(embed(&[1.0; 9], 3, &mut |_, _| {}), None);
        let equal = embed(&[1.0; 40], 4, &mut |_, _| {}).unwrap();
        assert!(equal.tsne.as_flattened().iter().chain(equal.pca.as_flattened()).all(|value| value.is_finite()));
        assert_eq!(equal.variance, [0.0; 2]);
        let one = embed(&[1.0, 2.0, 3.0, 4.0, 9.0], 1, &mut |_, _| {}).unwrap();
        assert!(one.tsne.as_flattened().iter().all(|value| value.is_finite()));
    }
}
