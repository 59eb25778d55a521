//! Computes metrics from labels and probabilities.

use moue_engine::loss::argmax;
use serde::Serialize;

/// Bins of the calibration error.
const BINS: usize = 15;

/// A class's metrics, named as in scikit-learn.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassMetrics {
    /// The class.
    pub label: String,
    /// Share of the predictions of this class that are correct; 0 without predictions.
    pub precision: f64,
    /// Share of the images of this class that are predicted correctly; 0 without images.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Number of images of this class.
    pub support: usize,
}

/// All metrics of a model on a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metrics {
    /// Number of images.
    pub n: usize,
    /// Share of correct predictions.
    pub accuracy: f64,
    /// 95 % confidence interval of the accuracy (Wilson).
    pub accuracy_ci95: [f64; 2],
    /// Mean F1 of the classes that have images.
    pub macro_f1: f64,
    /// Mean recall of the classes that have images (balanced accuracy).
    pub macro_recall: f64,
    /// Mean negative log-likelihood.
    pub nll: f64,
    /// Expected calibration error over 15 bins of equal width (Guo et al. 2017).
    pub ece: f64,
    /// One for each class.
    pub per_class: Vec<ClassMetrics>,
    /// The classes, in the order of `confusion`.
    pub labels: Vec<String>,
    /// Counts; the row is the true class, the column the predicted class.
    pub confusion: Vec<Vec<usize>>,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Reliability {
    /// Number of predictions whose confidence is in the bin.
    pub count: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// Their accuracy.
    pub accuracy: f64,
}

/// Quantile of the normal distribution for 95 % intervals.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// 95 % confidence interval of a proportion (Wilson 1927).
#[must_use]
pub fn wilson(hits: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (n as f64, hits as f64 / n as f64);
    let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The bins of a reliability diagram: equal width, increasing confidence.
#[must_use]
pub fn reliability(labels: &[u32], probabilities: &[f32], classes: usize) -> Vec<Reliability> {
    let mut bins = vec![Reliability::default(); BINS];
    for (row, &label) in probabilities.chunks_exact(classes).zip(labels) {
        let predicted = argmax(row);
        let confidence = f64::from(row[predicted]);
        let bin = &mut bins[((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1];
        bin.count += 1;
        bin.confidence += confidence;
        bin.accuracy += f64::from(u8::from(predicted == label as usize));
    }
    for bin in &mut bins {
        let count = bin.count.max(1) as f64;
        bin.confidence /= count;
        bin.accuracy /= count;
    }
    bins
}

/// Computes all metrics. `probabilities` is `[N, classes]`.
#[must_use]
pub fn compute_metrics(classes: &[String], labels: &[u32], probabilities: &[f32]) -> Metrics {
    let k = classes.len();
    let n = labels.len();
    let mut confusion = vec![vec![0; k]; k];
    let mut nll = 0.0;
    for (row, &label) in probabilities.chunks_exact(k).zip(labels) {
        let label = label as usize;
        confusion[label][argmax(row)] += 1;
        nll -= libm::log(f64::from(row[label]).max(f64::from(f32::MIN_POSITIVE)));
    }
    let hits = (0..k).map(|c| confusion[c][c]).sum();
    let per_class: Vec<ClassMetrics> = (0..k)
        .map(|c| {
            let predicted = confusion.iter().map(|row| row[c]).sum();
            let support = confusion[c].iter().sum();
            ClassMetrics {
                label: classes[c].clone(),
                precision: share(confusion[c][c], predicted),
                recall: share(confusion[c][c], support),
                f1: share(2 * confusion[c][c], predicted + support),
                support,
            }
        })
        .collect();
    let seen = || per_class.iter().filter(|class| class.support > 0);
    let mean = |of: fn(&ClassMetrics) -> f64| seen().map(of).sum::<f64>() / seen().count().max(1) as f64;
    let gap = |bin: &Reliability| share(bin.count, n) * (bin.accuracy - bin.confidence).abs();
    Metrics {
        n,
        accuracy: share(hits, n),
        accuracy_ci95: wilson(hits, n),
        macro_f1: mean(|class| class.f1),
        macro_recall: mean(|class| class.recall),
        nll: nll / n.max(1) as f64,
        ece: reliability(labels, probabilities, k).iter().map(gap).sum(),
        per_class,
        labels: classes.to_vec(),
        confusion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wilson_interval_equals_a_published_example() {
        // 81 of 263: the example of Newcombe (1998), table I.
        let [low, high] = wilson(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        assert!(wilson(5, 5)[1] == 1.0 && wilson(0, 5)[0] == 0.0);
    }

    #[test]
    fn metrics_equal_a_manual_computation() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let probabilities = [0.8, 0.1, 0.1, 0.5, 0.4, 0.1, 0.2, 0.7, 0.1, 0.3, 0.6, 0.1];
        let metrics = compute_metrics(&classes, &[0, 1, 1, 0], &probabilities);
        assert_eq!(metrics.confusion, [[1, 1, 0], [1, 1, 0], [0, 0, 0]]);
        assert_eq!((metrics.n, metrics.accuracy), (4, 0.5));
        assert_eq!(metrics.per_class[0].precision, 0.5);
        assert_eq!((metrics.per_class[2].support, metrics.per_class[2].f1), (0, 0.0));
        // The class without images does not count.
        assert!((metrics.macro_f1 - 0.5).abs() < 1e-12 && metrics.macro_recall == 0.5);
        let nll = -(0.8f64.ln() + 0.4f64.ln() + 0.7f64.ln() + 0.3f64.ln()) / 4.0;
        assert!((metrics.nll - nll).abs() < 1e-6);
        // Four bins with one prediction each: gaps 0.2, 0.5, 0.3, 0.6.
        assert!((metrics.ece - 1.6 / 4.0).abs() < 1e-6, "{}", metrics.ece);
    }
}
