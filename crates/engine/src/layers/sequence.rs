//! Layers that run one after the other.
//!
//! A sequence keeps the maps between its layers for the backward pass, converts them where a layer computes in
//! another precision, and measures the time of each layer.

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed};
use crate::inference::plan::Step;
use crate::parameter::Parameter;
use crate::precision::Precision;
use crate::tensor::{Shape, Tensor};

/// A sequence of layers; the empty sequence is the identity.
pub struct Sequence {
    name: String,
    input: Shape,
    layers: Vec<Box<dyn Layer>>,
    /// Number of frozen layers at the beginning.
    frozen: usize,
    /// Outputs of all layers but the last, kept for the backward pass.
    outputs: Vec<Tensor>,
}

impl Sequence {
    /// Creates a sequence for maps of shape `input`.
    ///
    /// # Panics
    /// When a layer was not built for the output shape of the previous one.
    #[must_use]
    pub fn new(name: &str, input: Shape, layers: Vec<Box<dyn Layer>>) -> Self {
        let mut shape = input;
        for layer in &layers {
            assert_eq!(layer.input_shape(), shape, "{} was built for another input shape", layer.name());
            shape = layer.output_shape();
        }
        let outputs = Vec::with_capacity(layers.len());
        Self { name: name.to_owned(), input, layers, frozen: 0, outputs }
    }

    /// Whether the sequence is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Freezes the first layers.
    pub(crate) fn freeze(&mut self, layers: usize) {
        self.frozen = layers.min(self.layers.len());
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.visit_mut(&mut |parameter| parameter.frozen = i < layers);
        }
    }

    /// The backward pass through the layers from `first` on: the input of layer `first` (`None` for
    /// `x` itself), and its gradient.
    pub(crate) fn backward_to(
        &mut self,
        first: usize,
        x: &Tensor,
        y: &Tensor,
        dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> (Option<Tensor>, Option<Tensor>) {
        let mut gradient = Some(dy);
        let mut output = None;
        for (i, layer) in self.layers.iter_mut().enumerate().skip(first).rev() {
            let input = self.outputs.pop();
            let Some(dy) = gradient.take() else { break };
            let start = context.profiler.clock();
            let maps = [input.as_ref().unwrap_or(x), output.as_ref().unwrap_or(y)];
            gradient = backward(&mut **layer, maps, dy, wants_dx || i > first, context);
            context.profiler.record_backward(layer.name(), start);
            if let Some(read) = std::mem::replace(&mut output, input) {
                context.workspace.give(read);
            }
        }
        (output, gradient)
    }
}

/// The precisions of `x` and `y` in which a layer computes: those of the maps where the layer has them, else f32.
fn precisions_of(layer: &dyn Layer, [x, y]: [&Tensor; 2]) -> [Precision; 2] {
    let has_them = layer.computes_in_bf16() && !y.is_f32() && (!x.is_f32() || layer.reads_f32());
    if has_them { [x, y].map(Tensor::precision) } else { [Precision::F32; 2] }
}

/// The forward pass of a layer whose maps may have another precision than it computes in.
fn forward(layer: &mut dyn Layer, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context) {
    let precisions = precisions_of(layer, [x, y]);
    let own_x = (x.precision() != precisions[0]).then(|| context.workspace.take_copy(x, precisions[0]));
    if y.precision() == precisions[1] {
        layer.forward(own_x.as_ref().unwrap_or(x), y, mode, context);
    } else {
        let mut own_y = context.workspace.take_as(y.batch(), y.shape(), precisions[1]);
        layer.forward(own_x.as_ref().unwrap_or(x), &mut own_y, mode, context);
        y.convert_from(&own_y);
        context.workspace.give(own_y);
    }
    own_x.into_iter().for_each(|x| context.workspace.give(x));
}

/// The backward pass of a layer after [`forward`] of the same maps.
fn backward(
    layer: &mut dyn Layer,
    [x, y]: [&Tensor; 2],
    dy: Tensor,
    wants_dx: bool,
    context: &mut Context,
) -> Option<Tensor> {
    let precisions = precisions_of(layer, [x, y]);
    let [own_x, own_y] = [(x, precisions[0]), (y, precisions[1])]
        .map(|(map, precision)| (map.precision() != precision).then(|| context.workspace.take_copy(map, precision)));
    let dy = context.workspace.convert(dy, precisions[1]);
    let dx = layer.backward(own_x.as_ref().unwrap_or(x), own_y.as_ref().unwrap_or(y), dy, wants_dx, context);
    own_x.into_iter().chain(own_y).for_each(|map| context.workspace.give(map));
    dx.map(|dx| context.workspace.convert(dx, x.precision()))
}

impl Sealed for Sequence {}

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

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, context: &mut Context) {
        let Self { layers, frozen, outputs, .. } = self;
        let mode_of = |i: usize| if i < *frozen { Mode::Inference } else { mode };
        outputs.drain(..).for_each(|output| context.workspace.give(output));
        let Some((last, firsts)) = layers.split_last_mut() else {
            y.convert_from(x);
            return;
        };
        for (i, layer) in firsts.iter_mut().enumerate() {
            let mut output = context.workspace.take_as(x.batch(), layer.output_shape(), context.precision);
            let start = context.profiler.clock();
            forward(&mut **layer, outputs.last().unwrap_or(x), &mut output, mode_of(i), context);
            context.profiler.record_forward(layer.name(), start);
            outputs.push(output);
        }
        let start = context.profiler.clock();
        forward(&mut **last, outputs.last().unwrap_or(x), y, mode_of(outputs.len()), context);
        context.profiler.record_forward(last.name(), start);
    }

    fn backward(
        &mut self,
        x: &Tensor,
        y: &Tensor,
        dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        // The gradients of frozen layers are not needed.
        let first = if wants_dx { 0 } else { self.frozen };
        let dx = self.backward_to(first, x, y, dy, wants_dx, context).1;
        // An empty sequence returns the gradient of its output.
        dx.map(|dx| context.workspace.convert(dx, x.precision()))
    }

    fn describe(&self) -> Description<'_> {
        Description::Sequence { layers: &self.layers, frozen: self.frozen }
    }

    fn lower(&self, steps: &mut Vec<Step>) {
        self.layers.iter().for_each(|layer| layer.lower(steps));
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
