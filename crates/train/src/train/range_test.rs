//! The range test of the learning rate (Smith: "Cyclical Learning Rates for Training Neural Networks", WACV 2017): it rises
//! from step to step, and the loss shows where learning begins and where it diverges.

use super::error::TrainError;
use super::job::Job;
use super::record::Event;
use super::training::Training;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};

/// The learning rates of the first and the last step.
const RATES: [f64; 2] = [1e-6, 10.0];

/// Number of steps.
const STEPS: usize = 200;

/// Weight of earlier losses in the smoothed loss.
const SMOOTHING: f64 = 0.95;

/// The test ends when the smoothed loss is this many times the lowest one.
const DIVERGED: f64 = 3.0;

/// Number of points on each side from which the slope is computed: half a power of ten.
const SLOPE: usize = 14;

/// Number of first points that are left out: the smoothed loss begins with few losses.
const FIRST: usize = 20;

/// A step of the test.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RangePoint {
    /// Its learning rate.
    pub learning_rate: f64,
    /// The loss of its batch.
    pub loss: f64,
    /// The loss smoothed over the steps so far.
    pub smoothed: f64,
}

/// The result of a range test.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RangeTest {
    /// The learning rate at which the smoothed loss decreases fastest; null if it does not decrease.
    pub suggestion: Option<f64>,
    /// The learning rate at which the smoothed loss is lowest.
    pub lowest: Option<f64>,
    /// Whether the test ended early, because the loss increased.
    pub diverged: bool,
    /// The steps.
    pub points: Vec<RangePoint>,
}

/// Runs the test. The job's folder is not used, and no model results.
///
/// # Errors
/// When the data does not fit.
pub fn range_test(
    job: &Job<'_>,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<RangeTest, TrainError> {
    let mut training = Training::new(job, observe)?;
    training.steps_per_reading = 1;
    let [low, high] = RATES;
    let rate = |step: usize| low * libm::pow(high / low, step as f64 / (STEPS - 1) as f64);
    let enough = AtomicBool::new(false);
    let mut found = RangeTest::default();
    let (mut average, mut lowest) = (0.0, f64::INFINITY);
    while !enough.load(Ordering::Relaxed) {
        let (first, mut before, mut total) = (found.points.len(), 0, 0.0);
        let trained = training.epoch_with(&|_, step, steps| rate(first + step % steps) as f32, &enough, &mut |event| {
            let Event::Step { images, loss, .. } = event else { return };
            let sum = loss * images as f64;
            let batch = (sum - total) / (images - before) as f64;
            (before, total) = (images, sum);
            let step = found.points.len();
            average = SMOOTHING * average + (1.0 - SMOOTHING) * batch;
            // Without this, the first values would be too close to 0.
            let smoothed = average / (1.0 - libm::pow(SMOOTHING, (step + 1) as f64));
            lowest = smoothed.min(lowest);
            found.points.push(RangePoint { learning_rate: rate(step), loss: batch, smoothed });
            found.diverged = smoothed > DIVERGED * lowest;
            let is_last = found.points.len() == STEPS || found.diverged || stop.load(Ordering::Relaxed);
            enough.store(is_last, Ordering::Relaxed);
            observe(Event::Step { epoch: 1, epochs: 1, images: found.points.len(), of: STEPS, loss: smoothed });
        });
        match trained {
            Err(TrainError::Diverged { .. }) => {
                found.diverged = true;
                break;
            }
            other => {
                other?;
                training.checkpoint.running = Default::default();
            }
        }
    }
    suggest(&mut found);
    Ok(found)
}

fn suggest(found: &mut RangeTest) {
    let points = &found.points;
    let lowest = points.iter().enumerate().min_by(|a, b| a.1.smoothed.total_cmp(&b.1.smoothed)).map(|(index, _)| index);
    let Some(lowest) = lowest else { return };
    found.lowest = Some(points[lowest].learning_rate);
    // Only while the loss decreases.
    let slopes = (FIRST..lowest.min(points.len().saturating_sub(SLOPE)))
        .map(|index| (index, points[index + SLOPE].smoothed - points[index - SLOPE].smoothed));
    let steepest = slopes.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, slope)| *slope < 0.0);
    found.suggestion = steepest.map(|(index, _)| rounded(points[index].learning_rate));
    if let (Some(rate), Some((index, _))) = (found.suggestion, steepest) {
        // The point of the suggestion has exactly its rate.
        found.points[index].learning_rate = rate;
    }
}

/// Two significant digits.
fn rounded(rate: f64) -> f64 {
    format!("{rate:.1e}").parse().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(losses: &[f64]) -> RangeTest {
        let point = |(step, &smoothed): (usize, &f64)| RangePoint {
            learning_rate: 10f64.powf(step as f64 / 20.0 - 5.0),
            loss: smoothed,
            smoothed,
        };
        let mut found = RangeTest { points: losses.iter().enumerate().map(point).collect(), ..RangeTest::default() };
        suggest(&mut found);
        found
    }

    #[test]
    fn the_suggestion_is_where_the_loss_decreases_fastest() {
        // Falls around step 60 (0.01), is lowest at step 90, and rises.
        let loss = |step: usize| match step {
            0..=90 => 2.0 - 1.0 / (1.0 + (-(step as f64 - 60.0) / 6.0).exp()),
            more => 1.0 + (more - 90) as f64,
        };
        let found = of(&(0..120).map(loss).collect::<Vec<_>>());
        assert_eq!(found.suggestion, Some(0.01));
        assert!((found.lowest.unwrap() - 10f64.powf(-0.5)).abs() < 1e-3);
        assert!(found.points.iter().any(|point| Some(point.learning_rate) == found.suggestion));
    }

    #[test]
    fn without_a_decrease_there_is_no_suggestion() {
        assert_eq!(of(&(0..60).map(f64::from).collect::<Vec<_>>()).suggestion, None);
        assert_eq!((of(&[]).suggestion, of(&[1.0]).lowest.is_some()), (None, true));
    }
}
