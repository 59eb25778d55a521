//! Upsampling by repetition, the inverse of pooling in size.
//!
//! The kernels are in `kernels::upsampling`.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed};
use crate::error::BuildError;
use crate::inference::plan::{Operation, Step};
use crate::kernels::upsampling;
use crate::tensor::{Shape, Tensor};

/// Maximum factor in one direction.
const LARGEST: usize = 64;

/// Each position of the input becomes a block of `size` equal positions (nearest neighbor).
pub struct UpSampling2d {
    name: String,
    input: Shape,
    size: [usize; 2],
}

impl UpSampling2d {
    /// Creates a layer for maps of shape `input` that repeats rows and columns `size` times.
    ///
    /// # Errors
    /// When a factor is zero or larger than 64.
    pub fn new(name: &str, input: Shape, size: [usize; 2]) -> Result<Self, BuildError> {
        if size.contains(&0) {
            return Err(BuildError::Zero { what: "size" });
        }
        if size.iter().any(|&factor| factor > LARGEST) {
            return Err(BuildError::TooLarge("upsampling by more than 64"));
        }
        Ok(Self { name: name.to_owned(), input, size })
    }
}

impl Sealed for UpSampling2d {}

impl Layer for UpSampling2d {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "up_sampling2d"
    }

    fn input_shape(&self) -> Shape {
        self.input
    }

    fn output_shape(&self) -> Shape {
        let Shape { height, width, channels } = self.input;
        Shape::new(height * self.size[0], width * self.size[1], channels)
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, _mode: Mode<'_>, _context: &mut Context) {
        upsampling::forward(self.input, self.size, x.data(), y.data_mut());
    }

    fn backward(
        &mut self,
        x: &Tensor,
        _y: &Tensor,
        dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        let dx = wants_dx.then(|| {
            let mut dx = context.workspace.take(x.batch(), x.shape());
            upsampling::backward(self.input, self.size, dy.data(), dx.data_mut());
            dx
        });
        context.workspace.give(dy);
        dx
    }

    fn describe(&self) -> Description<'_> {
        Description::UpSampling { size: self.size }
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        steps.push(Step::new(&self.name, Operation::UpSampling { size: self.size }));
    }
}
