//! Maximum and average pooling, over windows and over whole maps.
//!
//! The kernels are in `kernels::pooling`.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed};
use crate::error::BuildError;
use crate::inference::plan::{Operation, Step};
use crate::kernels::element::with_element;
use crate::kernels::pooling::{self, PoolingKind};
use crate::kernels::window::{Padding, Window};
use crate::tensor::{Shape, Tensor};

/// `max_pooling2d` and `average_pooling2d`, over windows or over whole maps.
pub struct Pooling2d {
    name: String,
    kind: PoolingKind,
    window: Window,
    global: bool,
    argmax: Vec<u32>,
}

impl Pooling2d {
    /// Creates a layer for maps of shape `input`.
    ///
    /// # Errors
    /// When a size is zero or a `valid` window is larger than the map.
    pub fn new(
        name: &str,
        input: Shape,
        kind: PoolingKind,
        pool_size: [usize; 2],
        strides: [usize; 2],
        padding: Padding,
    ) -> Result<Self, BuildError> {
        Self::over(name, kind, Window::new(input, pool_size, strides, padding)?, false)
    }

    /// Creates a global pooling layer.
    ///
    /// # Errors
    /// When the map is larger than can be addressed.
    pub fn global(name: &str, input: Shape, kind: PoolingKind) -> Result<Self, BuildError> {
        Self::over(name, kind, Window::whole(input), true)
    }

    fn over(name: &str, kind: PoolingKind, window: Window, global: bool) -> Result<Self, BuildError> {
        if window.input.len() > u32::MAX as usize {
            return Err(BuildError::TooLarge("more than 2^32 values in one map"));
        }
        Ok(Self { name: name.to_owned(), kind, window, global, argmax: Vec::new() })
    }
}

impl Sealed for Pooling2d {}

impl Layer for Pooling2d {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        match (self.kind, self.global) {
            (PoolingKind::Max, false) => "max_pooling2d",
            (PoolingKind::Average, false) => "average_pooling2d",
            (PoolingKind::Max, true) => "global_max_pooling2d",
            (PoolingKind::Average, true) => "global_average_pooling2d",
        }
    }

    fn input_shape(&self) -> Shape {
        self.window.input
    }

    fn output_shape(&self) -> Shape {
        Shape::new(self.window.output[0], self.window.output[1], self.window.input.channels)
    }

    /// The gradients of overlapping windows are added, in f32.
    fn computes_in_bf16(&self) -> bool {
        !self.window.overlaps()
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, _pass: Mode<'_>, _context: &mut Context) {
        match self.kind {
            PoolingKind::Max => {
                self.argmax.resize(y.batch() * y.shape().len(), 0);
                let Self { window, argmax, .. } = self;
                with_element!(x, E => pooling::max_forward(window, x.values::<E>(), y.values_mut(), argmax));
            }
            PoolingKind::Average => {
                with_element!(x, E => pooling::average_forward(&self.window, x.values::<E>(), y.values_mut()));
            }
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
        let dx = wants_dx.then(|| {
            let mut dx = context.workspace.take_as(x.batch(), x.shape(), x.precision());
            let Self { kind, window, argmax, .. } = self;
            with_element!(x, E => match kind {
                PoolingKind::Max => pooling::max_backward(window, dy.values::<E>(), argmax, dx.values_mut()),
                PoolingKind::Average => pooling::average_backward(window, dy.values::<E>(), dx.values_mut()),
            });
            dx
        });
        context.workspace.give(dy);
        dx
    }

    fn describe(&self) -> Description<'_> {
        Description::Pooling { kind: self.kind, window: self.window }
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        steps.push(Step::new(&self.name, Operation::Pooling { kind: self.kind, window: self.window }));
    }
}
