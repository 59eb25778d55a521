//! From a map to a vector.

use super::{Layer, Pass};
use crate::{Shape, Tensor};

/// Reads a map as a flat vector, row by row, channels innermost.
pub struct Flatten {
    name: String,
    input: Shape,
}

impl Flatten {
    /// A layer on maps of `input`.
    #[must_use]
    pub fn new(name: &str, input: Shape) -> Self {
        Self { name: name.to_owned(), input }
    }
}

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

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, _pass: Pass<'_>) {
        y.data_mut().copy_from_slice(x.data());
    }

    fn backward(&mut self, _x: &Tensor, _y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        if let Some(dx) = dx {
            dx.data_mut().copy_from_slice(dy.data());
        }
    }
}
