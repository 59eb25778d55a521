//! Blocks: descriptions that expand to several layers.

use super::architecture::{LayerSpec, Size, Units};
use moue_engine::{Activation, Padding, Shape};

/// The layers that a description expands to on an input, or `None` for a single layer.
pub fn expand(spec: &LayerSpec, input: Shape) -> Option<Vec<LayerSpec>> {
    match *spec {
        LayerSpec::SeparableConv2d { filters, kernel_size, strides, padding, use_bias, activation, kernel_l2 } => {
            let depthwise = LayerSpec::DepthwiseConv2d {
                kernel_size,
                strides,
                padding,
                use_bias: false,
                activation: Activation::Linear,
                kernel_l2,
            };
            Some(vec![depthwise, pointwise(filters, use_bias, activation, kernel_l2)])
        }
        LayerSpec::Mbconv { filters, strides, stochastic_depth, .. } => {
            let mut layers = inverted_bottleneck(spec, input.channels);
            if strides.extents() != [1, 1] || filters != input.channels {
                return Some(layers);
            }
            if stochastic_depth > 0.0 {
                layers.push(LayerSpec::StochasticDepth { rate: stochastic_depth });
            }
            Some(vec![LayerSpec::Residual { layers, shortcut: Vec::new(), activation: Activation::Linear }])
        }
        _ => None,
    }
}

/// The layers of the gate of a squeeze-and-excitation block.
pub fn gate(units: usize, activation: Activation, channels: usize) -> Vec<LayerSpec> {
    let dense = |units, activation| LayerSpec::Dense {
        units: Units::Number(units),
        use_bias: true,
        activation,
        kernel_l2: 0.0,
    };
    vec![LayerSpec::GlobalAveragePooling2d {}, dense(units, activation), dense(channels, Activation::Sigmoid)]
}

fn pointwise(filters: usize, use_bias: bool, activation: Activation, kernel_l2: f32) -> LayerSpec {
    let one = Size::Square(1);
    let padding = Padding::Valid;
    LayerSpec::Conv2d { filters, kernel_size: one, strides: one, padding, use_bias, activation, kernel_l2 }
}

/// The branch of an inverted residual (Sandler et al. 2018), with
/// squeeze-and-excitation as in EfficientNet (Tan, Le 2019): its width follows
/// from the block's input, not from the expanded map.
fn inverted_bottleneck(spec: &LayerSpec, channels: usize) -> Vec<LayerSpec> {
    let LayerSpec::Mbconv {
        filters,
        kernel_size,
        strides,
        expansion,
        squeeze_ratio,
        activation,
        momentum,
        epsilon,
        ..
    } = *spec
    else {
        return Vec::new();
    };
    let normalize = |activation| LayerSpec::BatchNormalization { momentum, epsilon, activation };
    let mut layers = Vec::new();
    if expansion != 1 {
        layers.push(pointwise(channels.saturating_mul(expansion), false, Activation::Linear, 0.0));
        layers.push(normalize(activation));
    }
    layers.push(LayerSpec::DepthwiseConv2d {
        kernel_size,
        strides,
        padding: Padding::Same,
        use_bias: false,
        activation: Activation::Linear,
        kernel_l2: 0.0,
    });
    layers.push(normalize(activation));
    if squeeze_ratio > 0.0 {
        let units = ((channels as f32 * squeeze_ratio) as usize).max(1);
        layers.push(LayerSpec::SqueezeExcite { units, activation });
    }
    layers.push(pointwise(filters, false, Activation::Linear, 0.0));
    layers.push(normalize(Activation::Linear));
    layers
}
