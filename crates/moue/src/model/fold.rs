//! A model as its network runs at inference: batch normalization multiplied into
//! the convolution before it, dropout left out. It gives the same predictions with
//! fewer layers, and is what files for other programs hold.

use super::architecture::{LayerSpec, Size, Units};
use super::build::{ArchitectureError, build_blank};
use super::model::{Document, Model};
use super::weights::set_weights;
use moue_engine::inference::{Filters, Operation, Step, steps};
use moue_engine::layers::PoolingKind;
use moue_engine::{Activation, Padding, Parameter, Window};

/// With these, gamma and beta of a batch normalization are just a factor and a
/// summand: variance and epsilon are 1 together, exactly.
const EPSILON: f32 = 1.0 / 1024.0;
const VARIANCE: f32 = 1.0 - EPSILON;
const MEAN: f32 = 0.0;

/// Gives a running statistic the value that it has in every folded network.
pub(super) fn fill_statistic(parameter: &mut Parameter) {
    parameter.value.fill(if parameter.name.ends_with("mean") { MEAN } else { VARIANCE });
}

impl Model {
    /// The same model with batch normalization multiplied in where a convolution
    /// without activation precedes it, and without what only training uses.
    ///
    /// # Errors
    /// When the network is larger than one that can be built.
    pub fn folded(&self) -> Result<Self, ArchitectureError> {
        let mut weights = Vec::new();
        let mut layers = chain(&steps(&self.network), &mut weights);
        layers.push(LayerSpec::Softmax {});
        let mut document = Document::of(self);
        document.architecture.layers = layers;
        let network = build_blank(&document.architecture, self.classes.len())?;
        let mut folded = document.into_model(network);
        set_weights(&mut folded.network, &weights);
        Ok(folded)
    }
}

/// The layers that steps come from, and their arrays in the order of the network's.
fn chain(steps: &[Step], weights: &mut Vec<Vec<f32>>) -> Vec<LayerSpec> {
    steps.iter().map(|step| layer(step.operation(), weights)).collect()
}

fn layer(operation: &Operation, weights: &mut Vec<Vec<f32>>) -> LayerSpec {
    if let Some(filters) = operation.filters() {
        weights.push(filters.kernel.to_vec());
        weights.extend(filters.bias.map(<[f32]>::to_vec));
        return convolution(operation, &filters);
    }
    match operation {
        Operation::Affine { scale, shift, activation } => {
            let statistics = [MEAN, VARIANCE].map(|value| vec![value; scale.len()]);
            weights.extend([scale.clone(), shift.clone()].into_iter().chain(statistics));
            LayerSpec::BatchNormalization { momentum: 0.9, epsilon: EPSILON, activation: *activation }
        }
        Operation::Activation { activation } => alone(*activation),
        Operation::Pooling { kind, window } => pooling(*kind, window),
        Operation::Reshape { .. } => LayerSpec::Flatten {},
        Operation::Residual { branch, shortcut, activation } => {
            let layers = chain(branch, weights);
            LayerSpec::Residual { layers, shortcut: chain(shortcut, weights), activation: *activation }
        }
        Operation::Concatenate { branches, .. } => {
            LayerSpec::Concatenate { branches: branches.iter().map(|branch| chain(branch, weights)).collect() }
        }
        Operation::Gate { gate } => squeeze_excite(&chain(gate, weights)),
        Operation::Conv2d { .. } | Operation::DepthwiseConv2d { .. } => unreachable!("these have filters"),
    }
}

fn convolution(operation: &Operation, filters: &Filters<'_>) -> LayerSpec {
    let Filters { window, kernel, bias, activation } = filters;
    let (use_bias, activation, kernel_l2) = (bias.is_some(), *activation, 0.0);
    let (kernel_size, strides) = (Size::Rectangle(window.size), Size::Rectangle(window.strides));
    let padding = padding(window);
    if matches!(operation, Operation::DepthwiseConv2d { .. }) {
        return LayerSpec::DepthwiseConv2d { kernel_size, strides, padding, use_bias, activation, kernel_l2 };
    }
    let outputs = kernel.len() / window.patch_len();
    if filters.is_dense() {
        return LayerSpec::Dense { units: Units::Number(outputs), use_bias, activation, kernel_l2 };
    }
    LayerSpec::Conv2d { filters: outputs, kernel_size, strides, padding, use_bias, activation, kernel_l2 }
}

fn pooling(kind: PoolingKind, window: &Window) -> LayerSpec {
    let whole = window.is_whole();
    let (pool_size, strides) = (Size::Rectangle(window.size), Some(Size::Rectangle(window.strides)));
    let padding = padding(window);
    match kind {
        PoolingKind::Average if whole => LayerSpec::GlobalAveragePooling2d {},
        PoolingKind::Average => LayerSpec::AveragePooling2d { pool_size, strides, padding },
        PoolingKind::Max if whole => LayerSpec::GlobalMaxPooling2d {},
        PoolingKind::Max => LayerSpec::MaxPooling2d { pool_size, strides, padding },
    }
}

/// The border by name; where both come to the same, no zeros.
fn padding(window: &Window) -> Padding {
    match Window::new(window.input, window.size, window.strides, Padding::Valid) {
        Ok(valid) if valid == *window => Padding::Valid,
        _ => Padding::Same,
    }
}

/// The block whose gate has these layers: average, dense, its activation, dense.
fn squeeze_excite(gate: &[LayerSpec]) -> LayerSpec {
    let inner = gate.iter().find_map(|layer| match layer {
        LayerSpec::Dense { units: Units::Number(units), activation, .. } => Some((*units, *activation)),
        _ => None,
    });
    let after = gate.iter().find_map(|layer| match layer {
        LayerSpec::Silu {} => Some(Activation::Silu),
        LayerSpec::Softmax {} => Some(Activation::Softmax),
        _ => None,
    });
    let (units, inside) = inner.unwrap_or((1, Activation::Linear));
    LayerSpec::SqueezeExcite { units, activation: after.unwrap_or(inside) }
}

/// An activation as a layer of its own.
fn alone(activation: Activation) -> LayerSpec {
    match activation {
        // The identity, as a slope of 1.
        Activation::Linear => LayerSpec::LeakyRelu { negative_slope: 1.0 },
        Activation::Relu => LayerSpec::Relu {},
        Activation::LeakyRelu { slope } => LayerSpec::LeakyRelu { negative_slope: slope },
        Activation::Silu => LayerSpec::Silu {},
        Activation::Sigmoid => LayerSpec::Sigmoid {},
        Activation::Tanh => LayerSpec::Tanh {},
        Activation::Softmax => LayerSpec::Softmax {},
    }
}
