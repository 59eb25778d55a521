//! Fully connected layer: a 1 × 1 convolution on a 1 × 1 map.
//!
//! Only its options and its shape differ from [`Conv2d`].

use super::context::Context;
use super::conv2d::{Conv2d, Conv2dOptions};
use super::initializer::Initializer;
use super::layer::{Description, Layer, Mode, Sealed};
use crate::error::BuildError;
use crate::inference::plan::Step;
use crate::kernels::activation::Activation;
use crate::kernels::window::Padding;
use crate::parameter::Parameter;
use crate::random::Stream;
use crate::tensor::{Shape, Tensor};

/// Options of [`Dense`].
#[derive(Clone, Copy, Debug)]
pub struct DenseOptions {
    /// Number of outputs.
    pub units: usize,
    /// Whether to add a bias.
    pub use_bias: bool,
    /// An activation that [works in place](Activation::works_in_place).
    pub activation: Activation,
    /// Initializer of the kernel.
    pub initializer: Initializer,
}

/// `y = activation(x · kernel + bias)`; kernel `[inputs, units]`.
pub struct Dense(Conv2d);

impl Dense {
    /// Creates a layer for flat vectors.
    ///
    /// # Errors
    /// When the input is not flat or `units` is zero.
    pub fn new(name: &str, input: Shape, options: DenseOptions, stream: &mut Stream) -> Result<Self, BuildError> {
        if input.positions() != 1 {
            return Err(BuildError::NotFlat(input));
        }
        if options.units == 0 {
            return Err(BuildError::Zero { what: "units" });
        }
        let options = Conv2dOptions {
            filters: options.units,
            kernel_size: [1, 1],
            strides: [1, 1],
            padding: Padding::Valid,
            use_bias: options.use_bias,
            activation: options.activation,
            initializer: options.initializer,
        };
        let mut inner = Conv2d::new(name, input, options, stream)?;
        inner.visit_mut(&mut |parameter| {
            if parameter.shape.len() == 4 {
                parameter.shape.drain(..2);
            }
        });
        Ok(Self(inner))
    }
}

impl Sealed for Dense {}

impl Layer for Dense {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn kind(&self) -> &'static str {
        "dense"
    }

    fn input_shape(&self) -> Shape {
        self.0.input_shape()
    }

    fn output_shape(&self) -> Shape {
        self.0.output_shape()
    }

    fn macs(&self) -> usize {
        self.0.macs()
    }

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context) {
        self.0.forward(x, y, mode, context);
    }

    fn backward(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        self.0.backward(x, y, dy, wants_dx, context)
    }

    fn describe(&self) -> Description<'_> {
        self.0.describe()
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        self.0.lower(steps);
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.0.visit(visit);
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.0.visit_mut(visit);
    }
}
