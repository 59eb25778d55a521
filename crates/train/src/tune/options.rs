//! Options of a search.

use super::results::{Metric, SamplerName};
use crate::experiment::RunOptions;
use moue::Device;
use std::time::{Duration, Instant};

/// When a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After this number of trials. The table of trials is then the same on every machine with the same instruction set.
    Trials(usize),
    /// After this time, which includes the trainings of the best configuration.
    Budget(Duration),
}

/// Options of a search.
#[derive(Clone, Debug)]
pub struct TuneOptions {
    /// When it ends.
    pub limit: Limit,
    /// The metric that selects the best trial.
    pub metric: Metric,
    /// How configurations are proposed.
    pub sampler: SamplerName,
    /// Whether weak trials are stopped early (Hyperband).
    pub early_stopping: bool,
    /// Epochs of a whole training; `None` for those of the space, or fewer where the budget requires it.
    pub epochs: Option<usize>,
    /// Number of trials that are trained at the same time.
    pub workers: usize,
    /// Number of seeds with which the best configuration is trained again.
    pub seeds: usize,
    /// Whether the best configuration is evaluated on the test split.
    pub test: bool,
    /// The data, and options that all trials have; without `arch`, `resume` and `epochs`.
    pub run: RunOptions,
    /// The device that trains and validates.
    pub device: Device,
    /// When the time of the budget begins.
    pub started: Instant,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            limit: Limit::Budget(Duration::from_secs(600)),
            metric: Metric::default(),
            sampler: SamplerName::default(),
            early_stopping: true,
            epochs: None,
            workers: 1,
            seeds: 3,
            test: false,
            run: RunOptions::default(),
            device: Device::default(),
            started: Instant::now(),
        }
    }
}

/// A time of at least a second with its unit: `90s`, `30m` or `2h`.
#[must_use]
pub fn parse_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = ["s", "m", "h"].into_iter().find_map(|unit| Some((text.strip_suffix(unit)?, unit)))?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        _ => 3600.0,
    };
    let number: f64 = number.trim().parse().ok()?;
    // A longer time cannot be meant, and would not be represented.
    let seconds = Some(number * seconds).filter(|seconds| (1.0..=1e8).contains(seconds))?;
    Some(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let seconds = |text: &str| parse_time(text).map(|time| time.as_secs_f64());
        assert_eq!(["90s", "30m", "1.5h", " 2 m"].map(seconds), [90.0, 1800.0, 5400.0, 120.0].map(Some));
        for wrong in ["", "m", "30", "-3m", "0s", "nanm", "1e99h", "3d", "é"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
