//! Residual block (He et al. 2016).
//!
//! Branch and shortcut are sequences of layers; the block adds their outputs.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed, add_and_apply, lower, wanted};
use super::sequence::Sequence;
use crate::error::BuildError;
use crate::inference::plan::{Operation, Step};
use crate::kernels::activation::Activation;
use crate::kernels::element::with_element;
use crate::parameter::Parameter;
use crate::tensor::{Shape, Tensor};

/// `y = activation(branch(x) + shortcut(x))`; an empty shortcut is the identity.
pub struct Residual {
    name: String,
    branch: Sequence,
    shortcut: Sequence,
    activation: Activation,
    branch_output: Option<Tensor>,
    shortcut_output: Option<Tensor>,
}

impl Residual {
    /// Creates a block of two branches on the same input; `activation` must be one that [works in
    /// place](Activation::works_in_place).
    ///
    /// # Errors
    /// When the two branches do not end in the same shape.
    pub fn new(name: &str, branch: Sequence, shortcut: Sequence, activation: Activation) -> Result<Self, BuildError> {
        if branch.output_shape() != shortcut.output_shape() {
            return Err(BuildError::BranchMismatch {
                branch: branch.output_shape(),
                shortcut: shortcut.output_shape(),
            });
        }
        Ok(Self { name: name.to_owned(), branch, shortcut, activation, branch_output: None, shortcut_output: None })
    }
}

impl Sealed for Residual {}

impl Layer for Residual {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "residual"
    }

    fn input_shape(&self) -> Shape {
        self.branch.input_shape()
    }

    fn output_shape(&self) -> Shape {
        self.branch.output_shape()
    }

    fn macs(&self) -> usize {
        self.branch.macs() + self.shortcut.macs()
    }

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context) {
        let shape = self.output_shape();
        for output in [self.branch_output.take(), self.shortcut_output.take()] {
            output.into_iter().for_each(|output| context.workspace.give(output));
        }
        let mut branch = context.workspace.take_as(x.batch(), shape, y.precision());
        self.branch.forward(x, &mut branch, mode, context);
        y.convert_from(&branch);
        self.branch_output = Some(branch);
        if self.shortcut.is_empty() {
            add_and_apply(x, self.activation, y);
        } else {
            let mut shortcut = context.workspace.take_as(x.batch(), shape, y.precision());
            self.shortcut.forward(x, &mut shortcut, mode, context);
            add_and_apply(&shortcut, self.activation, y);
            self.shortcut_output = Some(shortcut);
        }
    }

    fn backward(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        mut dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        let channels = y.shape().channels;
        with_element!(y, E => self.activation.differentiate(dy.values_mut::<E>(), y.values(), None, channels));
        let copy = context.workspace.take_copy(&dy, dy.precision());
        let branch_output = self.branch_output.take()?;
        let branch = self.branch.backward(x, &branch_output, copy, wants_dx, context);
        context.workspace.give(branch_output);
        let shortcut = match self.shortcut_output.take() {
            Some(output) => {
                let dx = self.shortcut.backward(x, &output, dy, wants_dx, context);
                context.workspace.give(output);
                dx
            }
            None => wanted(dy, wants_dx, context),
        };
        let mut dx = branch?;
        let shortcut = shortcut?;
        add_and_apply(&shortcut, Activation::Linear, &mut dx);
        context.workspace.give(shortcut);
        Some(dx)
    }

    fn describe(&self) -> Description<'_> {
        Description::Residual { branches: [&self.branch, &self.shortcut], activation: self.activation }
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        let (branch, shortcut) = (lower(&self.branch), lower(&self.shortcut));
        steps.push(Step::new(&self.name, Operation::Residual { branch, shortcut, activation: self.activation }));
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.branch.visit(visit);
        self.shortcut.visit(visit);
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.branch.visit_mut(visit);
        self.shortcut.visit_mut(visit);
    }

    fn children(&self) -> Vec<&dyn Layer> {
        vec![&self.branch, &self.shortcut]
    }
}
