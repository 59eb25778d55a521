//! Flattens a map to a vector.
//!
//! The memory layout stays NHWC; only the shape changes.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed, wanted};
use crate::inference::plan::{Operation, Step};
use crate::tensor::{Shape, Tensor};

/// Reshapes a map to a flat vector, row by row, channels innermost.
pub struct Flatten {
    name: String,
    input: Shape,
}

impl Flatten {
    /// Creates a layer for maps of shape `input`.
    #[must_use]
    pub fn new(name: &str, input: Shape) -> Self {
        Self { name: name.to_owned(), input }
    }
}

impl Sealed for Flatten {}

impl Layer for Flatten {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn input_shape(&self) -> Shape {
        self.input
    }

    fn output_shape(&self) -> Shape {
        Shape::flat(self.input.len())
    }

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, _pass: Mode<'_>, _context: &mut Context) {
        y.convert_from(x);
    }

    fn backward(
        &mut self,
        _x: &Tensor,
        _y: &Tensor,
        dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        wanted(dy.reshaped(self.input), wants_dx, context)
    }

    fn describe(&self) -> Description<'_> {
        Description::Reshape
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        steps.push(Step::new(&self.name, Operation::Reshape { shape: self.output_shape() }));
    }
}
