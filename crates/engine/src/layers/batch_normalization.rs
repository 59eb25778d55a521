//! Batch normalization (Ioffe, Szegedy 2015).

use super::{Layer, Parameter, Pass, Role};
use crate::kernels::reduce;
use crate::{Activation, BuildError, Shape, Tensor};
use rayon::prelude::*;

/// Positions that one task normalizes.
const TASK_ROWS: usize = 256;

/// Options of [`BatchNormalization`].
#[derive(Clone, Copy, Debug)]
pub struct BatchNormalizationOptions {
    /// Share of the old running statistics that a step keeps.
    pub momentum: f32,
    /// Added to the variance.
    pub epsilon: f32,
    /// Applied in place; must be one that [works there](Activation::works_in_place).
    pub activation: Activation,
}

/// `y = activation(gamma · (x − mean) / √(variance + epsilon) + beta)`, for each
/// channel over batch and positions; running statistics at inference, with the
/// batch's biased variance in them, as in Keras.
pub struct BatchNormalization {
    name: String,
    shape: Shape,
    options: BatchNormalizationOptions,
    gamma: Parameter,
    beta: Parameter,
    mean: Parameter,
    variance: Parameter,
    /// Of the last pass: the mean and `1 / √(variance + epsilon)` it used.
    used_mean: Vec<f32>,
    used_inverse: Vec<f32>,
    used_batch: bool,
    partial: Vec<f64>,
    sums: Vec<f64>,
}

impl BatchNormalization {
    /// A layer on maps of `input`.
    ///
    /// # Errors
    /// When `momentum` or `epsilon` is out of range.
    pub fn new(name: &str, input: Shape, options: BatchNormalizationOptions) -> Result<Self, BuildError> {
        if !(0.0..1.0).contains(&options.momentum) {
            return Err(BuildError::OutOfRange { what: "momentum", range: "[0, 1)", value: options.momentum });
        }
        if !(options.epsilon > 0.0 && options.epsilon < 1.0) {
            return Err(BuildError::OutOfRange { what: "epsilon", range: "(0, 1)", value: options.epsilon });
        }
        let channels = input.channels;
        Ok(Self {
            name: name.to_owned(),
            shape: input,
            options,
            gamma: Parameter::constant(name, "gamma", channels, Role::Offset, 1.0),
            beta: Parameter::constant(name, "beta", channels, Role::Offset, 0.0),
            mean: Parameter::constant(name, "moving_mean", channels, Role::Statistic, 0.0),
            variance: Parameter::constant(name, "moving_variance", channels, Role::Statistic, 1.0),
            used_mean: vec![0.0; channels],
            used_inverse: vec![0.0; channels],
            used_batch: false,
            partial: Vec::new(),
            sums: vec![0.0; 2 * channels],
        })
    }

    /// Takes the batch's statistics and moves the running ones towards them.
    fn measure(&mut self, x: &Tensor) {
        let channels = self.shape.channels;
        let values = x.data();
        reduce::over_rows(x.rows(), 2 * channels, &mut self.partial, &mut self.sums, |row, sums| {
            let (sum, squares) = sums.split_at_mut(channels);
            let row = &values[row * channels..(row + 1) * channels];
            for ((sum, square), &v) in sum.iter_mut().zip(squares).zip(row) {
                let v = f64::from(v);
                *sum += v;
                *square += v * v;
            }
        });
        let rows = x.rows() as f64;
        let keep = self.options.momentum;
        for c in 0..channels {
            let mean = self.sums[c] / rows;
            let variance = (self.sums[channels + c] / rows - mean * mean).max(0.0);
            self.used_mean[c] = mean as f32;
            self.used_inverse[c] = (1.0 / (variance + f64::from(self.options.epsilon)).sqrt()) as f32;
            self.mean.value[c] = keep * self.mean.value[c] + (1.0 - keep) * mean as f32;
            self.variance.value[c] = keep * self.variance.value[c] + (1.0 - keep) * variance as f32;
        }
    }

    fn use_stored(&mut self) {
        for c in 0..self.shape.channels {
            self.used_mean[c] = self.mean.value[c];
            self.used_inverse[c] = 1.0 / (self.variance.value[c] + self.options.epsilon).sqrt();
        }
    }
}

impl Layer for BatchNormalization {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "batch_normalization"
    }

    fn input_shape(&self) -> Shape {
        self.shape
    }

    fn output_shape(&self) -> Shape {
        self.shape
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, pass: Pass<'_>) {
        self.used_batch = matches!(pass, Pass::Train { .. });
        if self.used_batch {
            self.measure(x);
        } else {
            self.use_stored();
        }
        let channels = self.shape.channels;
        let scale: Vec<f32> = self.gamma.value.iter().zip(&self.used_inverse).map(|(g, i)| g * i).collect();
        let shift: Vec<f32> =
            self.beta.value.iter().zip(&self.used_mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        let task = TASK_ROWS * channels;
        y.data_mut().par_chunks_mut(task).zip(x.data().par_chunks(task)).for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(&scale).zip(&shift) {
                    *y = x * scale + shift;
                }
            }
            self.options.activation.apply(y, channels);
        });
    }

    fn backward(&mut self, x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        let channels = self.shape.channels;
        self.options.activation.differentiate(dy.data_mut(), y.data(), None, channels);
        let (values, gradients) = (x.data(), dy.data());
        let (mean, inverse) = (&self.used_mean, &self.used_inverse);
        reduce::over_rows(x.rows(), 2 * channels, &mut self.partial, &mut self.sums, |row, sums| {
            let (beta, gamma) = sums.split_at_mut(channels);
            let row = row * channels..(row + 1) * channels;
            let (x, g) = (&values[row.clone()], &gradients[row]);
            for c in 0..channels {
                beta[c] += f64::from(g[c]);
                gamma[c] += f64::from(g[c] * (x[c] - mean[c]) * inverse[c]);
            }
        });
        for c in 0..channels {
            self.beta.gradient[c] = self.sums[c] as f32;
            self.gamma.gradient[c] = self.sums[channels + c] as f32;
        }
        let Some(dx) = dx else { return };
        // dx = gamma · inverse · (dy − mean(dy) − x̂ · mean(dy · x̂)); with stored
        // statistics the two means do not depend on x and drop out.
        let share = if self.used_batch { 1.0 / x.rows() as f32 } else { 0.0 };
        let (gamma, beta_sum, gamma_sum) = (&self.gamma.value, &self.beta.gradient, &self.gamma.gradient);
        let task = TASK_ROWS * channels;
        dx.data_mut().par_chunks_mut(task).enumerate().for_each(|(i, dx)| {
            for (r, dx) in dx.chunks_exact_mut(channels).enumerate() {
                let row = i * task + r * channels..i * task + (r + 1) * channels;
                let (x, g) = (&values[row.clone()], &gradients[row]);
                for c in 0..channels {
                    let normalized = (x[c] - mean[c]) * inverse[c];
                    let centred = g[c] - share * (beta_sum[c] + normalized * gamma_sum[c]);
                    dx[c] = gamma[c] * inverse[c] * centred;
                }
            }
        });
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        [&self.gamma, &self.beta, &self.mean, &self.variance].into_iter().for_each(visit);
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        [&mut self.gamma, &mut self.beta, &mut self.mean, &mut self.variance].into_iter().for_each(visit);
    }
}
