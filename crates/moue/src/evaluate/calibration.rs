//! Scores that mean what they say: logits are scaled by a temperature (Guo et
//! al. 2017) and, where it pays, shifted by a bias for each class.
//!
//! What pays is found by cross-fitting: each fifth of the images is answered
//! with what was fitted on the other four. What is kept is fitted on all.

use super::metrics::{Figures, figures};
use super::{Answers, most_confident_first};
use crate::model::{Calibration, Model};
use moue_engine::loss::argmax;
use moue_engine::random::key;
use serde::Serialize;

const FOLDS: u64 = 5;

/// Share of right answers wanted among those that are not called uncertain.
const KEPT_ACCURACY: f64 = 0.8;

/// At least this share of the answers is not called uncertain.
const LEAST_COVERAGE: f64 = 0.5;

/// A bias for each class must lower the NLL by this share to be worth having.
const WORTH: f64 = 0.005;

/// Strength of the pull towards changing nothing, in images.
const PULL: f64 = 1.0;

/// `scale · logit + bias`, for each class.
#[derive(Clone, Debug, PartialEq)]
struct Fit {
    scale: f64,
    bias: Vec<f64>,
}

/// How well calibrated answers are, each judged by a fit that has not seen it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossFitted {
    /// Mean negative logarithm of the true class's probability.
    pub nll: f64,
    /// Expected calibration error over 15 bins.
    pub ece: f64,
    /// Whether there is a bias for each class.
    pub bias: bool,
    /// The answers, `[N, classes]`.
    #[serde(skip)]
    pub probabilities: Vec<f32>,
}

/// The answers at a confidence or above it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Kept {
    /// The lowest confidence among them.
    pub confidence: f32,
    /// Their share of all answers.
    pub coverage: f64,
    /// Share of them that are right.
    pub accuracy: f64,
}

/// Fits the model's calibration on these answers of its own, and the confidence
/// below which it calls its answers uncertain.
pub fn calibrate(model: &mut Model, answers: &Answers) {
    let classes = model.classes.len();
    if answers.labels.is_empty() {
        return;
    }
    let found = cross_fit(&model.classes, &answers.labels, &answers.probabilities);
    let logits = logits(&answers.probabilities);
    let fit = fit(&logits, &answers.labels, classes, &|_| true, found.bias);
    // The answers are calibrated already, if only by a temperature of 1.
    let before = model.calibration.bias.take().unwrap_or_else(|| vec![0.0; classes]);
    let bias: Vec<f32> =
        fit.bias.iter().zip(&before).map(|(b, before)| (fit.scale * f64::from(*before) + b) as f32).collect();
    model.calibration = Calibration {
        temperature: (f64::from(model.calibration.temperature) / fit.scale) as f32,
        bias: bias.iter().any(|&b| b != 0.0).then_some(bias),
    };
    model.uncertain_below = threshold(&risk_coverage(&answers.labels, &found.probabilities, classes));
}

/// Calibrates answers by cross-fitting, with a bias where that lowers the NLL.
#[must_use]
pub fn cross_fit(classes: &[String], labels: &[u32], probabilities: &[f32]) -> CrossFitted {
    let logits = logits(probabilities);
    let found = |bias: bool| {
        let probabilities = cross_fitted(&logits, labels, classes.len(), bias);
        let Figures { nll, ece, .. } = figures(classes, labels, &probabilities);
        CrossFitted { nll, ece, bias, probabilities }
    };
    let (plain, biased) = (found(false), found(true));
    if biased.nll < plain.nll * (1.0 - WORTH) { biased } else { plain }
}

/// Coverage and accuracy at each confidence, from the highest on: what is right
/// among the answers that one keeps (the risk–coverage curve, El-Yaniv and
/// Wiener 2010, with accuracy for one minus risk).
#[must_use]
pub fn risk_coverage(labels: &[u32], probabilities: &[f32], classes: usize) -> Vec<Kept> {
    let mut right = 0;
    let order = most_confident_first(probabilities, classes);
    let total = order.len() as f64;
    let mut curve: Vec<Kept> = Vec::new();
    for (count, (index, confidence)) in order.into_iter().enumerate() {
        let row = &probabilities[index * classes..(index + 1) * classes];
        right += usize::from(argmax(row) == labels[index] as usize);
        let count = (count + 1) as f64;
        let kept = Kept { confidence, coverage: count / total, accuracy: f64::from(right as u32) / count };
        // Equal confidences are kept together or not at all.
        match curve.last_mut().filter(|last| last.confidence == confidence) {
            Some(last) => *last = kept,
            None => curve.push(kept),
        }
    }
    curve
}

/// The confidence from which answers count as certain: as many as possible, so
/// that four in five of them are right, and at least half of all. In whole
/// percent; 0 where nothing needs to be called uncertain.
fn threshold(curve: &[Kept]) -> f32 {
    let enough = curve.iter().rposition(|kept| kept.accuracy >= KEPT_ACCURACY);
    let half = curve.iter().position(|kept| kept.coverage >= LEAST_COVERAGE);
    match enough.max(half) {
        Some(last) if last + 1 < curve.len() => (curve[last].confidence * 100.0).floor() / 100.0,
        _ => 0.0,
    }
}

/// Logits up to a summand for each row.
fn logits(probabilities: &[f32]) -> Vec<f64> {
    probabilities.iter().map(|&p| libm::log(f64::from(p.max(f32::MIN_POSITIVE)))).collect()
}

fn cross_fitted(logits: &[f64], labels: &[u32], classes: usize, bias: bool) -> Vec<f32> {
    let fold = |image: usize| key(&[u64::from_le_bytes(*b"fold\0\0\0\0"), image as u64]) % FOLDS;
    let fits: Vec<Fit> =
        (0..FOLDS).map(|held_out| fit(logits, labels, classes, &|image| fold(image) != held_out, bias)).collect();
    let rows = logits.chunks_exact(classes).enumerate();
    rows.flat_map(|(image, row)| fits[fold(image) as usize].apply(row)).map(|p| p as f32).collect()
}

impl Fit {
    /// The probabilities of a row of logits.
    fn apply(&self, row: &[f64]) -> Vec<f64> {
        let mut row: Vec<f64> = row.iter().zip(&self.bias).map(|(logit, bias)| self.scale * logit + bias).collect();
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|value| *value = libm::exp(*value - max));
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
        row
    }
}

/// The fit of the lowest NLL over the chosen images, slightly pulled towards
/// changing nothing: Newton's method, the problem being convex.
fn fit(logits: &[f64], labels: &[u32], classes: usize, chosen: &dyn Fn(usize) -> bool, bias: bool) -> Fit {
    let images: Vec<(&[f64], usize)> = logits
        .chunks_exact(classes)
        .zip(labels)
        .enumerate()
        .filter(|(image, _)| chosen(*image))
        .map(|(_, (row, &label))| (row, label as usize))
        .collect();
    let free = 1 + if bias { classes } else { 0 };
    let mut best = Fit { scale: 1.0, bias: vec![0.0; classes] };
    let mut lowest = cost(&best, &images);
    for _ in 0..50 {
        let (gradient, hessian) = derivatives(&best, &images, free);
        let Some(step) = solve(hessian, gradient) else { break };
        // Half a step as often as the whole one leads uphill.
        let tried = (0..30).map(|halvings| {
            let length = libm::ldexp(1.0, -halvings);
            let mut next = best.clone();
            next.scale = (best.scale - length * step[0]).max(0.01);
            next.bias.iter_mut().zip(&step[1..]).for_each(|(b, s)| *b -= length * s);
            (cost(&next, &images), next)
        });
        let Some((value, next)) = tried.into_iter().find(|(value, _)| *value < lowest) else { break };
        let gain = lowest - value;
        (lowest, best) = (value, next);
        if gain < 1e-9 * lowest.abs() {
            break;
        }
    }
    best
}

fn cost(fit: &Fit, images: &[(&[f64], usize)]) -> f64 {
    let nll: f64 = images.iter().map(|(row, label)| -libm::log(fit.apply(row)[*label].max(1e-300))).sum();
    let pull = (fit.scale - 1.0) * (fit.scale - 1.0) + fit.bias.iter().map(|b| b * b).sum::<f64>();
    nll + PULL / 2.0 * pull
}

/// Gradient and Hessian of the cost by the scale and, where `free` says so, the
/// bias of each class.
fn derivatives(fit: &Fit, images: &[(&[f64], usize)], free: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut gradient = vec![0.0; free];
    let mut hessian = vec![vec![0.0; free]; free];
    gradient[0] = PULL * (fit.scale - 1.0);
    (1..free).for_each(|c| gradient[c] = PULL * fit.bias[c - 1]);
    (0..free).for_each(|i| hessian[i][i] = PULL);
    for (row, label) in images {
        let p = fit.apply(row);
        let mean: f64 = p.iter().zip(*row).map(|(p, logit)| p * logit).sum();
        gradient[0] += mean - row[*label];
        hessian[0][0] += p.iter().zip(*row).map(|(p, logit)| p * (logit - mean) * (logit - mean)).sum::<f64>();
        for i in 1..free {
            gradient[i] += p[i - 1] - f64::from(u8::from(i - 1 == *label));
            let mixed = p[i - 1] * (row[i - 1] - mean);
            hessian[0][i] += mixed;
            hessian[i][0] += mixed;
            for j in 1..free {
                hessian[i][j] += if i == j { p[i - 1] } else { 0.0 } - p[i - 1] * p[j - 1];
            }
        }
    }
    (gradient, hessian)
}

/// Solves `a · x = b` by Gaussian elimination with pivots.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs()))?;
        a.swap(column, pivot);
        b.swap(column, pivot);
        if a[column][column].abs() < 1e-12 {
            return None;
        }
        for row in column + 1..n {
            let (above, below) = a.split_at_mut(row);
            let (from, to) = (&above[column], &mut below[0]);
            let factor = to[column] / from[column];
            to.iter_mut().zip(from).skip(column).for_each(|(to, from)| *to -= factor * from);
            b[row] -= factor * b[column];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| a[row][k] * b[k]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use moue_engine::random::Stream;

    /// Logits of three classes, labels drawn from the softmax of `scale · logit + bias`.
    fn drawn(count: usize, scale: f64, bias: [f64; 3]) -> (Vec<f64>, Vec<u32>) {
        let mut stream = Stream::new(7);
        let truth = Fit { scale, bias: bias.to_vec() };
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let row: Vec<f64> = (0..3).map(|_| f64::from(stream.between(-4.0, 4.0))).collect();
            let p = truth.apply(&row);
            let at = f64::from(stream.between(0.0, 1.0));
            labels.push(u32::from(at > p[0]) + u32::from(at > p[0] + p[1]));
            logits.extend(row);
        }
        (logits, labels)
    }

    fn probabilities(logits: &[f64]) -> Vec<f32> {
        let same = Fit { scale: 1.0, bias: vec![0.0; 3] };
        logits.chunks_exact(3).flat_map(|row| same.apply(row)).map(|p| p as f32).collect()
    }

    fn names() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_fit_finds_the_scale_and_bias_that_drew_the_labels() {
        let (logits, labels) = drawn(20_000, 0.5, [0.6, 0.0, -0.6]);
        let found = fit(&logits, &labels, 3, &|_| true, true);
        assert!((found.scale - 0.5).abs() < 0.02, "{found:?}");
        assert!((found.bias[0] - found.bias[2] - 1.2).abs() < 0.06, "{found:?}");
        let plain = fit(&logits, &labels, 3, &|_| true, false);
        assert_eq!(plain.bias, [0.0; 3]);
    }

    #[test]
    fn the_derivatives_are_those_of_the_cost() {
        let (logits, labels) = drawn(40, 0.7, [0.2, 0.0, -0.3]);
        let images: Vec<(&[f64], usize)> =
            logits.chunks_exact(3).zip(&labels).map(|(row, &label)| (row, label as usize)).collect();
        let at = Fit { scale: 0.8, bias: vec![0.1, -0.2, 0.3] };
        let moved = |i: usize, by: f64| {
            let mut fit = at.clone();
            let place = if i == 0 { &mut fit.scale } else { &mut fit.bias[i - 1] };
            *place += by;
            fit
        };
        let (gradient, hessian) = derivatives(&at, &images, 4);
        for i in 0..4 {
            let slope = (cost(&moved(i, 1e-5), &images) - cost(&moved(i, -1e-5), &images)) / 2e-5;
            assert!((gradient[i] - slope).abs() < 1e-5 * (1.0 + slope.abs()), "{i}: {} {slope}", gradient[i]);
            let (up, down) = (derivatives(&moved(i, 1e-5), &images, 4).0, derivatives(&moved(i, -1e-5), &images, 4).0);
            for j in 0..4 {
                let slope = (up[j] - down[j]) / 2e-5;
                assert!((hessian[i][j] - slope).abs() < 1e-4 * (1.0 + slope.abs()), "{i} {j}");
            }
        }
    }

    #[test]
    fn overconfidence_is_mended_and_a_bias_is_added_only_where_it_pays() {
        let (logits, labels) = drawn(4000, 0.4, [0.0; 3]);
        let answers = probabilities(&logits);
        let found = cross_fit(&names(), &labels, &answers);
        assert!(figures(&names(), &labels, &answers).ece > 0.1);
        assert!(found.ece < 0.03, "{}", found.ece);
        let (logits, labels) = drawn(4000, 0.4, [1.0, 0.0, -1.0]);
        assert!(cross_fit(&names(), &labels, &probabilities(&logits)).bias);
    }

    #[test]
    fn a_faultless_model_stays_finite() {
        let logits: Vec<f64> = (0..300).map(|i| if i / 3 % 3 == i % 3 { 5.0 } else { 0.0 }).collect();
        let labels: Vec<u32> = (0..100).map(|i| i % 3).collect();
        let found = fit(&logits, &labels, 3, &|_| true, true);
        assert!(found.scale.is_finite() && found.scale < 10.0, "{found:?}");
    }

    #[test]
    fn thresholds_by_hand() {
        // Ten answers, the surer the likelier right.
        let confidences = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5f32];
        let right = [true, true, true, true, false, true, false, false, false, false];
        let probabilities: Vec<f32> = confidences.iter().flat_map(|&c| [c, 1.0 - c]).collect();
        let labels: Vec<u32> = right.iter().map(|&right| u32::from(!right)).collect();
        let curve = risk_coverage(&labels, &probabilities, 2);
        // Five of six are right at 0.7; seven are worse than four in five.
        assert_eq!(threshold(&curve), 0.7);
        assert_eq!(curve[5], Kept { confidence: 0.7, coverage: 0.6, accuracy: 5.0 / 6.0 });
        // All right: nobody is uncertain. All wrong: half.
        assert_eq!(threshold(&risk_coverage(&[0; 10], &probabilities, 2)), 0.0);
        assert_eq!(threshold(&risk_coverage(&[1; 10], &probabilities, 2)), 0.75);
        assert_eq!(threshold(&[]), 0.0);
    }
}
