//! An activation as a separate layer.
//!
//! Activations that work in place are options of the previous layer instead. The functions are in
//! `kernels::activation`.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed, wanted};
use crate::inference::plan::{Operation, Step};
use crate::kernels::activation;
use crate::kernels::activation::Activation;
use crate::kernels::element::with_element;
use crate::tensor::{Shape, Tensor};

/// `y = activation(x)`.
pub struct ActivationLayer {
    name: String,
    shape: Shape,
    activation: Activation,
}

impl ActivationLayer {
    /// Creates a layer for maps of shape `input`.
    #[must_use]
    pub fn new(name: &str, input: Shape, activation: Activation) -> Self {
        Self { name: name.to_owned(), shape: input, activation }
    }
}

impl Sealed for ActivationLayer {}

impl Layer for ActivationLayer {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        match self.activation {
            Activation::Linear => "linear",
            Activation::Relu => "relu",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Silu => "silu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Softmax => "softmax",
        }
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

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, _pass: Mode<'_>, _context: &mut Context) {
        y.convert_from(x);
        with_element!(y, E => activation::apply_all(self.activation, y.values_mut::<E>(), self.shape.channels));
    }

    fn backward(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        mut dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        if wants_dx {
            let (activation, channels) = (self.activation, self.shape.channels);
            with_element!(x, E => {
                activation.differentiate(dy.values_mut::<E>(), y.values(), Some(x.values()), channels);
            });
        }
        wanted(dy, wants_dx, context)
    }

    fn describe(&self) -> Description<'_> {
        Description::Activation(self.activation)
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        steps.push(Step::new(&self.name, Operation::Activation { activation: self.activation }));
    }
}
