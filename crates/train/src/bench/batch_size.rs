//! The fastest batch size of a training on this machine.

use super::{Bench, BenchError, peak_memory, training};
use crate::config::Config;
use moue::Device;
use serde::Serialize;
use std::time::Duration;

/// The batch sizes that are measured.
const SIZES: [usize; 6] = [16, 32, 64, 128, 256, 512];

/// Time for each of them.
const TIME: Duration = Duration::from_millis(400);

/// A larger batch is taken only if it is faster by this factor, because it makes fewer steps in an epoch.
const FASTER: f64 = 1.05;

/// The training with a batch size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BatchSize {
    /// The batch size.
    pub batch_size: usize,
    /// Training images per second.
    pub images_per_second: f64,
    /// Peak memory of the process in bytes; `None` where the system does not report it (Linux does).
    pub bytes: Option<u64>,
}

/// Measures batch sizes up to `images`, until one needs more memory than `limit`; `observe` is called with each of them.
/// Returns the fastest that fits. On a GPU they must fit its memory as well.
///
/// # Errors
/// When the network cannot be built, or the device cannot compute it.
pub fn fastest_batch_size(
    config: &Config,
    images: usize,
    limit: Option<u64>,
    device: &Device,
    observe: &mut dyn FnMut(&BatchSize),
) -> Result<usize, BenchError> {
    let mut best: Option<BatchSize> = None;
    for batch_size in SIZES.into_iter().filter(|&size| size == SIZES[0] || size <= images) {
        forget_peak();
        let seconds = match Bench::new(config, batch_size, device).and_then(|mut bench| training(&mut bench, TIME)) {
            Err(BenchError::Device(error)) if best.is_some() && error.is_out_of_memory() => break,
            seconds => seconds?,
        };
        let measured = BatchSize { batch_size, images_per_second: batch_size as f64 / seconds, bytes: peak_memory() };
        observe(&measured);
        if best.is_none() {
            best = Some(measured);
        }
        if measured.bytes.zip(limit).is_some_and(|(bytes, limit)| bytes > limit) {
            break;
        }
        if best.is_some_and(|best| measured.images_per_second > FASTER * best.images_per_second) {
            best = Some(measured);
        }
    }
    Ok(best.map_or(SIZES[0], |best| best.batch_size))
}

/// The memory of this process and half of the memory that is free, in bytes.
#[must_use]
pub fn default_memory() -> Option<u64> {
    let field = |text: &str, name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    };
    let free = field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let own = field(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")?;
    Some(own + free / 2)
}

/// Lets the peak begin anew. Where that is not possible, the peak of a smaller batch counts, too.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_data_and_memory_count() {
        let config = Config::open("tiny").unwrap();
        let sizes = |images, limit| {
            let mut seen = Vec::new();
            let best =
                fastest_batch_size(&config, images, limit, &Device::default(), &mut |size| seen.push(size.batch_size));
            let best = best.unwrap();
            assert!(seen.contains(&best));
            seen
        };
        assert_eq!(sizes(40, None), [16, 32]);
        assert_eq!(sizes(5, None), [16]);
        if peak_memory().is_some() {
            assert_eq!(sizes(1000, Some(1)), [16], "nothing fits, so that the smallest is taken");
            assert!(default_memory().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
