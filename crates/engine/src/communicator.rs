//! Communication between processes that train one network together, each on its share of
//! every batch.
//!
//! The engine states here what it needs; other crates implement it (MPI, or threads in
//! tests). All processes build the same network and take the same steps in the same order.
//!
//! **Bit-identical results for any number of ranks.** A sum over images is divided into grains of
//! [`GRAIN`] images. Within a grain it is computed in f32, for speed; grains are added in f64,
//! which represents a sum of so few f32 values exactly unless they differ by a factor of 2²⁰ or
//! more, and the total is rounded once. Dividing a batch between grains therefore does not change
//! the result (except where an error of 2⁻⁵³ changes the rounding to 2⁻²⁴), and ranks that each
//! have whole grains compute the same as a single process.

/// Images whose gradients are summed in f32.
pub const GRAIN: usize = 32;

/// The processes that train one network together.
///
/// When one process fails, all of them end: no method returns without the values of the other
/// processes, and none returns an error.
pub trait Communicator: Send + Sync {
    /// The rank of this process, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// The values of each rank, in the order of ranks; all ranks pass the same number of values.
    fn gather(&self, values: &[f64]) -> Vec<f64>;

    /// Starts to sum a gradient over all ranks, in their order, and returns immediately. All ranks
    /// pass the same gradients in the same order.
    fn begin_sum(&self, gradient: Gradient);

    /// Waits for the sums of all gradients that were passed since the last call.
    fn finish_sums(&self) -> Vec<Gradient>;

    /// Ends all processes with this exit code. A rank that cannot continue calls it, since the
    /// other ranks would wait for it.
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

/// The gradient of a parameter while it is summed over ranks.
#[derive(Debug)]
pub struct Gradient {
    /// The name of the parameter.
    pub name: String,
    /// The sums, not yet rounded.
    pub values: Vec<f64>,
}
