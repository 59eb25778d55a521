//! Calibration of probabilities: the transformation of logits before the softmax. `moue-train` fits
//! it, except for the prior adjustment, which follows from the training targets.

use moue_engine::loss;
use serde::{Deserialize, Serialize};

/// The transformation of logits before the softmax: `scale · (adjusted − mean of the row) /
/// temperature + bias`, where `adjusted` is the logit plus the prior adjustment. The mean is subtracted
/// only where there is a scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Fixed biases of the logits, one for each class: −τ · log of the class's share in the training
    /// targets, minus the mean over the classes (logit adjustment, Menon et al. 2021).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior_adjustment: Option<Vec<f32>>,
    /// Divisor of the logits (temperature scaling, Guo et al. 2017); 1 changes nothing.
    pub temperature: f32,
    /// Factors of the divided logits, one for each class (vector scaling, Guo et al. 2017). The
    /// logits are centered on each row, so that the factors do not depend on their offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Vec<f32>>,
    /// Biases of the divided logits, one for each class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<Vec<f32>>,
}

/// Why a calibration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The temperature is 0, negative or not a number.
    #[error("its calibration temperature is not a positive number")]
    Temperature,
    /// The scale is not one positive number for each class.
    #[error("its calibration scale is not {classes} positive numbers, one for each class")]
    Scale {
        /// Number of classes.
        classes: usize,
    },
    /// The prior adjustment is not one number for each class.
    #[error("its prior adjustment is not {classes} numbers, one for each class")]
    PriorAdjustment {
        /// Number of classes.
        classes: usize,
    },
    /// The bias is not one number for each class.
    #[error("its calibration bias is not {classes} numbers, one for each class")]
    Bias {
        /// Number of classes.
        classes: usize,
    },
}

impl Calibration {
    /// Returns an error for a calibration that cannot be applied or inverted for this number of
    /// classes.
    pub(super) fn check(&self, classes: usize) -> Result<(), CalibrationError> {
        let positive = |value: f32| value.is_finite() && value > 0.0;
        if !positive(self.temperature) {
            return Err(CalibrationError::Temperature);
        }
        if self.scale.as_ref().is_some_and(|scale| scale.len() != classes || !scale.iter().all(|&s| positive(s))) {
            return Err(CalibrationError::Scale { classes });
        }
        let numbers = |values: &Option<Vec<f32>>| {
            values.as_ref().is_none_or(|values| values.len() == classes && values.iter().all(|value| value.is_finite()))
        };
        if !numbers(&self.prior_adjustment) {
            return Err(CalibrationError::PriorAdjustment { classes });
        }
        if !numbers(&self.bias) {
            return Err(CalibrationError::Bias { classes });
        }
        Ok(())
    }

    /// Whether a fit gave it a factor or a bias for each class, so that it may change the predicted class.
    #[must_use]
    pub fn changes_classes(&self) -> bool {
        self.scale.is_some() || self.bias.is_some()
    }

    /// The temperature alone, which never changes the predicted class, and the prior adjustment, which is
    /// part of every prediction.
    #[must_use]
    pub fn temperature_only(&self) -> Self {
        Self { scale: None, bias: None, ..self.clone() }
    }

    /// The prior adjustment alone.
    #[must_use]
    pub fn prior_only(&self) -> Self {
        Self { temperature: 1.0, ..self.temperature_only() }
    }

    /// The prior adjustment with this strength for classes with these shares of the training targets.
    #[must_use]
    pub fn with_prior(self, strength: f64, prior: &[f64]) -> Self {
        let logs: Vec<f64> = prior.iter().map(|&share| -strength * libm::log(share)).collect();
        let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
        let adjustment = logs.iter().map(|log| (log - mean) as f32).collect();
        Self { prior_adjustment: (strength != 0.0).then_some(adjustment), ..self }
    }

    fn scale_and_bias(&self, class: usize) -> (f32, f32) {
        let of = |values: &Option<Vec<f32>>| values.as_ref().and_then(|values| values.get(class)).copied();
        (of(&self.scale).unwrap_or(1.0), of(&self.bias).unwrap_or(0.0))
    }

    /// Adds the prior adjustment to rows of logits.
    pub fn adjust(&self, logits: &mut [f32], classes: usize) {
        let Some(adjustment) = &self.prior_adjustment else { return };
        for row in logits.chunks_exact_mut(classes) {
            row.iter_mut().zip(adjustment).for_each(|(logit, bias)| *logit += bias);
        }
    }

    /// Converts rows of logits to probabilities in place.
    pub fn apply(&self, logits: &mut [f32], classes: usize) {
        self.adjust(logits, classes);
        for row in logits.chunks_exact_mut(classes) {
            let mean = if self.scale.is_some() { row.iter().sum::<f32>() / classes as f32 } else { 0.0 };
            for (class, logit) in row.iter_mut().enumerate() {
                let (scale, bias) = self.scale_and_bias(class);
                *logit = (*logit - mean) / self.temperature * scale + bias;
            }
        }
        loss::softmax_rows(logits, classes);
    }

    /// Inverts [`apply`](Self::apply): the logits, minus the mean of their row.
    /// The mean of the prior adjustment is 0.
    #[must_use]
    pub fn undo(&self, probabilities: &[f32], classes: usize) -> Vec<f64> {
        let each: Vec<(f64, f64)> =
            (0..classes).map(|class| self.scale_and_bias(class)).map(|(s, b)| (f64::from(s), f64::from(b))).collect();
        let all: f64 = each.iter().map(|(scale, _)| 1.0 / scale).sum();
        let mut logits = Vec::with_capacity(probabilities.len());
        for row in probabilities.chunks_exact(classes) {
            let scaled = row.iter().zip(&each).map(|(&p, (_, bias))| ln(p) - bias);
            // The offset that the softmax removes from a row; it makes their sum 0.
            let taken = scaled.clone().zip(&each).map(|(value, (scale, _))| value / scale).sum::<f64>() / all;
            let temperature = f64::from(self.temperature);
            let adjustment =
                self.prior_adjustment.iter().flatten().map(|&bias| f64::from(bias)).chain(std::iter::repeat(0.0));
            let adjusted = scaled.zip(&each).map(|(value, (scale, _))| (value - taken) / scale * temperature);
            logits.extend(adjusted.zip(adjustment).map(|(logit, bias)| logit - bias));
        }
        logits
    }
}

/// The logarithm of a probability, finite for 0.
fn ln(probability: f32) -> f64 {
    libm::log(f64::from(probability.max(f32::MIN_POSITIVE)))
}

impl Default for Calibration {
    fn default() -> Self {
        Self { prior_adjustment: None, temperature: 1.0, scale: None, bias: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector() -> Calibration {
        let (scale, bias) = (Some(vec![0.5, 1.0, 1.5]), Some(vec![0.0, 0.25, -1.0]));
        Calibration { prior_adjustment: None, temperature: 0.5, scale, bias }
    }

    #[test]
    fn calibration_equals_a_manual_computation() {
        // Minus the mean: -2, 0, 2; divided: -4, 0, 4; scaled: -2, 0, 6; with the bias: -2, 0.25,
        // 5.
        let mut row = [1.0f32, 3.0, 5.0];
        vector().apply(&mut row, 3);
        let e = [-2.0f32, 0.25, 5.0].map(libm::expf);
        let sum: f32 = e.iter().sum();
        assert!(row.iter().zip(e).all(|(p, e)| (p - e / sum).abs() < 1e-6), "{row:?}");
        let undone = vector().undo(&row, 3);
        assert!(undone.iter().zip([-2.0, 0.0, 2.0]).all(|(a, b)| (a - b).abs() < 1e-4), "{undone:?}");
    }

    #[test]
    fn a_temperature_alone_keeps_the_predicted_class() {
        let argmax = |calibration: &Calibration| {
            let mut row = [1.2f32, 1.0, -1.0];
            calibration.apply(&mut row, 3);
            loss::argmax(&row)
        };
        let vector = Calibration { bias: Some(vec![0.0, 1.0, 0.0]), ..vector() };
        assert_eq!((argmax(&vector), argmax(&vector.temperature_only())), (1, 0));
        assert!(vector.changes_classes() && !vector.temperature_only().changes_classes());
    }

    #[test]
    fn the_prior_adjustment_divides_by_the_prior_and_is_inverted() {
        // With τ = 1, the probabilities are those of the logits divided by the prior.
        let prior = [0.5, 0.3, 0.2];
        let calibration = Calibration::default().with_prior(1.0, &prior);
        let logits = [1.0f32, 0.0, -1.0];
        let mut row = logits;
        calibration.apply(&mut row, 3);
        let divided: Vec<f64> = logits.iter().zip(prior).map(|(&l, share)| libm::exp(f64::from(l)) / share).collect();
        let sum: f64 = divided.iter().sum();
        assert!(row.iter().zip(&divided).all(|(p, d)| (f64::from(*p) - d / sum).abs() < 1e-6), "{row:?}");
        for calibration in [calibration.clone(), vector().with_prior(0.5, &prior)] {
            let mut row = logits;
            calibration.apply(&mut row, 3);
            let undone = calibration.undo(&row, 3);
            assert!(undone.iter().zip(logits).all(|(a, b)| (a - f64::from(b)).abs() < 1e-4), "{undone:?}");
        }
        assert_eq!(Calibration::default().with_prior(0.0, &prior), Calibration::default());
        assert!(!calibration.changes_classes() && calibration.temperature_only() == calibration);
    }

    #[test]
    fn a_probability_of_zero_is_inverted_to_a_finite_logit() {
        assert!(vector().undo(&[0.0, 1.0, 0.0], 3).iter().all(|logit| logit.is_finite()));
    }

    #[test]
    fn invalid_calibrations_are_errors() {
        let refused = |change: fn(&mut Calibration), part: &str| {
            let mut calibration = vector();
            change(&mut calibration);
            let message = calibration.check(3).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        };
        assert_eq!(vector().check(3), Ok(()));
        refused(|c| c.temperature = 0.0, "temperature");
        refused(|c| c.temperature = f32::NAN, "temperature");
        refused(|c| c.scale = Some(vec![1.0; 2]), "scale is not 3");
        refused(|c| c.scale = Some(vec![1.0, 0.0, 1.0]), "scale is not 3");
        refused(|c| c.prior_adjustment = Some(vec![0.0; 2]), "prior adjustment is not 3");
        refused(|c| c.prior_adjustment = Some(vec![f32::NAN; 3]), "prior adjustment is not 3");
        refused(|c| c.bias = Some(vec![0.0; 4]), "bias is not 3");
        refused(|c| c.bias = Some(vec![f32::INFINITY; 3]), "bias is not 3");
    }
}
