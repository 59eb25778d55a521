//! Parameters: the named arrays of a network's layers, with their gradients.
//!
//! Layers use them, optimizers update them, and other crates store them.

use crate::buffer::Buffer;

/// The role of a parameter in optimization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Trained, with weight decay.
    Weight,
    /// Trained, without weight decay (biases, scales).
    NoDecay,
    /// Not trained, but stored with the weights (running mean and variance).
    RunningStat,
}

/// A named array of a layer.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// `layer.array`, for example `conv2d_1.kernel`; unique in a network.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Role in optimization.
    pub role: Role,
    /// Whether the layer is frozen, so that the parameter is not trained.
    pub frozen: bool,
    /// Factor of an L2 penalty `l2 · Σ value²` in the loss.
    pub l2: f32,
    /// The values, row-major.
    pub value: Buffer,
    /// The loss's gradient, overwritten by each `backward`; empty for statistics.
    pub gradient: Buffer,
}

impl Parameter {
    /// Without `draw` the values are zeros, which take no memory before they are set.
    pub(crate) fn new(
        layer: &str,
        array: &str,
        shape: Vec<usize>,
        role: Role,
        draw: Option<impl FnMut() -> f32>,
    ) -> Self {
        let len: usize = shape.iter().product();
        let mut value = Buffer::zeros(len);
        if let Some(draw) = draw {
            value.fill_with(draw);
        }
        let gradient = Buffer::zeros(if role == Role::RunningStat { 0 } else { len });
        Self { name: format!("{layer}.{array}"), shape, role, frozen: false, l2: 0.0, value, gradient }
    }

    /// Whether optimizers change the values.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.role != Role::RunningStat && !self.frozen
    }

    pub(crate) fn constant(layer: &str, array: &str, len: usize, role: Role, value: f32) -> Self {
        Self::new(layer, array, vec![len], role, (value != 0.0).then_some(|| value))
    }
}
