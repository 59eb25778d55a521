//! Squeeze-and-excitation (Hu et al. 2018).
//!
//! A sequence of layers computes the factors of the channels; the multiplication is in
//! `kernels::channel_scale`.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed, add_and_apply, lower};
use super::sequence::Sequence;
use crate::error::BuildError;
use crate::inference::plan::{Operation, Step};
use crate::kernels::activation::Activation;
use crate::kernels::channel_scale;
use crate::kernels::element::with_element;
use crate::parameter::Parameter;
use crate::tensor::{Shape, Tensor};

/// `y = x · gate(x)`: a sequence that ends in one value for each channel scales the channels of
/// each map.
pub struct SqueezeExcite {
    name: String,
    gate: Sequence,
    weights: Option<Tensor>,
}

impl SqueezeExcite {
    /// Creates a block with this gate, which usually ends in a sigmoid.
    ///
    /// # Errors
    /// When the gate does not end in one value for each channel of its input.
    pub fn new(name: &str, gate: Sequence) -> Result<Self, BuildError> {
        let wanted = Shape::flat(gate.input_shape().channels);
        if gate.output_shape() != wanted {
            return Err(BuildError::GateMismatch { gate: gate.output_shape(), wanted });
        }
        Ok(Self { name: name.to_owned(), gate, weights: None })
    }
}

impl Sealed for SqueezeExcite {}

impl Layer for SqueezeExcite {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "squeeze_excite"
    }

    fn input_shape(&self) -> Shape {
        self.gate.input_shape()
    }

    fn output_shape(&self) -> Shape {
        self.gate.input_shape()
    }

    fn macs(&self) -> usize {
        self.gate.macs()
    }

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context) {
        if let Some(weights) = self.weights.take() {
            context.workspace.give(weights);
        }
        let mut weights = context.workspace.take(x.batch(), self.gate.output_shape());
        self.gate.forward(x, &mut weights, mode, context);
        y.convert_from(x);
        with_element!(y, E => channel_scale::apply(y.values_mut::<E>(), weights.data(), x.shape()));
        self.weights = Some(weights);
    }

    fn backward(
        &mut self,
        x: &Tensor,
        _y: &Tensor,
        mut dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        let weights = self.weights.take()?;
        let mut dweights = context.workspace.take(weights.batch(), weights.shape());
        with_element!(x, E => {
            channel_scale::gradient(x.values::<E>(), dy.values(), dweights.data_mut(), x.shape());
        });
        let through_gate = self.gate.backward(x, &weights, dweights, wants_dx, context);
        let dx = through_gate.map(|mut dx| {
            with_element!(dy, E => channel_scale::apply(dy.values_mut::<E>(), weights.data(), x.shape()));
            add_and_apply(&dy, Activation::Linear, &mut dx);
            dx
        });
        context.workspace.give(weights);
        context.workspace.give(dy);
        dx
    }

    fn describe(&self) -> Description<'_> {
        Description::SqueezeExcite { gate: &self.gate }
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        steps.push(Step::new(&self.name, Operation::Gate { gate: lower(&self.gate) }));
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.gate.visit(visit);
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.gate.visit_mut(visit);
    }

    fn children(&self) -> Vec<&dyn Layer> {
        vec![&self.gate]
    }
}
