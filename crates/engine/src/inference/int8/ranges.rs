//! The ranges of values that bytes represent.
//!
//! They are found by running images through the network in f32. A few values are far from all others, so the range of
//! bytes may be shorter than that of the values ([`RangeMethod`]).

use crate::inference::execute::{self, Pass};
use crate::inference::lower::steps;
use crate::inference::plan::{Operation, Step, prepare};
use crate::kernels::int8::Quantization;
use crate::network::Network;
use crate::precision::Precision;
use crate::profile::Profiler;
use crate::tensor::Tensor;
use crate::workspace::Workspace;
use std::collections::BTreeMap;

/// The lowest and the highest value of the input of each layer that computes with 8-bit integers, by name.
pub type Ranges = BTreeMap<String, [f32; 2]>;

/// The scale and the zero with which bytes represent a range: a byte is `scale · (byte − zero)`.
#[must_use]
pub fn int8_range(range: [f32; 2]) -> (f32, u8) {
    let Quantization { scale, zero } = Quantization::of_range(range);
    (scale, zero)
}

/// How a range follows from the values of a layer's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RangeMethod {
    /// At each end, values beyond this fraction of all are outside of the range; an end at 0 stays there.
    Percentile(f64),
    /// The range for which the squared error of quantization and clipping is smallest.
    SquaredError,
}

/// Bins of a histogram.
const BINS: usize = 2048;

/// Ranges that are compared by their error.
const CANDIDATES: usize = 100;

/// Values that an input has taken.
struct Histogram {
    low: f32,
    high: f32,
    counts: Vec<u64>,
}

/// The ranges of a network's layers for some batches of inputs, `[N, H, W, C]` after normalization. `batch` returns the
/// batch of a number from 0, and `None` after the last one; all batches are read twice.
#[must_use]
pub fn ranges(network: &Network, method: RangeMethod, batch: &dyn Fn(usize) -> Option<Tensor>) -> Ranges {
    let mut steps = steps(network);
    let mut names = Vec::new();
    layers(&steps, [true, true], &mut names);
    prepare(&mut steps, Precision::F32, [true, true]);
    let mut histograms = BTreeMap::new();
    observe(&steps, batch, &names, &mut |name, values| {
        let histogram =
            histograms.entry(name.to_owned()).or_insert(Histogram { low: 0.0, high: 0.0, counts: Vec::new() });
        histogram.extend(values);
    });
    histograms.values_mut().for_each(|histogram| histogram.counts = vec![0; BINS]);
    observe(&steps, batch, &names, &mut |name, values| {
        if let Some(histogram) = histograms.get_mut(name) {
            histogram.count(values);
        }
    });
    histograms.into_iter().map(|(name, histogram)| (name, histogram.range(method))).collect()
}

/// The names of the layers that compute with 8-bit integers.
#[must_use]
pub fn int8_layers(network: &Network) -> Vec<String> {
    let mut names = Vec::new();
    layers(&steps(network), [true, true], &mut names);
    names
}

/// Adds the names of convolutions and dense layers, except for those at an f32 end, and those that compute the factors
/// of channels or a further output.
fn layers(steps: &[Step], f32_ends: [bool; 2], names: &mut Vec<String>) {
    // Steps after it compute further outputs.
    let last = steps.iter().rposition(|step| !step.is_output()).unwrap_or(0);
    for (i, step) in steps.iter().enumerate() {
        let is_f32 = f32_ends[0] && i == 0 || f32_ends[1] && i == last;
        match step.operation() {
            Operation::Conv2d { .. } if !is_f32 => names.push(step.layer().to_owned()),
            Operation::Residual { branch, shortcut, .. } => {
                [branch, shortcut].into_iter().for_each(|steps| layers(steps, [is_f32; 2], names));
            }
            Operation::Concatenate { branches, .. } => {
                branches.iter().for_each(|steps| layers(steps, [is_f32; 2], names));
            }
            _ => {}
        }
    }
}

/// Runs batches and calls `visit` with the inputs of the layers of these names.
fn observe(
    steps: &[Step],
    batch: &dyn Fn(usize) -> Option<Tensor>,
    names: &[String],
    visit: &mut (dyn FnMut(&str, &[f32]) + Send),
) {
    let mut visit = |name: &str, x: &Tensor| {
        if names.iter().any(|known| known == name) {
            visit(name, x.data());
        }
    };
    let mut workspace = Workspace::default();
    for x in (0..).map_while(batch) {
        let mut outputs = Vec::new();
        let mut pass = Pass {
            workspace: &mut workspace,
            profiler: &mut Profiler::default(),
            outputs: &mut outputs,
            observer: Some(&mut visit),
        };
        let y = execute::run(steps, execute::Map::Lent(&x), &mut pass);
        workspace.give(y);
        outputs.into_iter().for_each(|(_, output)| workspace.give(output));
    }
}

impl Histogram {
    fn extend(&mut self, values: &[f32]) {
        let finite = values.iter().filter(|value| value.is_finite());
        [self.low, self.high] =
            finite.fold([self.low, self.high], |[low, high], &value| [low.min(value), high.max(value)]);
    }

    fn count(&mut self, values: &[f32]) {
        let bins = BINS as f32 / (self.high - self.low);
        for value in values.iter().filter(|value| value.is_finite()) {
            self.counts[(((value - self.low) * bins) as usize).min(BINS - 1)] += 1;
        }
    }

    /// The value in the middle of a bin.
    fn value(&self, bin: usize) -> f64 {
        let [low, high] = [self.low, self.high].map(f64::from);
        low + (bin as f64 + 0.5) * (high - low) / BINS as f64
    }

    fn range(&self, method: RangeMethod) -> [f32; 2] {
        match method {
            RangeMethod::Percentile(inside) => self.percentile(inside),
            RangeMethod::SquaredError => {
                let candidates = (1..=CANDIDATES).map(|part| {
                    let part = part as f32 / CANDIDATES as f32;
                    [self.low * part, self.high * part]
                });
                // The last one is the whole range, so the shorter of equal ones is chosen.
                candidates
                    .map(|range| (range, self.squared_error(range)))
                    .min_by(|(_, a), (_, b)| a.total_cmp(b))
                    .map_or([self.low, self.high], |(range, _)| range)
            }
        }
    }

    /// The range without the same fraction of values at both ends; an end at 0 stays there.
    fn percentile(&self, inside: f64) -> [f32; 2] {
        let total: u64 = self.counts.iter().sum();
        let outside = ((1.0 - inside) * total as f64) as u64;
        let width = (self.high - self.low) / BINS as f32;
        let bins_outside = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut sum = 0;
            counts
                .take_while(|&count| {
                    sum += count;
                    sum <= outside
                })
                .count()
        };
        let below = if self.low < 0.0 { bins_outside(&mut self.counts.iter()) } else { 0 };
        let above = if self.high > 0.0 { bins_outside(&mut self.counts.iter().rev()) } else { 0 };
        [self.low + below as f32 * width, self.high - above as f32 * width]
            .map(|end| if end.is_finite() { end } else { 0.0 })
    }

    /// The mean squared error of bytes that represent this range, up to a factor.
    fn squared_error(&self, range: [f32; 2]) -> f64 {
        let [low, high] = range.map(f64::from);
        let step = (high - low) / 255.0;
        let rounding = step * step / 12.0;
        let errors = self.counts.iter().enumerate().map(|(bin, &count)| {
            let value = self.value(bin);
            let clipped = value - value.clamp(low.min(0.0), high.max(0.0));
            count as f64 * if clipped == 0.0 { rounding } else { clipped * clipped }
        });
        errors.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram { low: 0.0, high: 0.0, counts: Vec::new() };
        histogram.extend(values);
        histogram.counts = vec![0; BINS];
        histogram.count(values);
        histogram
    }

    #[test]
    fn a_percentile_leaves_out_that_fraction_of_the_values() {
        let values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0).collect();
        let [low, high] = histogram(&values).range(RangeMethod::Percentile(0.99));
        assert!(low == 0.0 && (high - 0.99).abs() < 0.001, "{low} to {high}");
        let both: Vec<f32> = values.iter().map(|value| value * 2.0 - 1.0).collect();
        let [low, high] = histogram(&both).range(RangeMethod::Percentile(0.99));
        assert!((low + 0.98).abs() < 0.002 && (high - 0.98).abs() < 0.002, "{low} to {high}");
        assert_eq!(histogram(&both).range(RangeMethod::Percentile(1.0)), [-1.0, values[9_999] * 2.0 - 1.0]);
    }

    #[test]
    fn the_squared_error_is_that_of_the_bytes() {
        let mut stream = Stream::new(1);
        // One value is above all others.
        let values: Vec<f32> =
            (0..200_000).map(|i| if i == 0 { 6.0 } else { stream.normal().abs().min(3.5) }).collect();
        let histogram = histogram(&values);
        let [low, high] = histogram.range(RangeMethod::SquaredError);
        let error = |high: f32| -> f64 {
            let quantization = Quantization::of_range([0.0, high]);
            values.iter().map(|&v| f64::from(v - quantization.value(quantization.quantize(v))).powi(2)).sum()
        };
        assert_eq!(low, 0.0);
        let best = (1..=100).map(|part| error(histogram.high * part as f32 / 100.0)).fold(f64::MAX, f64::min);
        assert!(error(high) < 1.05 * best, "{high} of {}: {} instead of {best}", histogram.high, error(high));
        assert!(high < 0.9 * histogram.high);
    }

    #[test]
    fn zeros_and_nan_have_a_range() {
        for values in [vec![0.0; 10], vec![f32::NAN; 10], vec![]] {
            for method in [RangeMethod::Percentile(0.9999), RangeMethod::SquaredError] {
                assert_eq!(histogram(&values).range(method), [0.0, 0.0]);
            }
        }
    }
}
