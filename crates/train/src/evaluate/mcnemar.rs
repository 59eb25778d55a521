//! McNemar's test: compares two models on the same images.

use super::metrics::Z;
use super::predictions::Predictions;
use moue_engine::loss::argmax;
use serde::Serialize;

/// A paired comparison of two models on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Paired {
    /// Accuracy of the first minus accuracy of the second.
    pub difference: f64,
    /// 95 % confidence interval of the difference (normal approximation for paired proportions).
    pub difference_ci95: [f64; 2],
    /// Number of images that only the first model predicts correctly.
    pub only_first: usize,
    /// Number of images that only the second model predicts correctly.
    pub only_second: usize,
    /// Two-sided p-value of McNemar's exact test (1947).
    pub p_value: f64,
}

/// Compares two models' predictions image by image; `None` where the predictions are for different
/// images.
#[must_use]
pub fn compare(first: &Predictions, second: &Predictions) -> Option<Paired> {
    if first.images != second.images || first.labels != second.labels || first.labels.is_empty() {
        return None;
    }
    let n = first.labels.len();
    let right = |predictions: &Predictions| {
        let rows = predictions.probabilities.chunks_exact(predictions.probabilities.len() / n);
        rows.zip(&predictions.labels).map(|(row, label)| argmax(row) == *label as usize).collect::<Vec<bool>>()
    };
    let pairs = || right(first).into_iter().zip(right(second));
    let only_first = pairs().filter(|&(a, b)| a && !b).count();
    let only_second = pairs().filter(|&(a, b)| b && !a).count();
    let (n, b, c) = (n as f64, only_first as f64, only_second as f64);
    let difference = (b - c) / n;
    let half = Z * ((b + c) / n - difference * difference).max(0.0).sqrt() / n.sqrt();
    Some(Paired {
        difference,
        difference_ci95: [difference - half, difference + half],
        only_first,
        only_second,
        p_value: two_sided(only_first, only_second),
    })
}

/// Two-sided p-value of the exact binomial test: the probability that `a + b` tosses of a fair coin
/// are divided at least as unevenly.
fn two_sided(a: usize, b: usize) -> f64 {
    let n = a + b;
    let ln_factorial = |k: usize| libm::lgamma(k as f64 + 1.0);
    let term = |k: usize| {
        libm::exp(ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k) - n as f64 * std::f64::consts::LN_2)
    };
    (2.0 * (0..=a.min(b)).map(term).sum::<f64>()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(right: &[bool]) -> Predictions {
        Predictions {
            images: (0..right.len()).collect(),
            labels: vec![0; right.len()],
            probabilities: right.iter().flat_map(|&right| if right { [0.9, 0.1] } else { [0.1, 0.9] }).collect(),
        }
    }

    #[test]
    fn the_exact_test_equals_a_manual_computation() {
        // Ten tosses, two on one side: 2 (1 + 10 + 45) / 1024.
        assert!((two_sided(2, 8) - 112.0 / 1024.0).abs() < 1e-12);
        assert!((two_sided(8, 2) - 112.0 / 1024.0).abs() < 1e-12);
        assert_eq!((two_sided(0, 0), two_sided(5, 5)), (1.0, 1.0));
        assert!(two_sided(100, 300) < 1e-20);
    }

    #[test]
    fn pairs_are_counted() {
        let first = predictions(&[true, true, true, false, true]);
        let second = predictions(&[true, false, false, true, true]);
        let found = compare(&first, &second).unwrap();
        assert_eq!((found.only_first, found.only_second, found.difference), (2, 1, 0.2));
        assert_eq!(found.p_value, 1.0);
        let [low, high] = found.difference_ci95;
        assert!(low < 0.2 && 0.2 < high && ((low + high) / 2.0 - 0.2).abs() < 1e-12);
        assert_eq!(compare(&first, &predictions(&[true])), None);
    }
}
