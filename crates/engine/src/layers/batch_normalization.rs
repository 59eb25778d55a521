//! Batch normalization (Ioffe, Szegedy 2015).
//!
//! The layer keeps the statistics and computes the scale and shift of each channel; the passes over
//! memory are in `kernels::normalization`.

use super::context::Context;
use super::gradient::{store_gradient, sum_over_ranks};
use super::layer::{Description, Layer, Mode, Sealed, wanted};
use crate::error::BuildError;
use crate::inference::plan::Step;
use crate::kernels::activation::Activation;
use crate::kernels::element::with_element;
use crate::kernels::normalization::{self, Applied};
use crate::parameter::{Parameter, Role};
use crate::tensor::{Shape, Tensor};

/// Options of [`BatchNormalization`].
#[derive(Clone, Copy, Debug)]
pub struct BatchNormalizationOptions {
    /// Share of the previous running statistics that a step keeps.
    pub momentum: f32,
    /// Added to the variance.
    pub epsilon: f32,
    /// An activation that [works in place](Activation::works_in_place).
    pub activation: Activation,
}

/// `y = activation(gamma · (x − mean) / √(variance + epsilon) + beta)`, for each channel over batch
/// and positions; at inference with running statistics, which use the batch's biased variance, as
/// in Keras.
pub struct BatchNormalization {
    name: String,
    shape: Shape,
    options: BatchNormalizationOptions,
    gamma: Parameter,
    beta: Parameter,
    mean: Parameter,
    variance: Parameter,
    /// State of the last pass: the mean and `1 / √(variance + epsilon)`, and the resulting scale
    /// and shift.
    used_mean: Vec<f32>,
    used_inverse: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    used_batch: bool,
    /// A sum and a weighted sum for each channel, and their number of rows.
    sums: Vec<f64>,
    /// Factors of the backward pass: of the gradient, of the value, and the offset.
    factors: [Vec<f32>; 3],
}

impl BatchNormalization {
    /// Creates a layer for maps of shape `input`.
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
            gamma: Parameter::constant(name, "gamma", channels, Role::NoDecay, 1.0),
            beta: Parameter::constant(name, "beta", channels, Role::NoDecay, 0.0),
            mean: Parameter::constant(name, "moving_mean", channels, Role::RunningStat, 0.0),
            variance: Parameter::constant(name, "moving_variance", channels, Role::RunningStat, 1.0),
            used_mean: vec![0.0; channels],
            used_inverse: vec![0.0; channels],
            scale: vec![0.0; channels],
            shift: vec![0.0; channels],
            used_batch: false,
            sums: vec![0.0; 2 * channels + 1],
            factors: std::array::from_fn(|_| vec![0.0; channels]),
        })
    }

    /// Computes the batch's statistics and updates the running statistics.
    fn measure(&mut self, x: &Tensor, context: &mut Context) {
        let channels = self.shape.channels;
        let partial = &mut context.scratch.partial;
        let sums = &mut self.sums[..2 * channels];
        with_element!(x, E => normalization::statistics(x.values::<E>(), channels, partial, sums));
        self.sums[2 * channels] = x.rows() as f64;
        sum_over_ranks(context, &mut self.sums);
        let rows = self.sums[2 * channels];
        if rows == 0.0 {
            return self.use_stored();
        }
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

impl Sealed for BatchNormalization {}

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

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context) {
        self.used_batch = matches!(mode, Mode::Train { .. });
        if self.used_batch {
            self.measure(x, context);
        } else {
            self.use_stored();
        }
        for c in 0..self.shape.channels {
            self.scale[c] = self.gamma.value[c] * self.used_inverse[c];
            self.shift[c] = self.beta.value[c] - self.used_mean[c] * self.scale[c];
        }
        let Self { scale, shift, options, .. } = self;
        with_element!(x, E => {
            normalization::apply(x.values::<E>(), scale, shift, options.activation, y.values_mut());
        });
    }

    fn backward(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        mut dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        let relu = self.options.activation == Activation::Relu;
        if !relu {
            let (activation, channels) = (self.options.activation, self.shape.channels);
            with_element!(y, E => activation.differentiate(dy.values_mut::<E>(), y.values(), None, channels));
        }
        let applied = Applied { mean: &self.used_mean, scale: &self.scale, shift: &self.shift, relu };
        let partial = &mut context.scratch.partial;
        let channels = self.shape.channels;
        let sums = &mut self.sums[..2 * channels];
        with_element!(x, E => normalization::gradient_sums(applied, x.values::<E>(), dy.values(), partial, sums));
        let sums = &mut context.scratch.sums;
        sums.clear();
        sums.extend_from_slice(&self.sums[..channels]);
        store_gradient(context, &mut self.beta);
        let sums = &mut context.scratch.sums;
        sums.clear();
        let weighted = self.sums[channels..].iter().zip(&self.used_inverse);
        sums.extend(weighted.map(|(sum, &inverse)| sum * f64::from(inverse)));
        store_gradient(context, &mut self.gamma);
        self.sums[2 * channels] = x.rows() as f64;
        if self.used_batch {
            sum_over_ranks(context, &mut self.sums);
        }
        // With stored statistics mean and variance do not depend on x.
        let share = if self.used_batch { 1.0 / self.sums[2 * channels] as f32 } else { 0.0 };
        for c in 0..channels {
            let (mean, inverse) = (self.used_mean[c], self.used_inverse[c]);
            let beta = self.sums[c] as f32;
            let gamma = self.sums[channels + c] as f32 * inverse;
            // dx = scale · (dy − mean(dy) − x̂ · mean(dy · x̂)), x̂ = (x − mean) · inverse.
            let by_value = -self.scale[c] * share * inverse * gamma;
            self.factors[0][c] = self.scale[c];
            self.factors[1][c] = by_value;
            self.factors[2][c] = -self.scale[c] * share * beta - by_value * mean;
        }
        if wants_dx {
            let [by_gradient, by_value, offset] = &self.factors;
            let factors = [&by_gradient[..], by_value, offset];
            with_element!(x, E => normalization::input_gradient(applied, factors, x.values::<E>(), dy.values_mut()));
        }
        wanted(dy, wants_dx, context)
    }

    fn describe(&self) -> Description<'_> {
        Description::BatchNormalization {
            momentum: self.options.momentum,
            epsilon: self.options.epsilon,
            activation: self.options.activation,
            parameters: [&self.gamma, &self.beta, &self.mean, &self.variance],
        }
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        let scale_and_shift = (0..self.shape.channels)
            .map(|c| {
                let scale = self.gamma.value[c] / (self.variance.value[c] + self.options.epsilon).sqrt();
                (scale, self.beta.value[c] - self.mean.value[c] * scale)
            })
            .unzip();
        Step::push_affine(steps, &self.name, scale_and_shift, self.options.activation);
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        [&self.gamma, &self.beta, &self.mean, &self.variance].into_iter().for_each(visit);
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        [&mut self.gamma, &mut self.beta, &mut self.mean, &mut self.variance].into_iter().for_each(visit);
    }
}
