//! Processes that train one network together, each on its share of every batch.
//!
//! The engine says here what it needs of them; who they are and how they talk
//! is for others to know. All of them build the same network and take the same
//! steps in the same order.
//!
//! **Ranks and the bit promise.** A sum over images is made of grains of [`GRAIN`]
//! images. Within a grain it is f32, as fast as it gets; grains are added in f64, which
//! holds a sum of so few f32 exactly unless they differ by a factor of 2²⁰ or more, and
//! the end is rounded once. So where a batch is cut between grains matters to no bit
//! (short of a last digit of 2⁻⁵³ that tips the rounding to 2⁻²⁴), and ranks that each
//! have whole grains compute what one process does.

/// Images whose share of a gradient is added up in f32.
pub const GRAIN: usize = 32;

/// The way to the other processes.
///
/// A process that is lost ends all of them: no method returns without the
/// others' values, and none of them fails.
pub trait Group: Send + Sync {
    /// This process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// What each gives, in the order of ranks; all give equally many.
    fn gather(&self, values: &[f64]) -> Vec<f64>;

    /// Begins to add up each gradient over all ranks, in their order, and returns
    /// at once. All ranks hand in the same gradients in the same order.
    fn begin_sum(&self, gradient: Gradient);

    /// The sums of all that was handed in since the last call, once they are there.
    fn finish_sums(&self) -> Vec<Gradient>;

    /// Ends all of them at once, with this exit code: what a rank does that cannot
    /// go on, since the others would wait for it.
    fn abort(&self, code: i32) -> !;

    /// Replaces each value by its sum over all ranks.
    fn sum(&self, values: &mut [f64]) {
        let all = self.gather(values);
        values.fill(0.0);
        for part in all.chunks_exact(values.len().max(1)) {
            values.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// A parameter's gradient on its way.
#[derive(Debug)]
pub struct Gradient {
    /// Of the parameter.
    pub name: String,
    /// The numbers, not yet rounded.
    pub values: Vec<f64>,
}
