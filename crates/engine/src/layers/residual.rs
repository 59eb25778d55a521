//! Residual block (He et al. 2016).

use super::{Layer, Parameter, Pass, Sequence};
use crate::{Activation, BuildError, Shape, Tensor};
use rayon::prelude::*;

/// Positions that one task adds.
const TASK: usize = 256;

/// `y = activation(branch(x) + shortcut(x))`; an empty shortcut is the identity.
pub struct Residual {
    name: String,
    branch: Sequence,
    shortcut: Sequence,
    activation: Activation,
    branch_output: Tensor,
    shortcut_output: Tensor,
    gradient: Tensor,
    shortcut_dx: Tensor,
}

impl Residual {
    /// A block of two chains on the same input; `activation` must be one that
    /// [works in place](Activation::works_in_place).
    ///
    /// # Errors
    /// When the two chains do not end in the same shape.
    pub fn new(name: &str, branch: Sequence, shortcut: Sequence, activation: Activation) -> Result<Self, BuildError> {
        if branch.output_shape() != shortcut.output_shape() {
            return Err(BuildError::BranchMismatch {
                branch: branch.output_shape(),
                shortcut: shortcut.output_shape(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            branch,
            shortcut,
            activation,
            branch_output: Tensor::default(),
            shortcut_output: Tensor::default(),
            gradient: Tensor::default(),
            shortcut_dx: Tensor::default(),
        })
    }
}

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

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, pass: Pass<'_>) {
        self.branch_output.reset(x.batch(), self.branch.output_shape());
        self.branch.forward(x, &mut self.branch_output, pass);
        self.shortcut_output.reset(x.batch(), self.shortcut.output_shape());
        self.shortcut.forward(x, &mut self.shortcut_output, pass);
        let channels = self.branch.output_shape().channels;
        let sum = self.branch_output.data().par_chunks(TASK * channels);
        let sum = sum.zip(self.shortcut_output.data().par_chunks(TASK * channels));
        y.data_mut().par_chunks_mut(TASK * channels).zip(sum).for_each(|(y, (a, b))| {
            y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = a + b);
            self.activation.apply(y, channels);
        });
    }

    fn backward(&mut self, x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        self.activation.differentiate(dy.data_mut(), y.data(), None, y.shape().channels);
        self.gradient.copy_from(dy);
        let Some(dx) = dx else {
            self.branch.backward(x, &self.branch_output, dy, None);
            self.shortcut.backward(x, &self.shortcut_output, &mut self.gradient, None);
            return;
        };
        self.branch.backward(x, &self.branch_output, dy, Some(dx));
        self.shortcut_dx.reset(x.batch(), x.shape());
        self.shortcut.backward(x, &self.shortcut_output, &mut self.gradient, Some(&mut self.shortcut_dx));
        let chunk = TASK * x.shape().channels;
        dx.data_mut().par_chunks_mut(chunk).zip(self.shortcut_dx.data().par_chunks(chunk)).for_each(|(to, from)| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        });
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
