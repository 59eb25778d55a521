//! The time of a search: what was used, what trainings cost, and what is left for them.

use super::trial::Trial;
use std::time::{Duration, Instant};

/// Shares of the budget for the trainings of the best configuration, if its cost is typical: usually, and in a short
/// budget.
const FOR_BEST: [f64; 2] = [0.3, 0.45];

/// Configurations for which these trainings would take more than this share are not proposed.
const MOST_FOR_BEST: f64 = 0.5;

/// Fewest epochs of a training that teaches something. Before there are fewer, there are fewer seeds.
const ENOUGH: usize = 8;

/// Fewest seeds of a short budget.
const FEW: usize = 2;

/// The budget is used to this share; the rest is for what was not foreseen.
const USED: f64 = 0.95;

/// Share after which a running training is stopped during the search.
const OVERRUN: f64 = 1.1;

/// Share after which the trainings of the best configuration are stopped.
const END: f64 = 1.35;

/// Seconds that the measurement of latencies and the report take.
const REPORT_SECONDS: f64 = 1.0;

/// The clock and the costs of a search. Without a limit everything is allowed.
pub struct Budget {
    started: Instant,
    /// Seconds of earlier calls.
    before: f64,
    limit: Option<f64>,
    /// Number of trainings of the best configuration.
    seeds: usize,
    /// Seconds of an epoch for each unit of work of an image.
    rate: Option<f64>,
}

impl Budget {
    pub fn new(started: Instant, before: f64, limit: Option<Duration>, seeds: usize) -> Self {
        Self { started, before, limit: limit.map(|limit| limit.as_secs_f64()), seeds, rate: None }
    }

    /// Seconds since the start of the search.
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Records what an epoch of a network with this work has taken.
    pub fn measured(&mut self, seconds: f64, work: usize) {
        self.rate = Some(seconds / work.max(1) as f64);
    }

    /// Learns the rate from all trained epochs.
    pub fn learn(&mut self, trials: &[Trial]) {
        let trained = trials.iter().filter_map(|trial| Some((trial.epoch_seconds()?, trial)));
        let (mut seconds, mut work) = (0.0, 0.0);
        for (epoch, trial) in trained {
            let epochs = trial.record.history.len() as f64;
            seconds += epoch * epochs;
            work += trial.work as f64 * epochs;
        }
        if work > 0.0 {
            self.rate = Some(seconds / work);
        }
    }

    /// Seconds of an epoch of a trial.
    fn epoch(&self, trial: &Trial) -> f64 {
        trial.epoch_seconds().unwrap_or_else(|| self.estimate(trial.work))
    }

    fn estimate(&self, work: usize) -> f64 {
        self.rate.unwrap_or(0.0) * work as f64
    }

    /// Plans the epochs of a training, at most `most`, so that the trainings of the best configuration fit the budget, for
    /// a configuration with this work.
    pub fn plan(&mut self, work: usize, most: usize) -> usize {
        let Some(limit) = self.limit else { return most };
        let one = self.estimate(work).max(1e-9);
        let [usual, short] = FOR_BEST;
        let plans = [(usual, self.seeds), (short, self.seeds), (short, self.seeds.min(FEW))];
        let epochs = |(share, seeds): (f64, usize)| ((share * limit / (one * seeds as f64)) as usize).min(most);
        let [.., last] = plans;
        let plan = plans.into_iter().find(|&plan| epochs(plan) >= ENOUGH.min(most)).unwrap_or(last);
        self.seeds = plan.1;
        epochs(plan).max(1)
    }

    /// The number of trainings of the best configuration that are planned.
    pub fn planned_seeds(&self) -> usize {
        self.seeds
    }

    /// Whether the best configuration may be one with this work.
    pub fn affords(&self, work: usize, epochs: usize) -> bool {
        self.limit.is_none_or(|limit| self.estimate(work) * (self.seeds * epochs) as f64 <= MOST_FOR_BEST * limit)
    }

    /// Whether a trial can be trained for this number of further epochs, and the best trial again after it.
    pub fn allows(&self, trial: &Trial, further: usize, best: Option<&Trial>, epochs: usize) -> bool {
        let Some(limit) = self.limit else { return true };
        let again = self.epoch(best.unwrap_or(trial)) * (self.seeds * epochs) as f64;
        self.seconds() + self.epoch(trial) * further as f64 + again + REPORT_SECONDS <= USED * limit
    }

    /// Whether running trials must be stopped, so that the best trial can be trained again.
    pub fn is_over(&self, best: Option<&Trial>, epochs: usize) -> bool {
        let again = best.map_or(0.0, |best| self.epoch(best) * (self.seeds * epochs) as f64);
        self.limit.is_some_and(|limit| self.seconds() + again > OVERRUN * limit)
    }

    /// The number of trainings of the best configuration for which there is time, at least one.
    pub fn seeds(&self, best: &Trial, epochs: usize) -> usize {
        let Some(limit) = self.limit else { return self.seeds };
        let one = (self.epoch(best) * epochs as f64).max(1e-9);
        let left = (limit.max(self.before) * OVERRUN - self.seconds()).max(0.0);
        ((left / one) as usize).clamp(1, self.seeds)
    }

    /// Whether everything must end.
    pub fn is_exhausted(&self) -> bool {
        // A repeated command has time to finish what is left.
        self.limit.is_some_and(|limit| self.seconds() > (END * limit).max(self.before + limit / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tune::trial::Record;
    use std::path::Path;

    fn trial(seconds: &[f64]) -> Trial {
        let record = |(number, seconds): (usize, &f64)| crate::train::EpochRecord {
            epoch: number + 1,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation_loss: 1.0,
            validation_accuracy: 0.5,
            validation_macro_f1: Some(0.5),
            seconds: *seconds,
            images_per_second: 1.0,
            wall_time: 0.0,
        };
        let record = Record { history: seconds.iter().enumerate().map(record).collect(), ..Record::default() };
        Trial::new(Path::new("x"), 1, 1, Config::open("tiny").unwrap(), record, 7)
    }

    #[test]
    fn time_is_kept_for_the_best_configuration() {
        let limit = Some(Duration::from_secs(100));
        let budget = Budget::new(Instant::now(), 0.0, limit, 3);
        // 10 epochs of 1 second, three times: 30 of 95 seconds are left for the search.
        let best = trial(&[1.0]);
        assert!(budget.allows(&trial(&[1.0]), 60, Some(&best), 10));
        assert!(!budget.allows(&trial(&[1.0]), 70, Some(&best), 10));
        assert!(!budget.is_over(Some(&best), 10) && budget.is_over(Some(&best), 40));
        let late = Budget::new(Instant::now(), 85.0, limit, 3);
        assert!(!late.allows(&trial(&[1.0]), 1, Some(&best), 10));
        assert_eq!((late.seeds(&best, 10), late.seeds(&best, 100), budget.seeds(&best, 10)), (2, 1, 3));
    }

    #[test]
    fn epochs_and_networks_fit_the_budget() {
        let planned = |work: usize, most: usize| {
            let mut budget = Budget::new(Instant::now(), 0.0, Some(Duration::from_secs(90)), 3);
            budget.measured(1.0, 1_000_000);
            (budget.plan(work, most), budget.planned_seeds())
        };
        assert_eq!((planned(1_000_000, 30), planned(1_000_000, 5)), ((9, 3), (5, 3)));
        // Fewer seeds rather than very short trainings.
        assert_eq!((planned(2_000_000, 30), planned(100_000_000, 30)), ((10, 2), (1, 2)));
        let mut budget = Budget::new(Instant::now(), 0.0, Some(Duration::from_secs(90)), 3);
        budget.measured(1.0, 1_000_000);
        assert!(budget.affords(1_500_000, 9) && !budget.affords(2_000_000, 9));
        let trials = [trial(&[2.0, 4.0])];
        budget.learn(&trials);
        assert!((budget.estimate(trials[0].work) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_number_of_trials_has_no_limit_of_time() {
        let mut budget = Budget::new(Instant::now(), 1e9, None, 3);
        assert_eq!((budget.plan(1, 30), budget.planned_seeds()), (30, 3));
        assert!(budget.allows(&trial(&[1e6]), 100, None, 100) && !budget.is_exhausted());
    }
}
