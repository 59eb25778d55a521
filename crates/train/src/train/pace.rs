//! Measures what an epoch takes, without writing anything.

use super::error::TrainError;
use super::job::Job;
use super::record::Event;
use super::training::Training;
use crate::data::Split;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Steps that are not timed: the first ones allocate memory.
const WARM_UP: usize = 2;

/// Estimates the seconds of an epoch with its validation, from the steps of about `time` and one validation. The job's
/// folder is not used.
///
/// # Errors
/// When the data does not fit, or the loss is NaN or infinite.
pub fn epoch_seconds(job: &Job<'_>, time: Duration) -> Result<f64, TrainError> {
    let mut training = Training::new(job, &mut |_| {})?;
    // A GPU computes a step while the next one is prepared: only a reading waits for it.
    training.steps_per_reading = 1;
    let enough = AtomicBool::new(false);
    let begin = Instant::now();
    // Of the first step, which waits for a GPU to compile its kernels.
    let mut begun = None;
    let (mut steps, mut first, mut last) = (0, None, None);
    training.epoch(&enough, &mut |event| {
        if let Event::Step { images, .. } = event {
            steps += 1;
            let now = (Instant::now(), images);
            if steps <= WARM_UP || first.is_none() {
                first = Some(now);
            }
            last = Some(now);
            let begun = *begun.get_or_insert_with(Instant::now);
            enough.store(steps > WARM_UP && begun.elapsed() >= time, Ordering::Relaxed);
        }
    })?;
    let start = Instant::now();
    training.validate(&mut |_| {})?;
    let validation = start.elapsed().as_secs_f64();
    let images = job.dataset.indices(Split::Train).len() as f64;
    let of_images = match (first, last) {
        (Some((first, before)), Some((last, after))) if after > before => {
            (last - first).as_secs_f64() / (after - before) as f64
        }
        // An epoch of one or two steps.
        _ => (start - begin).as_secs_f64() / images,
    };
    Ok(of_images * images + validation)
}
