//! Depthwise 2-D convolution (Chollet 2017).
//!
//! The layer owns kernel and bias; the arithmetic is in `kernels::depthwise`.

use super::context::Context;
use super::gradient::{kernel_gradient, store_gradient};
use super::initializer::Initializer;
use super::layer::{Description, Filtered, Layer, Mode, Sealed};
use crate::error::BuildError;
use crate::inference::plan::{Convolved, Operation, Step};
use crate::kernels::activation::Activation;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::window::{Padding, Window};
use crate::kernels::{depthwise, reduce};
use crate::parameter::{Parameter, Role};
use crate::random::Stream;
use crate::tensor::{Shape, Tensor};

/// Options of [`DepthwiseConv2d`].
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseConv2dOptions {
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

/// `y = activation(x ∗ kernel + bias)` with one filter for each channel; kernel `[height, width,
/// channels]`.
pub struct DepthwiseConv2d {
    name: String,
    window: Window,
    activation: Activation,
    kernel: Parameter,
    bias: Option<Parameter>,
}

impl DepthwiseConv2d {
    /// Creates a layer for maps of shape `input`.
    ///
    /// # Errors
    /// When a size is zero or a `valid` kernel is larger than the map.
    pub fn new(
        name: &str,
        input: Shape,
        options: DepthwiseConv2dOptions,
        stream: &mut Stream,
    ) -> Result<Self, BuildError> {
        let window = Window::new(input, options.kernel_size, options.strides, options.padding)?;
        let [height, width] = options.kernel_size;
        let draw = options.initializer.draw(height * width, height * width, stream);
        let shape = vec![height, width, input.channels];
        Ok(Self {
            name: name.to_owned(),
            window,
            activation: options.activation,
            kernel: Parameter::new(name, "kernel", shape, Role::Weight, draw),
            bias: options.use_bias.then(|| Parameter::constant(name, "bias", input.channels, Role::NoDecay, 0.0)),
        })
    }
}

impl Sealed for DepthwiseConv2d {}

impl Layer for DepthwiseConv2d {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "depthwise_conv2d"
    }

    fn input_shape(&self) -> Shape {
        self.window.input
    }

    fn output_shape(&self) -> Shape {
        Shape::new(self.window.output[0], self.window.output[1], self.window.input.channels)
    }

    fn macs(&self) -> usize {
        self.window.positions() * self.window.patch_len()
    }

    fn method(&self) -> &'static str {
        "direct"
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, _pass: Mode<'_>, _context: &mut Context) {
        let bias = self.bias.as_ref().map(|bias| &bias.value[..]);
        let epilogue = Epilogue { bias, add: None, activation: self.activation };
        depthwise::forward(&self.window, x.data(), &self.kernel.value, &epilogue, y.data_mut());
    }

    fn backward(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        mut dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        self.activation.differentiate(dy.data_mut(), y.data(), None, self.window.input.channels);
        if let Some(bias) = &mut self.bias {
            let scratch = &mut context.scratch;
            reduce::sum_rows(dy.data(), self.window.input.channels, &mut scratch.partial, &mut scratch.sums);
            store_gradient(context, bias);
        }
        let window = &self.window;
        kernel_gradient(context, &mut self.kernel, [x, &dy], |x, dy, scratch, gradient| {
            depthwise::backward_kernel(window, x, dy, scratch, gradient);
        });
        let dx = wants_dx.then(|| {
            let mut dx = context.workspace.take(x.batch(), x.shape());
            depthwise::backward_input(&self.window, dy.data(), &self.kernel.value, dx.data_mut());
            dx
        });
        context.workspace.give(dy);
        dx
    }

    fn describe(&self) -> Description<'_> {
        Description::DepthwiseConv2d(Filtered {
            window: self.window,
            kernel: &self.kernel,
            bias: self.bias.as_ref(),
            activation: self.activation,
        })
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        let channels = self.window.input.channels;
        steps.push(Step::new(
            &self.name,
            Operation::DepthwiseConv2d {
                window: self.window,
                convolved: Convolved::new(&self.kernel.value, self.bias.as_ref(), self.activation, channels),
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
