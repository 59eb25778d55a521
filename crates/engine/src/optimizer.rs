//! Optimizers: SGD with momentum, Adam, decoupled weight decay, gradient clipping.
//!
//! A network's backward pass computes the gradients; the caller sets the learning rate schedule.

use crate::network::Network;
use crate::parameter::Role;
use rayon::prelude::*;

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerKind {
    /// Stochastic gradient descent.
    Sgd {
        /// Momentum; 0 for none.
        momentum: f32,
        /// Whether to use Nesterov momentum.
        nesterov: bool,
    },
    /// Adam (Kingma, Ba 2015); with weight decay it is `AdamW` (Loshchilov,
    /// Hutter 2019).
    Adam {
        /// Decay of the first moment.
        beta_1: f32,
        /// Decay of the second moment.
        beta_2: f32,
        /// Added to the denominator for numerical stability.
        epsilon: f32,
    },
}

impl OptimizerKind {
    fn slots(self) -> usize {
        match self {
            Self::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Self::Adam { .. } => 2,
        }
    }
}

/// An optimizer and its state.
#[derive(Clone, Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    /// Decoupled weight decay: each step subtracts `learning_rate · weight_decay` times each kernel
    /// (not biases and scales).
    weight_decay: f32,
    /// Maximum global norm of the gradients, if any.
    clip_norm: Option<f32>,
    steps: u64,
    /// For each trained parameter, its moments one after the other.
    moments: Vec<Vec<f32>>,
}

/// Values per task.
const CHUNK: usize = 8 * 1024;

impl Optimizer {
    /// Creates an optimizer for the parameters of `network`.
    #[must_use]
    pub fn new(kind: OptimizerKind, weight_decay: f32, clip_norm: Option<f32>, network: &Network) -> Self {
        let mut moments = Vec::new();
        network.visit(|parameter| {
            if parameter.is_trained() {
                moments.push(vec![0.0; kind.slots() * parameter.value.len()]);
            }
        });
        Self { kind, weight_decay, clip_norm, steps: 0, moments }
    }

    /// The update rule.
    #[must_use]
    pub fn kind(&self) -> OptimizerKind {
        self.kind
    }

    /// The factor of the decoupled weight decay.
    #[must_use]
    pub fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    /// Maximum global norm of the gradients, if any.
    #[must_use]
    pub fn clip_norm(&self) -> Option<f32> {
        self.clip_norm
    }

    /// Number of steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The state for a checkpoint: an array for each trained parameter.
    #[must_use]
    pub fn moments(&self) -> &[Vec<f32>] {
        &self.moments
    }

    /// Restores the state of a checkpoint. Returns false, without a change, when the arrays do not
    /// have this optimizer's sizes.
    #[must_use]
    pub fn restore(&mut self, steps: u64, moments: Vec<Vec<f32>>) -> bool {
        let fits = moments.len() == self.moments.len()
            && moments.iter().zip(&self.moments).all(|(new, old)| new.len() == old.len());
        if fits {
            self.steps = steps;
            self.moments = moments;
        }
        fits
    }

    /// Updates every trained parameter by one step.
    pub fn step(&mut self, network: &mut Network, learning_rate: f32) {
        self.steps += 1;
        add_penalties(network);
        let scale = self.clip_scale(network);
        let (kind, steps) = (self.kind, self.steps);
        let mut moments = self.moments.iter_mut();
        network.visit_mut(|parameter| {
            if !parameter.is_trained() {
                return;
            }
            let Some(moments) = moments.next() else { return };
            let decay = if parameter.role == Role::Weight { learning_rate * self.weight_decay } else { 0.0 };
            let weights = parameter.value.par_chunks_mut(CHUNK).zip(parameter.gradient.par_chunks(CHUNK));
            match kind {
                OptimizerKind::Sgd { momentum: 0.0, .. } => weights.for_each(|(w, g)| {
                    w.iter_mut().zip(g).for_each(|(w, g)| *w -= decay * *w + learning_rate * scale * g);
                }),
                OptimizerKind::Sgd { momentum, nesterov } => {
                    weights.zip(moments.par_chunks_mut(CHUNK)).for_each(|((w, g), m)| {
                        for ((w, &g), m) in w.iter_mut().zip(g).zip(m) {
                            let g = scale * g;
                            *m = momentum * *m + g;
                            let step = if nesterov { g + momentum * *m } else { *m };
                            *w -= decay * *w + learning_rate * step;
                        }
                    });
                }
                OptimizerKind::Adam { beta_1, beta_2, epsilon } => {
                    let rate = learning_rate / (1.0 - libm::pow(f64::from(beta_1), steps as f64)) as f32;
                    let correct = (1.0 / (1.0 - libm::pow(f64::from(beta_2), steps as f64))) as f32;
                    let (first, second) = moments.split_at_mut(parameter.gradient.len());
                    let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
                    weights.zip(moments).for_each(|((w, g), (m, v))| {
                        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                            let g = scale * g;
                            *m = beta_1 * *m + (1.0 - beta_1) * g;
                            *v = beta_2 * *v + (1.0 - beta_2) * g * g;
                            *w -= decay * *w + rate * *m / ((*v * correct).sqrt() + epsilon);
                        }
                    });
                }
            }
        });
    }

    /// The factor that limits the global norm of the gradients.
    fn clip_scale(&self, network: &Network) -> f32 {
        let Some(limit) = self.clip_norm else { return 1.0 };
        let mut sum = 0.0f64;
        network.visit(|parameter| sum += parameter.gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>());
        let norm = sum.sqrt() as f32;
        if norm > limit { limit / norm } else { 1.0 }
    }
}

/// Adds the gradient `2 · l2 · value` of each L2 penalty.
fn add_penalties(network: &mut Network) {
    network.visit_mut(|parameter| {
        if parameter.l2 != 0.0 && parameter.is_trained() {
            let factor = 2.0 * parameter.l2;
            let values = parameter.value.par_chunks(CHUNK);
            parameter.gradient.par_chunks_mut(CHUNK).zip(values).for_each(|(gradient, values)| {
                gradient.iter_mut().zip(values).for_each(|(g, v)| *g += factor * v);
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::Activation;
    use crate::layers::{Dense, DenseOptions, Initializer, Sequence};
    use crate::random::Stream;
    use crate::tensor::Shape;

    fn network() -> Network {
        let options = DenseOptions {
            units: 1,
            use_bias: true,
            activation: Activation::Linear,
            initializer: Initializer::HeUniform,
        };
        let dense = Dense::new("dense", Shape::flat(2), options, &mut Stream::new(1)).unwrap();
        let mut network = Network::new(Sequence::new("", Shape::flat(2), vec![Box::new(dense)]));
        network.visit_mut(|p| {
            let start: &[f32] = if p.value.len() == 2 { &[1.0, -2.0] } else { &[0.5] };
            p.value.copy_from_slice(start);
        });
        network
    }

    fn after(kind: OptimizerKind, decay: f32, clip: Option<f32>, gradients: &[[f32; 3]]) -> Vec<f32> {
        let mut network = network();
        let mut optimizer = Optimizer::new(kind, decay, clip, &network);
        for gradient in gradients {
            network.visit_mut(|p| {
                let part = if p.value.len() == 2 { &gradient[..2] } else { &gradient[2..] };
                p.gradient.copy_from_slice(part);
            });
            optimizer.step(&mut network, 0.1);
        }
        let mut values = Vec::new();
        network.visit(|p| values.extend_from_slice(&p.value));
        values
    }

    fn assert_close(got: &[f32], expected: &[f32]) {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}, expected {expected:?}");
    }

    #[test]
    fn sgd_equals_a_manual_computation() {
        let plain = OptimizerKind::Sgd { momentum: 0.0, nesterov: false };
        assert_close(&after(plain, 0.0, None, &[[1.0, 2.0, 3.0]]), &[0.9, -2.2, 0.2]);
        // Weight decay subtracts 0.1 · 0.5 of the kernel and does not change the bias.
        assert_close(&after(plain, 0.5, None, &[[0.0; 3]]), &[0.95, -1.9, 0.5]);
        let momentum = OptimizerKind::Sgd { momentum: 0.9, nesterov: false };
        assert_close(&after(momentum, 0.0, None, &[[1.0, 0.0, 0.0]; 2]), &[1.0 - 0.1 - 0.19, -2.0, 0.5]);
        let nesterov = OptimizerKind::Sgd { momentum: 0.9, nesterov: true };
        assert_close(&after(nesterov, 0.0, None, &[[1.0, 0.0, 0.0]; 2]), &[1.0 - 0.19 - 0.271, -2.0, 0.5]);
    }

    #[test]
    fn adam_equals_a_manual_computation() {
        let adam = OptimizerKind::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
        // The first step is the learning rate in the gradient's direction.
        assert_close(&after(adam, 0.0, None, &[[5.0, -0.01, 0.0]]), &[0.9, -1.9, 0.5]);
        // m = 0.1·1·0.9 + 0 = 0.09, v = 0.001·0.999; both corrected by the second step's factors.
        let second = 0.1 * (0.09 / 0.19) / (0.000_999f32 / 0.001_999).sqrt();
        assert_close(&after(adam, 0.0, None, &[[1.0, 0.0, 0.0], [0.0; 3]]), &[0.9 - second, -2.0, 0.5]);
    }

    #[test]
    fn l2_penalties_decay_weights() {
        let mut network = network();
        network.visit_mut(|p| p.l2 = if p.role == Role::Weight { 0.5 } else { 0.0 });
        let plain = OptimizerKind::Sgd { momentum: 0.0, nesterov: false };
        Optimizer::new(plain, 0.0, None, &network).step(&mut network, 0.1);
        let mut values = Vec::new();
        network.visit(|p| values.extend_from_slice(&p.value));
        assert_close(&values, &[0.9, -1.8, 0.5]);
    }

    #[test]
    fn clipping_scales_the_global_norm() {
        let plain = OptimizerKind::Sgd { momentum: 0.0, nesterov: false };
        assert_close(&after(plain, 0.0, Some(1.0), &[[0.0, 3.0, 4.0]]), &[1.0, -2.06, 0.42]);
        assert_close(&after(plain, 0.0, Some(9.0), &[[0.0, 3.0, 4.0]]), &[1.0, -2.3, 0.1]);
    }
}
