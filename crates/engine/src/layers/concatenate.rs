//! Concatenation of several branches on the same input along the channels.
//!
//! The branches are sequences of layers; `kernels::concatenate` copies the channels.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed, add_and_apply, lower, wanted};
use super::sequence::Sequence;
use crate::error::BuildError;
use crate::inference::plan::{Operation, Step};
use crate::kernels::activation::Activation;
use crate::kernels::concatenate;
use crate::kernels::element::with_element;
use crate::parameter::Parameter;
use crate::tensor::{Shape, Tensor};

/// `y = [branch_1(x), branch_2(x), …]` along the channels; an empty branch is
/// the identity.
pub struct Concatenate {
    name: String,
    branches: Vec<Sequence>,
    /// Outputs of all branches, kept for the backward pass.
    outputs: Vec<Tensor>,
}

impl Concatenate {
    /// Creates a layer of branches on the same input.
    ///
    /// # Errors
    /// When there is no branch, or two branches do not end in maps of the same size.
    pub fn new(name: &str, branches: Vec<Sequence>) -> Result<Self, BuildError> {
        let Some(first) = branches.first().map(Layer::output_shape) else {
            return Err(BuildError::Zero { what: "the number of branches" });
        };
        for branch in &branches {
            let other = branch.output_shape();
            if [other.height, other.width] != [first.height, first.width] {
                return Err(BuildError::ConcatenateMismatch { first, other });
            }
        }
        let outputs = Vec::with_capacity(branches.len());
        Ok(Self { name: name.to_owned(), branches, outputs })
    }
}

impl Sealed for Concatenate {}

impl Layer for Concatenate {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "concatenate"
    }

    fn input_shape(&self) -> Shape {
        self.branches[0].input_shape()
    }

    fn output_shape(&self) -> Shape {
        let Shape { height, width, .. } = self.branches[0].output_shape();
        Shape::new(height, width, self.branches.iter().map(|branch| branch.output_shape().channels).sum())
    }

    fn macs(&self) -> usize {
        self.branches.iter().map(Layer::macs).sum()
    }

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context) {
        self.outputs.drain(..).for_each(|output| context.workspace.give(output));
        let all = y.shape().channels;
        let mut first = 0;
        for branch in &mut self.branches {
            let mut output = context.workspace.take_as(x.batch(), branch.output_shape(), y.precision());
            branch.forward(x, &mut output, mode, context);
            let channels = output.shape().channels;
            with_element!(y, E => concatenate::put(output.values::<E>(), channels, y.values_mut(), all, first));
            first += channels;
            self.outputs.push(output);
        }
    }

    fn backward(
        &mut self,
        x: &Tensor,
        _y: &Tensor,
        dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        let all = dy.shape().channels;
        let mut first = 0;
        let mut sum: Option<Tensor> = None;
        for (branch, output) in self.branches.iter_mut().zip(self.outputs.drain(..)) {
            let mut part = context.workspace.take_as(output.batch(), output.shape(), dy.precision());
            let channels = output.shape().channels;
            with_element!(dy, E => concatenate::take(dy.values::<E>(), all, first, part.values_mut(), channels));
            first += channels;
            let dx = branch.backward(x, &output, part, wants_dx, context);
            context.workspace.give(output);
            sum = match (sum, dx) {
                (Some(mut sum), Some(dx)) => {
                    add_and_apply(&dx, Activation::Linear, &mut sum);
                    context.workspace.give(dx);
                    Some(sum)
                }
                (sum, dx) => sum.or(dx),
            };
        }
        context.workspace.give(dy);
        sum.and_then(|dx| wanted(dx, wants_dx, context))
    }

    fn describe(&self) -> Description<'_> {
        Description::Concatenate { branches: self.branches.iter().map(|branch| branch as &dyn Layer).collect() }
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        let branches = self.branches.iter().map(|branch| lower(branch)).collect();
        let output = self.output_shape();
        steps.push(Step::new(&self.name, Operation::Concatenate { branches, output }));
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.branches.iter().for_each(|branch| branch.visit(visit));
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.branches.iter_mut().for_each(|branch| branch.visit_mut(visit));
    }

    fn children(&self) -> Vec<&dyn Layer> {
        self.branches.iter().map(|branch| branch as &dyn Layer).collect()
    }
}
