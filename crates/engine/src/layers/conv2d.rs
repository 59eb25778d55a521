//! 2-D convolution.

use super::{Initializer, Layer, Parameter, Pass, Role};
use crate::kernels::convolution::Convolution;
use crate::kernels::reduce;
use crate::kernels::window::{Padding, Window};
use crate::random::Stream;
use crate::{Activation, BuildError, Shape, Tensor};

/// Options of [`Conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv2dOptions {
    /// Output channels.
    pub filters: usize,
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Steps down and across.
    pub strides: [usize; 2],
    /// Border treatment.
    pub padding: Padding,
    /// Whether a bias is added.
    pub use_bias: bool,
    /// Applied in place; must be one that [works there](Activation::works_in_place).
    pub activation: Activation,
    /// Where the kernel starts.
    pub initializer: Initializer,
}

/// `y = activation(x ∗ kernel + bias)`; kernel `[height, width, channels, filters]`.
pub struct Conv2d {
    name: String,
    convolution: Convolution,
    activation: Activation,
    kernel: Parameter,
    bias: Option<Parameter>,
    transposed: Vec<f32>,
    partial: Vec<f32>,
    bias_partial: Vec<f64>,
    bias_sums: Vec<f64>,
}

impl Conv2d {
    /// A layer on maps of `input`.
    ///
    /// # Errors
    /// When a size is zero or a `valid` kernel is larger than the map.
    pub fn new(name: &str, input: Shape, options: Conv2dOptions, stream: &mut Stream) -> Result<Self, BuildError> {
        let filters = options.filters;
        if filters == 0 {
            return Err(BuildError::Zero { what: "filters" });
        }
        let window = Window::new(input, options.kernel_size, options.strides, options.padding)?;
        let [height, width] = options.kernel_size;
        let taps = height * width;
        if taps.saturating_mul(input.channels).saturating_mul(filters) > 1 << 30 {
            return Err(BuildError::TooLarge("more than 2^30 weights in one kernel"));
        }
        let draw = options.initializer.draw(taps * input.channels, taps * filters, stream);
        let shape = vec![height, width, input.channels, filters];
        Ok(Self {
            name: name.to_owned(),
            convolution: Convolution { window, filters },
            activation: options.activation,
            kernel: Parameter::new(name, "kernel", shape, Role::Weight, draw),
            bias: options.use_bias.then(|| Parameter::constant(name, "bias", filters, Role::Offset, 0.0)),
            transposed: Vec::new(),
            partial: Vec::new(),
            bias_partial: Vec::new(),
            bias_sums: vec![0.0; filters],
        })
    }
}

impl Layer for Conv2d {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn input_shape(&self) -> Shape {
        self.convolution.window.input
    }

    fn output_shape(&self) -> Shape {
        let [height, width] = self.convolution.window.output;
        Shape::new(height, width, self.convolution.filters)
    }

    fn macs(&self) -> usize {
        self.convolution.macs()
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, _pass: Pass<'_>) {
        let bias = self.bias.as_ref().map(|bias| &bias.value[..]);
        self.convolution.forward(x.data(), &self.kernel.value, bias, self.activation, y.data_mut());
    }

    fn backward(&mut self, x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        let filters = self.convolution.filters;
        self.activation.differentiate(dy.data_mut(), y.data(), None, filters);
        let dy = dy.data();
        if let Some(bias) = &mut self.bias {
            sum_rows(dy, &mut self.bias_partial, &mut self.bias_sums, &mut bias.gradient);
        }
        self.convolution.backward_kernel(x.data(), dy, &mut self.partial, &mut self.kernel.gradient);
        if let Some(dx) = dx {
            self.convolution.backward_input(dy, &self.kernel.value, &mut self.transposed, dx.data_mut());
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        visit(&self.kernel);
        self.bias.iter().for_each(visit);
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        visit(&mut self.kernel);
        self.bias.iter_mut().for_each(visit);
    }
}

/// The gradient of a bias: `dy` `[rows, channels]` summed over its rows.
pub(super) fn sum_rows(dy: &[f32], partial: &mut Vec<f64>, sums: &mut [f64], gradient: &mut [f32]) {
    let channels = gradient.len();
    reduce::over_rows(dy.len() / channels, channels, partial, sums, |row, sums| {
        let row = &dy[row * channels..(row + 1) * channels];
        sums.iter_mut().zip(row).for_each(|(sum, &g)| *sum += f64::from(g));
    });
    gradient.iter_mut().zip(sums).for_each(|(gradient, sum)| *gradient = *sum as f32);
}
