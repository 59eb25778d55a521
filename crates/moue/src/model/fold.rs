//! Folds a model for inference: batch normalization is merged into the preceding convolution,
//! dropout is removed. The predictions are the same with fewer layers. Files for other programs
//! contain the folded model.

use super::architecture::{LayerSpec, Size, Units};
use super::build::{ArchitectureError, build_blank};
use super::model::{Document, Model};
use super::weights::set_weights;
use moue_engine::inference::{Filters, Operation, Step, int8_layers, steps};
use moue_engine::layers::PoolingKind;
use moue_engine::{Activation, Padding, Parameter, Window};

/// With these, a batch normalization reduces to gamma as a factor and beta as an offset: variance
/// plus epsilon is exactly 1.
const EPSILON: f32 = 1.0 / 1024.0;
const VARIANCE: f32 = 1.0 - EPSILON;
const MEAN: f32 = 0.0;

/// Sets a running statistic to its value in folded networks.
pub(super) fn fill_statistic(parameter: &mut Parameter) {
    parameter.value.fill(if parameter.name.ends_with("mean") { MEAN } else { VARIANCE });
}

impl Model {
    /// The model with batch normalization merged into a preceding convolution without activation,
    /// and without layers that predictions do not use.
    ///
    /// # Errors
    /// When the network is larger than one that can be built.
    pub fn folded(&self) -> Result<Self, ArchitectureError> {
        let mut weights = Vec::new();
        let mut layers = chain(&steps(&self.network), &mut weights);
        layers.push(LayerSpec::Softmax {});
        let mut document = Document::of(self);
        document.architecture.layers = layers;
        let int8 = document.int8.take();
        let network = build_blank(&document.architecture, self.classes.len())?;
        // Without ranges, the document fits every network.
        let mut folded = document.into_model(network).unwrap_or_else(|_| unreachable!("there are no ranges"));
        set_weights(&mut folded.network, &weights);
        // Layers are numbered again.
        let (before, after) = (int8_layers(&self.network), int8_layers(&folded.network));
        folded.int8 = int8.filter(|_| before.len() == after.len()).map(|mut int8| {
            let named = before.iter().zip(after);
            int8.ranges = named.filter_map(|(old, new)| Some((new, *int8.ranges.get(old)?))).collect();
            int8
        });
        Ok(folded)
    }
}

/// The layers of the steps, and their arrays in the network's order.
fn chain(steps: &[Step], weights: &mut Vec<Vec<f32>>) -> Vec<LayerSpec> {
    // A further output has no effect on predictions.
    let kept = steps.iter().filter(|step| !matches!(step.operation(), Operation::Output { .. }));
    kept.map(|step| layer(step.operation(), weights)).collect()
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
        Operation::UpSampling { size } => LayerSpec::UpSampling2d { size: Size::Rectangle(*size) },
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
        Operation::Output { .. } => unreachable!("outputs are left out"),
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

/// The padding, `valid` where there is none.
fn padding(window: &Window) -> Padding {
    if window.before == [0, 0] && window.after() == [0, 0] {
        return Padding::Valid;
    }
    window.padding.unwrap_or_default()
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

/// An activation as a separate layer.
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
