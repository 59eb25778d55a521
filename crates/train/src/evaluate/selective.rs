//! Selective prediction: uncertain predictions are left to a person, and the accuracy of the others
//! is measured.

use super::metrics::wilson;
use super::predictions::most_confident_first;
use moue_engine::loss::argmax;
use serde::Serialize;

/// Minimum share of the predictions that are not marked as uncertain.
const LEAST_COVERAGE: f64 = 0.5;

/// A point of the risk–coverage curve: the predictions with at least this confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SelectivePoint {
    /// Minimum confidence.
    pub confidence: f32,
    /// Coverage: their share of all predictions.
    pub coverage: f64,
    /// Selective accuracy: their accuracy.
    pub accuracy: f64,
}

/// The predictions that are not marked as uncertain.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Selective {
    /// Confidence below which a prediction is uncertain.
    pub uncertain_below: f32,
    /// Share of the images whose prediction is not uncertain.
    pub coverage: f64,
    /// Share of these predictions that are correct (selective accuracy).
    pub accuracy: f64,
    /// 95 % confidence interval of that accuracy (Wilson).
    pub accuracy_ci95: [f64; 2],
    /// The images of each class.
    pub per_class: Vec<ClassSelective>,
}

/// The predictions for images of a class that are not marked as uncertain.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassSelective {
    /// The class.
    pub label: String,
    /// Share of the images of the class whose prediction is not uncertain.
    pub coverage: f64,
    /// Share of these predictions that are correct; null without any.
    pub accuracy: Option<f64>,
}

impl Selective {
    /// The predictions, `[N, classes]`, with at least this confidence; `None` where no prediction is marked (0).
    #[must_use]
    pub fn new(uncertain_below: f32, classes: &[String], labels: &[u32], probabilities: &[f32]) -> Option<Self> {
        // Images, certain predictions, and the correct ones among them, by class.
        let mut counts = vec![[0usize; 3]; classes.len()];
        for (row, &label) in probabilities.chunks_exact(classes.len()).zip(labels) {
            let predicted = argmax(row);
            let certain = row[predicted] >= uncertain_below;
            let correct = certain && predicted == label as usize;
            let of = &mut counts[label as usize];
            *of = [of[0] + 1, of[1] + usize::from(certain), of[2] + usize::from(correct)];
        }
        let [images, certain, correct] =
            counts.iter().fold([0; 3], |[a, b, c], [images, certain, correct]| [a + images, b + certain, c + correct]);
        let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        let per_class = classes.iter().zip(&counts).map(|(label, &[images, certain, correct])| ClassSelective {
            label: label.clone(),
            coverage: share(certain, images),
            accuracy: (certain > 0).then(|| share(correct, certain)),
        });
        (uncertain_below > 0.0).then(|| Self {
            uncertain_below,
            coverage: share(certain, images),
            accuracy: share(correct, certain),
            accuracy_ci95: wilson(correct, certain),
            per_class: per_class.collect(),
        })
    }
}

/// Coverage and selective accuracy at each confidence, in decreasing order (the risk–coverage
/// curve, El-Yaniv and Wiener 2010, with accuracy for one minus risk).
#[must_use]
pub fn risk_coverage(labels: &[u32], probabilities: &[f32], classes: usize) -> Vec<SelectivePoint> {
    let mut right = 0;
    let order = most_confident_first(probabilities, classes);
    let total = order.len() as f64;
    let mut curve: Vec<SelectivePoint> = Vec::new();
    for (count, (index, confidence)) in order.into_iter().enumerate() {
        let row = &probabilities[index * classes..(index + 1) * classes];
        right += usize::from(argmax(row) == labels[index] as usize);
        let count = (count + 1) as f64;
        let kept = SelectivePoint { confidence, coverage: count / total, accuracy: f64::from(right as u32) / count };
        // Predictions with equal confidence are one point.
        match curve.last_mut().filter(|last| last.confidence == confidence) {
            Some(last) => *last = kept,
            None => curve.push(kept),
        }
    }
    curve
}

/// The confidence below which predictions are marked as uncertain: the largest coverage with this
/// selective accuracy, but a coverage of at least one half. In whole percent; 0 where no prediction
/// needs to be marked.
pub(super) fn threshold(curve: &[SelectivePoint], selective_accuracy: f64) -> f32 {
    let enough = curve.iter().rposition(|kept| kept.accuracy + 1e-6 >= selective_accuracy);
    let half = curve.iter().position(|kept| kept.coverage >= LEAST_COVERAGE);
    match enough.max(half) {
        Some(last) if last + 1 < curve.len() => (curve[last].confidence * 100.0).floor() / 100.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_by_hand() {
        // Ten predictions, more accurate with higher confidence.
        let confidences = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5f32];
        let right = [true, true, true, true, false, true, false, false, false, false];
        let probabilities: Vec<f32> = confidences.iter().flat_map(|&c| [c, 1.0 - c]).collect();
        let labels: Vec<u32> = right.iter().map(|&right| u32::from(!right)).collect();
        let curve = risk_coverage(&labels, &probabilities, 2);
        // Five of six are correct at 0.7; of seven, less than four in five.
        assert_eq!(threshold(&curve, 0.8), 0.7);
        // Half of all are correct; for more than five in six, half of them are marked.
        assert_eq!((threshold(&curve, 0.5), threshold(&curve, 0.95)), (0.0, 0.75));
        assert_eq!(curve[5], SelectivePoint { confidence: 0.7, coverage: 0.6, accuracy: 5.0 / 6.0 });
        // All correct: no prediction is marked. All wrong: half of them are marked.
        assert_eq!(threshold(&risk_coverage(&[0; 10], &probabilities, 2), 0.8), 0.0);
        assert_eq!(threshold(&risk_coverage(&[1; 10], &probabilities, 2), 0.8), 0.75);
        assert_eq!(threshold(&[], 0.8), 0.0);
    }

    #[test]
    fn selective_metrics_by_hand() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let probabilities = [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.5, 0.5, 0.0]].concat();
        let found = Selective::new(0.6, &classes, &[0, 0, 1, 1], &probabilities).unwrap();
        assert_eq!((found.coverage, found.accuracy), (0.75, 1.0 / 3.0));
        assert_eq!(found.accuracy_ci95, wilson(1, 3));
        let by_class: Vec<_> = found.per_class.iter().map(|class| (class.coverage, class.accuracy)).collect();
        assert_eq!(by_class, [(1.0, Some(0.5)), (0.5, Some(0.0)), (0.0, None)]);
        assert_eq!(Selective::new(0.0, &classes, &[0, 0, 1, 1], &probabilities), None);
    }
}
