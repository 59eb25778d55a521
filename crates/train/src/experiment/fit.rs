//! Fits a training to a budget of time.

use crate::train::{Job, TrainError, epoch_seconds};
use std::time::{Duration, Instant};

/// Share of the time that the measurement takes at most, and its maximum in seconds.
const MEASURED: (f64, f64) = (0.05, 60.0);

/// Share of the time that is planned: the calibration and the report come after the epochs.
const PLANNED: f64 = 0.95;

/// Seconds in which the files of an epoch are written.
const WRITTEN: f64 = 0.03;

/// The number of epochs with which a training ends in this time, at least one, and the seconds of one. Phases with other
/// image sizes are not considered.
///
/// # Errors
/// When the data does not fit, or the loss is NaN or infinite.
pub fn epochs_within(job: &Job<'_>, time: Duration) -> Result<(usize, f64), TrainError> {
    let start = Instant::now();
    let mut config = job.config.clone();
    config.train.progressive.clear();
    let job =
        Job { config: &config, source: job.source.clone(), communicator: None, device: job.device.clone(), ..*job };
    let longest = Duration::from_secs_f64((MEASURED.0 * time.as_secs_f64()).min(MEASURED.1));
    let seconds = epoch_seconds(&job, longest)? + WRITTEN;
    let left = PLANNED * (time.as_secs_f64() - start.elapsed().as_secs_f64());
    Ok((((left / seconds) as usize).clamp(1, 1_000_000), seconds))
}
