//! Calibration of probabilities: temperature scaling, or vector scaling where the configuration
//! asks for it (Guo et al. 2017).
//!
//! A calibration is evaluated by cross-fitting: each fifth of the images with the fit on the other
//! four fifths. The saved calibration is fitted on all images.

use super::metrics::{Metrics, compute_metrics};
use super::predictions::Predictions;
use super::selective::{risk_coverage, threshold};
use crate::config::CalibrationKind;
use moue::model::{Calibration, Model};
use moue_engine::random::key;
use serde::Serialize;

const FOLDS: u64 = 5;

/// Strength of the regularization towards the identity, in images.
const PULL: f64 = 1.0;

/// `scale · logit + bias`, for each class.
#[derive(Clone, Debug, PartialEq)]
struct Fit {
    scale: Vec<f64>,
    bias: Vec<f64>,
}

/// Cross-fitted calibration of predictions: each prediction is calibrated by a fit on other images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossFitted {
    /// Mean negative logarithm of the true class's probability.
    pub nll: f64,
    /// Expected calibration error over 15 bins.
    pub ece: f64,
    /// The calibrated predictions, `[N, classes]`.
    #[serde(skip)]
    pub probabilities: Vec<f32>,
}

/// Fits the model's calibration on its predictions, and the confidence below which predictions are
/// marked as uncertain, so that the others have this accuracy.
pub fn calibrate(model: &mut Model, predictions: &Predictions, kind: CalibrationKind, selective_accuracy: f64) {
    let classes = model.classes().len();
    if predictions.labels.is_empty() {
        return;
    }
    let found = cross_fit(model, predictions, kind);
    let Fit { scale, bias } = fit(&logits(model, predictions), &predictions.labels, classes, &|_| true, kind);
    let mean = scale.iter().sum::<f64>() / classes as f64;
    let vector = kind == CalibrationKind::Vector;
    let calibration = Calibration {
        prior_adjustment: model.calibration().prior_adjustment.clone(),
        temperature: (1.0 / mean) as f32,
        scale: vector.then(|| scale.iter().map(|s| (s / mean) as f32).collect()),
        bias: vector.then(|| bias.iter().map(|&b| b as f32).collect()),
    };
    let curve = risk_coverage(&predictions.labels, &found.probabilities, classes);
    let uncertain_below = threshold(&curve, selective_accuracy);
    // Finite logits give a finite fit; for other logits the model is unchanged.
    let _ = model.set_calibration(calibration, uncertain_below);
}

/// Calibrates predictions by cross-fitting. Averaged predictions are treated as single predictions.
#[must_use]
pub fn cross_fit(model: &Model, predictions: &Predictions, kind: CalibrationKind) -> CrossFitted {
    let probabilities = cross_fitted(&logits(model, predictions), &predictions.labels, model.classes().len(), kind);
    let Metrics { nll, ece, .. } = compute_metrics(model.classes(), &predictions.labels, &probabilities);
    CrossFitted { nll, ece, probabilities }
}

/// The predictions with the factors and biases of the model's calibration, as `predict` applies
/// them.
pub(super) fn as_predicted(model: &Model, predictions: &Predictions) -> Vec<f32> {
    let mut rows: Vec<f32> = raw_logits(model, predictions).into_iter().map(|logit| logit as f32).collect();
    model.calibration().apply(&mut rows, model.classes().len());
    rows
}

/// The logits of the network for predictions, which have the model's temperature, minus the mean of
/// their row.
pub(super) fn raw_logits(model: &Model, predictions: &Predictions) -> Vec<f64> {
    model.calibration().temperature_only().undo(&predictions.probabilities, model.classes().len())
}

/// The logits that a fit transforms: with the model's prior adjustment.
fn logits(model: &Model, predictions: &Predictions) -> Vec<f64> {
    let mut logits = raw_logits(model, predictions);
    if let Some(adjustment) = &model.calibration().prior_adjustment {
        let biases = adjustment.iter().cycle();
        logits.iter_mut().zip(biases).for_each(|(logit, &bias)| *logit += f64::from(bias));
    }
    logits
}

fn cross_fitted(logits: &[f64], labels: &[u32], classes: usize, form: CalibrationKind) -> Vec<f32> {
    let fold = |image: usize| key(&[u64::from_le_bytes(*b"fold\0\0\0\0"), image as u64]) % FOLDS;
    let fits: Vec<Fit> =
        (0..FOLDS).map(|held_out| fit(logits, labels, classes, &|image| fold(image) != held_out, form)).collect();
    let rows = logits.chunks_exact(classes).enumerate();
    rows.flat_map(|(image, row)| fits[fold(image) as usize].apply(row)).map(|p| p as f32).collect()
}

impl Fit {
    fn same(classes: usize) -> Self {
        Self { scale: vec![1.0; classes], bias: vec![0.0; classes] }
    }

    /// The probabilities of a row of logits.
    fn apply(&self, row: &[f64]) -> Vec<f64> {
        let own = self.scale.iter().zip(&self.bias);
        let mut row: Vec<f64> = row.iter().zip(own).map(|(logit, (scale, bias))| scale * logit + bias).collect();
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|value| *value = libm::exp(*value - max));
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
        row
    }

    /// The fit after a step of these lengths: for the scales (one step for all where they are
    /// tied), and then for the biases, if any.
    fn stepped(&self, step: &[f64], form: CalibrationKind) -> Self {
        let (scales, biases) = step.split_at(scales(form, self.scale.len()));
        let scale = self.scale.iter().zip(scales.iter().cycle()).map(|(s, step)| (s - step).max(0.01));
        let bias = self.bias.iter().enumerate().map(|(class, b)| b - biases.get(class).copied().unwrap_or(0.0));
        Self { scale: scale.collect(), bias: bias.collect() }
    }
}

/// Number of fitted scales.
fn scales(kind: CalibrationKind, classes: usize) -> usize {
    if kind == CalibrationKind::Vector { classes } else { 1 }
}

/// Number of fitted parameters.
fn free(kind: CalibrationKind, classes: usize) -> usize {
    if kind == CalibrationKind::Vector { 2 * classes } else { 1 }
}

/// The fit with the lowest regularized NLL on the selected images, by Newton's method; the problem
/// is convex.
fn fit(logits: &[f64], labels: &[u32], classes: usize, chosen: &dyn Fn(usize) -> bool, form: CalibrationKind) -> Fit {
    let images: Vec<(&[f64], usize)> = logits
        .chunks_exact(classes)
        .zip(labels)
        .enumerate()
        .filter(|(image, _)| chosen(*image))
        .map(|(_, (row, &label))| (row, label as usize))
        .collect();
    let mut best = Fit::same(classes);
    let mut lowest = cost(&best, &images);
    for _ in 0..50 {
        let (gradient, hessian) = derivatives(&best, &images, form);
        let Some(step) = solve(hessian, gradient) else { break };
        // The step is halved until the cost decreases.
        let tried = (0..30).map(|halvings| {
            let length = libm::ldexp(1.0, -halvings);
            let next = best.stepped(&step.iter().map(|s| s * length).collect::<Vec<_>>(), form);
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
    let pull =
        fit.scale.iter().map(|s| (s - 1.0) * (s - 1.0)).sum::<f64>() + fit.bias.iter().map(|b| b * b).sum::<f64>();
    nll + PULL / 2.0 * pull
}

/// Gradient and Hessian of the cost with respect to the free parameters: the scales, then the
/// biases.
fn derivatives(fit: &Fit, images: &[(&[f64], usize)], form: CalibrationKind) -> (Vec<f64>, Vec<Vec<f64>>) {
    let classes = fit.scale.len();
    // The parameters that change the value of a class, with their derivatives for this row.
    let (scales, free) = (scales(form, classes), free(form, classes));
    let moves = |row: &[f64], class: usize| {
        let bias = (free > scales).then_some((scales + class, 1.0));
        [Some((class % scales, row[class])), bias].into_iter().flatten()
    };
    let mut gradient = vec![0.0; free];
    let mut hessian = vec![vec![0.0; free]; free];
    for class in 0..classes {
        let of_class = [(class % scales, fit.scale[class] - 1.0), (scales + class, fit.bias[class])];
        for (i, distance) in of_class.into_iter().filter(|&(i, _)| i < free) {
            gradient[i] += PULL * distance;
            hessian[i][i] += PULL;
        }
    }
    for (row, label) in images {
        let p = fit.apply(row);
        for a in 0..classes {
            let error = p[a] - f64::from(u8::from(a == *label));
            for (i, by_i) in moves(row, a) {
                gradient[i] += error * by_i;
                for b in 0..classes {
                    let curvature = if a == b { p[a] } else { 0.0 } - p[a] * p[b];
                    moves(row, b).for_each(|(j, by_j)| hessian[i][j] += curvature * by_i * by_j);
                }
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
    use crate::config::Config;
    use moue_engine::random::Stream;

    const KINDS: [CalibrationKind; 2] = [CalibrationKind::Temperature, CalibrationKind::Vector];

    /// Centered logits of three classes, with labels sampled from the softmax of
    /// `scale · logit + bias`.
    fn sampled(count: usize, scale: [f64; 3], bias: [f64; 3]) -> (Vec<f64>, Vec<u32>) {
        let mut stream = Stream::new(7);
        let truth = Fit { scale: scale.to_vec(), bias: bias.to_vec() };
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut row: Vec<f64> = (0..3).map(|_| f64::from(stream.between(-4.0, 4.0))).collect();
            let mean = row.iter().sum::<f64>() / 3.0;
            row.iter_mut().for_each(|value| *value -= mean);
            let p = truth.apply(&row);
            let at = f64::from(stream.between(0.0, 1.0));
            labels.push(u32::from(at > p[0]) + u32::from(at > p[0] + p[1]));
            logits.extend(row);
        }
        (logits, labels)
    }

    /// A model that is not calibrated, and its predictions.
    fn predicted((logits, labels): (Vec<f64>, Vec<u32>)) -> (Model, Predictions) {
        let layers = "[model]\nname = \"it\"\ninput = [2, 2, 1]\nlayers = [{ kind = \"flatten\" }, { kind = \"dense\", units = \"classes\" }]";
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let model = Model::untrained(Config::parse("it", layers).unwrap().model, classes, 1).unwrap();
        let probabilities = logits.chunks_exact(3).flat_map(|row| Fit::same(3).apply(row)).map(|p| p as f32).collect();
        (model, Predictions { images: (0..labels.len()).collect(), labels, probabilities })
    }

    #[test]
    fn the_fit_recovers_the_scales_and_biases_of_the_data() {
        let (logits, labels) = sampled(20_000, [0.5; 3], [0.0; 3]);
        let found = fit(&logits, &labels, 3, &|_| true, CalibrationKind::Temperature);
        assert!(found.scale.iter().all(|s| (s - 0.5).abs() < 0.02 && *s == found.scale[0]), "{found:?}");
        assert_eq!(found.bias, [0.0; 3]);
        let wanted = [0.4, 0.8, 1.2];
        let (logits, labels) = sampled(20_000, wanted, [0.6, 0.0, -0.6]);
        let found = fit(&logits, &labels, 3, &|_| true, CalibrationKind::Vector);
        assert!(found.scale.iter().zip(wanted).all(|(s, wanted)| (s - wanted).abs() < 0.05), "{found:?}");
    }

    #[test]
    fn derivatives_equal_finite_differences() {
        let (logits, labels) = sampled(40, [0.7; 3], [0.2, 0.0, -0.3]);
        let images: Vec<(&[f64], usize)> =
            logits.chunks_exact(3).zip(&labels).map(|(row, &label)| (row, label as usize)).collect();
        for form in KINDS {
            let at = match form {
                CalibrationKind::Vector => Fit { scale: vec![0.8, 0.6, 1.1], bias: vec![0.1, -0.2, 0.3] },
                _ => Fit { scale: vec![0.8; 3], bias: vec![0.1, -0.2, 0.3] },
            };
            let free = free(form, 3);
            let moved = |i: usize, by: f64| {
                let mut step = vec![0.0; free];
                step[i] = -by;
                at.stepped(&step, form)
            };
            let (gradient, hessian) = derivatives(&at, &images, form);
            for i in 0..free {
                let slope = (cost(&moved(i, 1e-5), &images) - cost(&moved(i, -1e-5), &images)) / 2e-5;
                assert!((gradient[i] - slope).abs() < 1e-5 * (1.0 + slope.abs()), "{form:?} {i}");
                let (up, down) =
                    (derivatives(&moved(i, 1e-5), &images, form).0, derivatives(&moved(i, -1e-5), &images, form).0);
                for j in 0..free {
                    let slope = (up[j] - down[j]) / 2e-5;
                    assert!((hessian[i][j] - slope).abs() < 1e-4 * (1.0 + slope.abs()), "{form:?} {i} {j}");
                }
            }
        }
    }

    #[test]
    fn overconfidence_is_corrected_without_a_change_of_classes() {
        let (mut model, predictions) = predicted(sampled(4000, [0.4; 3], [1.0, 0.0, -1.0]));
        let metrics = |probabilities: &[f32]| compute_metrics(model.classes(), &predictions.labels, probabilities);
        let raw = metrics(&predictions.probabilities);
        let [plain, vector] = KINDS.map(|kind| cross_fit(&model, &predictions, kind));
        assert!(raw.ece > 0.1 && plain.ece < raw.ece && vector.ece < 0.03, "{} {} {}", raw.ece, plain.ece, vector.ece);
        assert_eq!(metrics(&plain.probabilities).confusion, raw.confusion);
        assert!(metrics(&vector.probabilities).accuracy > raw.accuracy + 0.01, "the data has biases");
        calibrate(&mut model, &predictions, CalibrationKind::Temperature, 0.8);
        assert!(!model.calibration().changes_classes());
    }

    /// With labels that nothing predicts, a fit on the same images seems to help; a cross-fitted
    /// one does not.
    #[test]
    fn cross_fitting_gains_nothing_from_chance() {
        let (logits, mut labels) = sampled(91, [1.0; 3], [0.0; 3]);
        let mut stream = Stream::new(3);
        labels.iter_mut().for_each(|label| *label = stream.between(0.0, 3.0) as u32 % 3);
        let (mut model, predictions) = predicted((logits, labels));
        let accuracy =
            |probabilities: &[f32]| compute_metrics(model.classes(), &predictions.labels, probabilities).accuracy;
        let honest = accuracy(&cross_fit(&model, &predictions, CalibrationKind::Vector).probabilities);
        let raw = accuracy(&predictions.probabilities);
        let mut rows = super::logits(&model, &predictions).iter().map(|&x| x as f32).collect::<Vec<_>>();
        calibrate(&mut model, &predictions, CalibrationKind::Vector, 0.8);
        model.calibration().apply(&mut rows, 3);
        let fitted = compute_metrics(model.classes(), &predictions.labels, &rows).accuracy;
        assert!(fitted > raw.max(honest) + 0.02, "{raw} {honest} {fitted}");
    }

    #[test]
    fn a_previous_calibration_is_inverted_first() {
        for (kind, scale, bias) in [(KINDS[0], [0.4; 3], [0.0; 3]), (KINDS[1], [0.2, 0.6, 1.0], [0.5, 0.0, 0.0])] {
            let (mut model, mut predictions) = predicted(sampled(2000, scale, bias));
            let (logits, raw) = (logits(&model, &predictions), cross_fit(&model, &predictions, kind));
            calibrate(&mut model, &predictions, kind, 0.8);
            assert_eq!(model.calibration().changes_classes(), kind == CalibrationKind::Vector);
            predictions.probabilities = logits.iter().map(|&logit| logit as f32).collect();
            model.calibration().temperature_only().apply(&mut predictions.probabilities, 3);
            let again = super::logits(&model, &predictions);
            assert!(logits.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-3), "{:?}", model.calibration());
            assert!((cross_fit(&model, &predictions, kind).nll - raw.nll).abs() < 1e-5);
        }
    }

    #[test]
    fn the_fit_of_a_perfect_model_is_finite() {
        let logits: Vec<f64> = (0..300).map(|i| if i / 3 % 3 == i % 3 { 5.0 } else { 0.0 }).collect();
        let labels: Vec<u32> = (0..100).map(|i| i % 3).collect();
        for form in KINDS {
            let found = fit(&logits, &labels, 3, &|_| true, form);
            assert!(found.scale.iter().all(|&scale| scale.is_finite() && scale < 10.0), "{found:?}");
        }
    }
}
