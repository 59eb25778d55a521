//! A further output of a network, taken from the middle of its layers.
//!
//! A network is a tree with one output. An `output` layer lets a map pass and computes another
//! result from it by layers of its own; the results are collected by name in the [`Context`]. So a
//! feature pyramid, or a network that is also trained on an intermediate result, is a tree as well.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed, add_and_apply, lower, wanted};
use super::sequence::Sequence;
use crate::inference::plan::{Operation, Step};
use crate::kernels::activation::Activation;
use crate::parameter::Parameter;
use crate::tensor::{Shape, Tensor};

/// `y = x`; the named output is `layers(x)`.
pub struct Output {
    name: String,
    /// Name of the output.
    output: String,
    layers: Sequence,
}

impl Output {
    /// Creates a layer that computes the output called `output` by `layers`, on maps of their input
    /// shape. Outputs of one network must have different names.
    #[must_use]
    pub fn new(name: &str, output: &str, layers: Sequence) -> Self {
        Self { name: name.to_owned(), output: output.to_owned(), layers }
    }
}

impl Sealed for Output {}

impl Layer for Output {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "output"
    }

    fn input_shape(&self) -> Shape {
        self.layers.input_shape()
    }

    fn output_shape(&self) -> Shape {
        self.layers.input_shape()
    }

    fn macs(&self) -> usize {
        self.layers.macs()
    }

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context) {
        y.convert_from(x);
        let mut output = context.workspace.take(x.batch(), self.layers.output_shape());
        self.layers.forward(x, &mut output, mode, context);
        context.set_output(&self.output, output);
    }

    /// Adds the gradient of the named output, where one was set; otherwise the layers that compute
    /// it get gradients of 0.
    fn backward(
        &mut self,
        x: &Tensor,
        _y: &Tensor,
        mut dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        match (context.take_output(&self.output), context.take_output_gradient(&self.output)) {
            (Some(output), Some(gradient)) => {
                if let Some(dx) = self.layers.backward(x, &output, gradient, wants_dx, context) {
                    add_and_apply(&dx, Activation::Linear, &mut dy);
                    context.workspace.give(dx);
                }
                context.workspace.give(output);
            }
            (output, _) => {
                output.into_iter().for_each(|output| context.workspace.give(output));
                self.layers.visit_mut(&mut |parameter| parameter.gradient.fill(0.0));
            }
        }
        wanted(dy, wants_dx, context)
    }

    fn describe(&self) -> Description<'_> {
        Description::Output { layers: &self.layers }
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        let operation = Operation::Output { output: self.output.clone(), layers: lower(&self.layers) };
        steps.push(Step::new(&self.name, operation));
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.layers.visit(visit);
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.layers.visit_mut(visit);
    }

    fn children(&self) -> Vec<&dyn Layer> {
        vec![&self.layers]
    }
}
