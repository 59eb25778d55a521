//! t-SNE (van der Maaten, Hinton 2008) with the attraction of nearest neighbors only (van der Maaten 2014) and exact
//! repulsion.
//!
//! For a few thousand points, all pairs are computed as fast as the tree of Barnes and Hut approximates them, and a sum in
//! a fixed order is bit-identical for any number of threads. The first two principal components are the start, which
//! keeps the large structure and needs no random numbers (Kobak, Berens 2019).

use super::neighbors::distances;
use rayon::prelude::*;

/// Effective number of neighbors of a point.
const PERPLEXITY: f32 = 30.0;

/// Steps, and how many of them exaggerate the attraction.
const STEPS: usize = 500;
const EXAGGERATED: usize = 200;
const EXAGGERATION: f32 = 12.0;

/// Standard deviation of the start.
const START: f32 = 1e-4;

/// Points that are computed together.
const LANES: usize = 8;

/// A coordinate whose square is finite, and whose similarity to any point is 0 once it is squared.
const FAR: f32 = 1e18;

/// The attraction of a point to its neighbors.
struct Attraction {
    neighbors: Vec<(usize, f32)>,
}

/// Points for `vectors`, `[N, len]`, from the points of `start`. `progress` is called with the number of finished steps and
/// of all steps.
pub fn tsne(vectors: &[f32], len: usize, start: &[[f32; 2]], progress: &mut dyn FnMut(usize, usize)) -> Vec<[f32; 2]> {
    let count = start.len();
    let attractions = attractions(vectors, len);
    let rate = (count as f32 / EXAGGERATION / 4.0).max(50.0);
    let mut points = begun(start);
    let mut speed = vec![[0.0f32; 2]; count];
    let mut gains = vec![[1.0f32; 2]; count];
    for step in 0..STEPS {
        let early = step < EXAGGERATED;
        let (exaggeration, momentum) = if early { (EXAGGERATION, 0.5) } else { (1.0, 0.8) };
        let gradient = gradient(&points, &attractions, exaggeration);
        for at in 0..count {
            for axis in 0..2 {
                let (slope, speed, gain) = (gradient[at][axis], &mut speed[at][axis], &mut gains[at][axis]);
                // Delta-bar-delta: faster while the direction is kept.
                *gain = if (slope > 0.0) == (*speed > 0.0) { (*gain * 0.8).max(0.01) } else { *gain + 0.2 };
                *speed = momentum * *speed - rate * *gain * slope;
                points[at][axis] += *speed;
            }
        }
        progress(step + 1, STEPS);
    }
    points
}

/// The start, with a small standard deviation. Equal points would never part, so that they are moved a little.
fn begun(start: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let squares: f64 = start.iter().map(|point| f64::from(point[0]) * f64::from(point[0])).sum();
    let deviation = (squares / start.len() as f64).sqrt() as f32;
    let scale = if deviation > 0.0 { START / deviation } else { 0.0 };
    let apart = |at: usize| {
        let angle = at as f64 * 2.399_963_229_728_653;
        [libm::cos(angle), libm::sin(angle)].map(|value| value as f32 * START * 0.01)
    };
    start.iter().enumerate().map(|(at, point)| [0, 1].map(|axis| point[axis] * scale + apart(at)[axis])).collect()
}

/// Symmetric joint probabilities of neighbors, whose sum is 1.
fn attractions(vectors: &[f32], len: usize) -> Vec<Attraction> {
    let count = vectors.len() / len;
    let perplexity = PERPLEXITY.min((count - 1) as f32 / 3.0).max(1.0);
    let most = ((3.0 * perplexity) as usize).clamp(1, count - 1);
    let conditional: Vec<Vec<(usize, f32)>> = (0..count)
        .into_par_iter()
        .map(|at| {
            let mut order: Vec<(f32, usize)> = distances(vectors, len, at).into_iter().zip(0..count).collect();
            order.swap_remove(at);
            order.select_nth_unstable_by(most - 1, |one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
            order.truncate(most);
            order.sort_by_key(|(_, at)| *at);
            let weights = weights(&order.iter().map(|own| own.0).collect::<Vec<_>>(), perplexity);
            order.into_iter().zip(weights).map(|((_, at), weight)| (at, weight)).collect()
        })
        .collect();
    let mut joint: Vec<Vec<(usize, f32)>> = vec![Vec::new(); count];
    for (at, row) in conditional.iter().enumerate() {
        for &(other, weight) in row {
            joint[at].push((other, weight));
            joint[other].push((at, weight));
        }
    }
    let merged = |mut row: Vec<(usize, f32)>| {
        row.sort_by_key(|(at, _)| *at);
        let groups = row.chunk_by(|one, other| one.0 == other.0);
        let sum = |group: &[(usize, f32)]| group.iter().map(|own| own.1).sum::<f32>() / (2 * count) as f32;
        Attraction { neighbors: groups.map(|group| (group[0].0, sum(group))).collect() }
    };
    joint.into_iter().map(merged).collect()
}

/// Weights of squared distances by a Gaussian whose width gives this perplexity; their sum is 1.
fn weights(distances: &[f32], perplexity: f32) -> Vec<f32> {
    let least = distances.iter().copied().fold(f32::INFINITY, f32::min);
    let wanted = libm::log(f64::from(perplexity));
    let (mut low, mut high, mut precision) = (0.0f64, f64::INFINITY, 1.0f64);
    let mut row = Vec::new();
    for _ in 0..64 {
        row = distances.iter().map(|&own| libm::exp(-precision * f64::from(own - least))).collect();
        let sum: f64 = row.iter().sum();
        let mean: f64 =
            row.iter().zip(distances).map(|(weight, &own)| weight * f64::from(own - least)).sum::<f64>() / sum;
        let entropy = libm::log(sum) + precision * mean;
        row.iter_mut().for_each(|weight| *weight /= sum);
        if (entropy - wanted).abs() < 1e-5 {
            break;
        }
        if entropy > wanted {
            low = precision;
            precision = if high.is_finite() { (low + high) / 2.0 } else { precision * 2.0 };
        } else {
            high = precision;
            precision = (low + high) / 2.0;
        }
    }
    row.into_iter().map(|weight| weight as f32).collect()
}

/// The gradient of the Kullback–Leibler divergence of attractions and similarities.
fn gradient(points: &[[f32; 2]], attractions: &[Attraction], exaggeration: f32) -> Vec<[f32; 2]> {
    // Columns, padded with points that are too far away to count.
    let padded = points.len().next_multiple_of(LANES);
    let column = |axis: usize| {
        let own = points.iter().map(|point| point[axis]);
        own.chain(std::iter::repeat(FAR)).take(padded).collect::<Vec<f32>>()
    };
    let (across, down) = (column(0), column(1));
    let repulsions: Vec<[f32; 3]> = points.par_iter().map(|&point| repulsion(&across, &down, point)).collect();
    let sum: f64 = repulsions.iter().map(|own| f64::from(own[2])).sum();
    let scale = (1.0 / sum.max(f64::MIN_POSITIVE)) as f32;
    points
        .par_iter()
        .zip(attractions)
        .zip(&repulsions)
        .map(|((&[x, y], attraction), repulsion)| {
            let (mut right, mut below) = (0.0, 0.0);
            for &(other, weight) in &attraction.neighbors {
                let [dx, dy] = [x - points[other][0], y - points[other][1]];
                let pull = weight / (1.0 + dx * dx + dy * dy);
                right += pull * dx;
                below += pull * dy;
            }
            [4.0 * (exaggeration * right - scale * repulsion[0]), 4.0 * (exaggeration * below - scale * repulsion[1])]
        })
        .collect()
}

/// The repulsion of a point by all others, before its division by the sum of all similarities, and its part of that sum.
fn repulsion(across: &[f32], down: &[f32], [x, y]: [f32; 2]) -> [f32; 3] {
    // Sums in lanes, so that the compiler uses vectors.
    let [mut right, mut below, mut sum] = [[0.0f32; LANES]; 3];
    for (xs, ys) in across.chunks_exact(LANES).zip(down.chunks_exact(LANES)) {
        for lane in 0..LANES {
            let [dx, dy] = [x - xs[lane], y - ys[lane]];
            let near = 1.0 / (1.0 + dx * dx + dy * dy);
            sum[lane] += near;
            right[lane] += near * near * dx;
            below[lane] += near * near * dy;
        }
    }
    let total = |lanes: [f32; LANES]| lanes.iter().sum::<f32>();
    // The point itself has the similarity 1.
    [total(right), total(below), total(sum) - 1.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_perplexity() {
        let distances: Vec<f32> = (1..=60).map(|at| (at * at) as f32 / 40.0).collect();
        let found = weights(&distances, 12.0);
        let entropy: f64 =
            found.iter().filter(|own| **own > 0.0).map(|&own| -f64::from(own) * f64::from(own).ln()).sum();
        assert!((entropy.exp() - 12.0).abs() < 1e-3, "{}", entropy.exp());
        assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    /// Kullback–Leibler divergence of the attractions and the similarities of the points, by definition.
    fn divergence(points: &[[f64; 2]], attractions: &[Attraction]) -> f64 {
        let near =
            |one: [f64; 2], other: [f64; 2]| 1.0 / (1.0 + (one[0] - other[0]).powi(2) + (one[1] - other[1]).powi(2));
        let pairs = points.iter().enumerate().flat_map(|(at, one)| {
            points.iter().enumerate().filter(move |(other, _)| *other != at).map(move |(_, other)| near(*one, *other))
        });
        let sum: f64 = pairs.sum();
        let of = |(at, own): (usize, &Attraction)| {
            let term = |&(other, p): &(usize, f32)| {
                f64::from(p) * (f64::from(p) / (near(points[at], points[other]) / sum)).ln()
            };
            own.neighbors.iter().filter(|own| own.1 > 0.0).map(term).sum::<f64>()
        };
        attractions.iter().enumerate().map(of).sum()
    }

    #[test]
    fn the_gradient_is_that_of_the_divergence() {
        let vectors: Vec<f32> = (0..60).map(|at| ((at * 37 % 23) as f32).sin()).collect();
        let attractions = attractions(&vectors, 3);
        let sum: f32 = attractions.iter().flat_map(|own| &own.neighbors).map(|own| own.1).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        let points: Vec<[f32; 2]> = (0..20).map(|at| [(at as f32 * 1.7).sin(), (at as f32 * 0.9).cos()]).collect();
        let found = gradient(&points, &attractions, 1.0);
        let exact: Vec<[f64; 2]> = points.iter().map(|point| point.map(f64::from)).collect();
        for (at, own) in found.iter().enumerate() {
            for axis in 0..2 {
                let moved = |by: f64| {
                    let mut points = exact.clone();
                    points[at][axis] += by;
                    divergence(&points, &attractions)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((slope - f64::from(own[axis])).abs() < 1e-5, "{slope} {}", own[axis]);
            }
        }
    }
}
