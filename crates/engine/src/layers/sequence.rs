//! Layers one after the other.

use super::{Layer, Parameter, Pass};
use crate::{Shape, Tensor};

/// Layers one after the other; none at all is the identity.
pub struct Sequence {
    name: String,
    input: Shape,
    layers: Vec<Box<dyn Layer>>,
    /// Outputs of all layers but the last, kept for the backward pass.
    outputs: Vec<Tensor>,
    /// Two gradients in turn on the way back.
    gradients: [Tensor; 2],
}

impl Sequence {
    /// A chain on maps of `input`.
    ///
    /// # Panics
    /// When a layer was not made for the output of the one before it.
    #[must_use]
    pub fn new(name: &str, input: Shape, layers: Vec<Box<dyn Layer>>) -> Self {
        let mut shape = input;
        for layer in &layers {
            assert_eq!(layer.input_shape(), shape, "{} stands on another shape than it was made for", layer.name());
            shape = layer.output_shape();
        }
        let outputs = layers.iter().skip(1).map(|_| Tensor::default()).collect();
        Self { name: name.to_owned(), input, layers, outputs, gradients: Default::default() }
    }
}

impl Layer for Sequence {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "sequence"
    }

    fn input_shape(&self) -> Shape {
        self.input
    }

    fn output_shape(&self) -> Shape {
        self.layers.last().map_or(self.input, |layer| layer.output_shape())
    }

    fn macs(&self) -> usize {
        self.layers.iter().map(|layer| layer.macs()).sum()
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, pass: Pass<'_>) {
        let batch = x.batch();
        let Some((last, firsts)) = self.layers.split_last_mut() else {
            y.data_mut().copy_from_slice(x.data());
            return;
        };
        for (i, layer) in firsts.iter_mut().enumerate() {
            let (before, after) = self.outputs.split_at_mut(i);
            after[0].reset(batch, layer.output_shape());
            layer.forward(before.last().unwrap_or(x), &mut after[0], pass);
        }
        last.forward(self.outputs.last().unwrap_or(x), y, pass);
    }

    fn backward(&mut self, x: &Tensor, y: &Tensor, dy: &mut Tensor, mut dx: Option<&mut Tensor>) {
        let batch = x.batch();
        let count = self.layers.len();
        if count == 0 {
            if let Some(dx) = dx {
                dx.data_mut().copy_from_slice(dy.data());
            }
            return;
        }
        let [mut incoming, mut outgoing] = self.gradients.each_mut();
        for (i, layer) in self.layers.iter_mut().enumerate().rev() {
            let input = if i == 0 { x } else { &self.outputs[i - 1] };
            let output = self.outputs.get(i).unwrap_or(y);
            let gradient = if i + 1 == count { &mut *dy } else { &mut *incoming };
            if i == 0 {
                layer.backward(input, output, gradient, dx.take());
            } else {
                outgoing.reset(batch, layer.input_shape());
                layer.backward(input, output, gradient, Some(outgoing));
                std::mem::swap(&mut incoming, &mut outgoing);
            }
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.layers.iter().for_each(|layer| layer.visit(visit));
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.layers.iter_mut().for_each(|layer| layer.visit_mut(visit));
    }

    fn children(&self) -> Vec<&dyn Layer> {
        self.layers.iter().map(|layer| &**layer).collect()
    }
}
