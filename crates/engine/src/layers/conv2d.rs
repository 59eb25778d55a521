//! 2-D convolution.
//!
//! The layer owns kernel and bias; `kernels::convolution` selects an algorithm and computes it.

use super::context::{Context, Scratch};
use super::gradient::{kernel_gradient, store_gradient, sum_partial};
use super::initializer::Initializer;
use super::layer::{Description, Filtered, Layer, Mode, Sealed};
use crate::error::BuildError;
use crate::inference::plan::{Convolved, Operation, Step};
use crate::kernels::activation::Activation;
use crate::kernels::bf16::first;
use crate::kernels::bf16::gradient::KernelGradient;
use crate::kernels::convolution::Convolution;
use crate::kernels::element::with_element;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::reduce;
use crate::kernels::window::{Padding, Window};
use crate::parameter::{Parameter, Role};
use crate::precision::Precision;
use crate::random::Stream;
use crate::tensor::{Shape, Tensor};

/// Options of [`Conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv2dOptions {
    /// Output channels.
    pub filters: usize,
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Vertical and horizontal stride.
    pub strides: [usize; 2],
    /// Padding.
    pub padding: Padding,
    /// Whether to add a bias.
    pub use_bias: bool,
    /// An activation that [works in place](Activation::works_in_place).
    pub activation: Activation,
    /// Initializer of the kernel.
    pub initializer: Initializer,
}

/// `y = activation(x ∗ kernel + bias)`; kernel `[height, width, channels, filters]`.
pub struct Conv2d {
    name: String,
    convolution: Convolution,
    activation: Activation,
    kernel: Parameter,
    bias: Option<Parameter>,
    /// The precisions of the input and the output in the last forward pass.
    precisions: [Precision; 2],
}

impl Conv2d {
    /// Creates a layer for maps of shape `input`.
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
            convolution: Convolution::new(window, filters),
            activation: options.activation,
            kernel: Parameter::new(name, "kernel", shape, Role::Weight, draw),
            bias: options.use_bias.then(|| Parameter::constant(name, "bias", filters, Role::NoDecay, 0.0)),
            precisions: [Precision::F32; 2],
        })
    }
}

impl Sealed for Conv2d {}

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

    fn method(&self) -> &'static str {
        match self.precisions {
            [_, Precision::F32] => self.convolution.method(),
            [Precision::F32, Precision::Bf16] => "direct",
            [Precision::Bf16, Precision::Bf16] => "bf16",
        }
    }

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn reads_f32(&self) -> bool {
        self.convolution.reads_f32()
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, _pass: Mode<'_>, context: &mut Context) {
        let bias = self.bias.as_ref().map(|bias| &bias.value[..]);
        let epilogue = Epilogue { bias, add: None, activation: self.activation };
        let prepared = &mut context.scratch.first;
        self.precisions = [x, y].map(Tensor::precision);
        self.convolution.prepare(self.precisions, &self.kernel.value, prepared);
        self.convolution.forward(x, prepared, &epilogue, y);
    }

    fn backward(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        mut dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        let filters = self.convolution.filters;
        with_element!(y, E => self.activation.differentiate(dy.values_mut::<E>(), y.values(), None, filters));
        if let Some(bias) = &mut self.bias {
            let scratch = &mut context.scratch;
            let (partial, sums) = (&mut scratch.partial, &mut scratch.sums);
            with_element!(dy, E => reduce::sum_rows(dy.values::<E>(), filters, partial, sums));
            store_gradient(context, bias);
        }
        let convolution = &self.convolution;
        if dy.is_f32() {
            kernel_gradient(context, &mut self.kernel, [x, &dy], |x, dy, scratch, gradient| {
                convolution.backward_kernel(x, dy, scratch, gradient);
            });
        } else if x.is_f32() {
            let window = &convolution.window;
            sum_partial(context, &mut self.kernel, [x, &dy], first::partial_sums(window), |x, dy, _, sums| {
                first::backward_kernel(window, filters, x, dy, sums);
            });
        } else {
            let gradient = KernelGradient::new(&convolution.window, filters);
            sum_partial(context, &mut self.kernel, [x, &dy], gradient.bands(), |x, dy, _, sums| {
                gradient.compute(x, dy, sums);
            });
        }
        let dy = if wants_dx { context.workspace.convert(dy, x.precision()) } else { dy };
        let dx = wants_dx.then(|| {
            let mut dx = context.workspace.take_as(x.batch(), x.shape(), x.precision());
            let Scratch { first, second, .. } = &mut context.scratch;
            convolution.backward_input(&dy, &self.kernel.value, [first, second], &mut dx);
            dx
        });
        context.workspace.give(dy);
        dx
    }

    fn describe(&self) -> Description<'_> {
        Description::Conv2d(Filtered {
            window: self.convolution.window,
            kernel: &self.kernel,
            bias: self.bias.as_ref(),
            activation: self.activation,
        })
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        steps.push(Step::new(
            &self.name,
            Operation::Conv2d {
                convolution: self.convolution.for_inference(),
                convolved: Convolved::new(
                    &self.kernel.value,
                    self.bias.as_ref(),
                    self.activation,
                    self.convolution.filters,
                ),
            },
        ));
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
