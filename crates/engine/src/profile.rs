//! The time that each layer of a network takes.
//!
//! A [`Profiler`] measures sequences of layers and steps at inference; other crates report the
//! times.

use std::time::{Duration, Instant};

/// Time spent in each layer, in the order in which they first ran.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// A row for each layer.
    pub layers: Vec<LayerTime>,
}

/// A row of a [`Profile`].
#[derive(Clone, Debug)]
pub struct LayerTime {
    /// The layer's name.
    pub name: String,
    /// Time in forward passes; that of a block includes its layers.
    pub forward: Duration,
    /// Time in backward passes; that of a block includes its layers.
    pub backward: Duration,
}

impl Profile {
    fn add(&mut self, name: &str, forward: Duration, backward: Duration) {
        if let Some(row) = self.layers.iter_mut().find(|row| row.name == name) {
            row.forward += forward;
            row.backward += backward;
        } else {
            self.layers.push(LayerTime { name: name.to_owned(), forward, backward });
        }
    }
}

/// Measures the time of layers after [`Self::start`].
#[derive(Default)]
pub(crate) struct Profiler(Option<Profile>);

impl Profiler {
    /// Starts to measure.
    pub fn start(&mut self) {
        self.0 = Some(Profile::default());
    }

    /// Stops measuring and returns the times since [`Self::start`].
    pub fn take(&mut self) -> Profile {
        self.0.take().unwrap_or_default()
    }

    /// The current time, if measuring: not every platform has a clock.
    pub fn clock(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    /// Adds the time since `start` to a layer's forward passes.
    pub fn record_forward(&mut self, layer: &str, start: Option<Instant>) {
        if let (Some(profile), Some(start)) = (&mut self.0, start) {
            profile.add(layer, start.elapsed(), Duration::ZERO);
        }
    }

    /// Adds the time since `start` to a layer's backward passes.
    pub fn record_backward(&mut self, layer: &str, start: Option<Instant>) {
        if let (Some(profile), Some(start)) = (&mut self.0, start) {
            profile.add(layer, Duration::ZERO, start.elapsed());
        }
    }
}
