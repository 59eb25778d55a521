//! Learning rate schedules.

use crate::config::{ScheduleName, TrainOptions};
use serde::{Deserialize, Serialize};

/// Initial share of the learning rate in `one_cycle`, and final share of the initial value.
const CYCLE_START: f64 = 1.0 / 25.0;
const CYCLE_END: f64 = 1e-4;

/// State of `plateau`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Product of the reductions so far.
    pub scale: f32,
    /// Lowest validation loss so far.
    pub lowest: Option<f64>,
    /// Epochs since then.
    pub waited: usize,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { scale: 1.0, lowest: None, waited: 0 }
    }
}

impl Plateau {
    /// Updates the state with an epoch's validation loss.
    pub fn observe(&mut self, options: &TrainOptions, loss: f64) {
        if self.lowest.is_none_or(|lowest| loss < lowest) {
            self.lowest = Some(loss);
            self.waited = 0;
            return;
        }
        self.waited += 1;
        if self.waited >= options.plateau_patience {
            self.scale *= options.plateau_factor;
            self.waited = 0;
        }
    }
}

/// The learning rate at step `step` (from 0) of `total`.
#[must_use]
pub fn learning_rate(
    options: &TrainOptions,
    plateau: &Plateau,
    step: usize,
    total: usize,
    steps_per_epoch: usize,
) -> f32 {
    let peak = options.learning_rate;
    let cosine =
        |from: f64, to: f64, share: f64| to + (from - to) * (1.0 + libm::cos(std::f64::consts::PI * share)) / 2.0;
    let warm = (f64::from(options.warmup) * total as f64).round() as usize;
    let after = |step: usize| (step - warm) as f64 / (total - warm).saturating_sub(1).max(1) as f64;
    let share = match options.schedule {
        ScheduleName::Constant => 1.0,
        ScheduleName::Step => {
            let falls = step / steps_per_epoch.max(1) / options.step_epochs;
            libm::pow(f64::from(options.step_factor), falls as f64)
        }
        ScheduleName::Cosine if step < warm => (step + 1) as f64 / warm as f64,
        ScheduleName::Cosine => cosine(1.0, 0.0, after(step)),
        ScheduleName::OneCycle if step < warm => cosine(CYCLE_START, 1.0, step as f64 / warm as f64),
        ScheduleName::OneCycle => cosine(1.0, CYCLE_START * CYCLE_END, after(step)),
        ScheduleName::Plateau => f64::from(plateau.scale),
    };
    peak * share as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: ScheduleName, total: usize) -> Vec<f32> {
        let options = TrainOptions { schedule, learning_rate: 1.0, step_epochs: 2, ..TrainOptions::default() };
        (0..total).map(|step| learning_rate(&options, &Plateau::default(), step, total, 10)).collect()
    }

    #[test]
    fn one_cycle_rises_and_then_decays() {
        let rates = rates(ScheduleName::OneCycle, 100);
        assert!((rates[0] - 0.04).abs() < 1e-6 && rates[25] == 1.0 && rates[99] < 1e-5, "{rates:?}");
        assert!(rates[..25].is_sorted() && rates[25..].is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn cosine_warms_up_and_ends_at_zero() {
        let rates = rates(ScheduleName::Cosine, 100);
        assert!((rates[0] - 0.04).abs() < 1e-6 && rates[24] == 1.0 && rates[99] == 0.0, "{rates:?}");
    }

    #[test]
    fn step_reduces_the_rate_every_step_epochs() {
        let rates = rates(ScheduleName::Step, 50);
        assert_eq!((rates[19], rates[20]), (1.0, 0.1));
        assert!((rates[49] - 0.01).abs() < 1e-8);
    }

    #[test]
    fn plateau_reduces_the_rate_after_its_patience() {
        let options = TrainOptions { schedule: ScheduleName::Plateau, plateau_patience: 2, ..TrainOptions::default() };
        let mut plateau = Plateau::default();
        let scales: Vec<f32> = [2.0, 1.0, 1.5, 1.2, 1.1, 1.1, 0.9]
            .into_iter()
            .map(|loss| {
                plateau.observe(&options, loss);
                plateau.scale
            })
            .collect();
        assert_eq!(scales, [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn a_training_of_one_step_has_a_rate() {
        for schedule in [ScheduleName::Cosine, ScheduleName::OneCycle, ScheduleName::Constant] {
            assert!(rates(schedule, 1)[0].is_finite());
        }
    }
}
