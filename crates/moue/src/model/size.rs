//! Limits of a network's memory, which are checked before it is allocated.

use super::architecture::{LayerSpec, Size, Units};
use moue_engine::{BuildError, Shape};

/// Maximum number of weights of a network, and of values of a map: a gigabyte each.
const MOST: usize = 1 << 28;

/// A network with fewer weights is built for any file, so that the error names the array that differs.
const FEW: usize = 1 << 20;

/// The number of weights that further layers may have.
pub struct Weights(usize);

impl Weights {
    /// Those of the largest network.
    pub fn any() -> Self {
        Self(MOST)
    }

    /// Those of a network whose weights are in a file with this number of values.
    pub fn stored(values: usize) -> Self {
        Self(values.clamp(FEW, MOST))
    }

    /// Subtracts those of a layer.
    pub fn take(&mut self, weights: usize) -> Result<(), BuildError> {
        if weights > MOST {
            return Err(BuildError::TooLarge("more than 2^28 weights"));
        }
        let too_many = BuildError::TooLarge("its network has more than 2^28 weights, or more than its file");
        self.0 = self.0.checked_sub(weights).ok_or(too_many)?;
        Ok(())
    }
}

/// Returns an error for a map that is too large.
pub fn check_map(Shape { height, width, channels }: Shape) -> Result<(), BuildError> {
    if height.saturating_mul(width).saturating_mul(channels) > MOST {
        return Err(BuildError::TooLarge("more than 2^28 values in one map"));
    }
    Ok(())
}

/// Number of weights of a layer without its bias.
pub fn weights_of(spec: &LayerSpec, input: Shape, classes: usize) -> usize {
    let area = |size: &Size| size.extents().into_iter().fold(1, usize::saturating_mul);
    match spec {
        LayerSpec::Conv2d { filters, kernel_size, .. } => {
            area(kernel_size).saturating_mul(input.channels).saturating_mul(*filters)
        }
        LayerSpec::DepthwiseConv2d { kernel_size, .. } => area(kernel_size).saturating_mul(input.channels),
        LayerSpec::Dense { units: Units::Number(units), .. } => input.len().saturating_mul(*units),
        LayerSpec::Dense { units: Units::PerClass(_), .. } => input.len().saturating_mul(classes),
        LayerSpec::BatchNormalization { .. } => input.channels.saturating_mul(4),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{build_blank, build_stored};
    use super::*;
    use crate::model::{Architecture, ArchitectureError};
    use moue_engine::{Activation, Padding};

    fn conv2d(filters: usize) -> LayerSpec {
        LayerSpec::Conv2d {
            filters,
            kernel_size: Size::Square(1),
            strides: Size::Square(1),
            padding: Padding::Valid,
            use_bias: false,
            activation: Activation::Linear,
            kernel_l2: 0.0,
        }
    }

    /// A network of layers before a dense one for two classes.
    fn network(input: [usize; 3], mut layers: Vec<LayerSpec>) -> Architecture {
        let (units, activation) = (Units::per_class(), Activation::Linear);
        layers.push(LayerSpec::GlobalAveragePooling2d {});
        layers.push(LayerSpec::Dense { units, use_bias: true, activation, kernel_l2: 0.0 });
        Architecture::new("wide", input, layers)
    }

    fn reason(result: Result<moue_engine::Network, ArchitectureError>) -> String {
        match result {
            Err(ArchitectureError::Layer { source, .. }) => source.to_string(),
            Err(error) => error.to_string(),
            Ok(_) => "it is built".to_owned(),
        }
    }

    #[test]
    fn many_layers_together_are_limited() {
        let wide = [vec![conv2d(1 << 13)], vec![conv2d(1 << 13); 5]].concat();
        let reason = reason(build_blank(&network([1, 1, 1], wide), 2));
        assert_eq!(reason, "the layer is too large: its network has more than 2^28 weights, or more than its file");
    }

    #[test]
    fn a_network_that_is_larger_than_its_file_is_not_built() {
        let wide = network([1, 1, 1], vec![conv2d(1 << 11), conv2d(1 << 11)]);
        assert!(reason(build_stored(&wide, 2, 1000)).contains("more than its file"));
        assert_eq!(reason(build_stored(&wide, 2, 5 << 20)), "it is built");
        assert_eq!(reason(build_stored(&network([1, 1, 1], vec![conv2d(9)]), 2, 0)), "it is built");
    }

    #[test]
    fn maps_are_limited_even_where_their_size_overflows() {
        let up = || LayerSpec::UpSampling2d { size: Size::Square(64) };
        for layers in [vec![conv2d(1 << 20)], vec![up(), up(), up(), up(), up()]] {
            let reason = reason(build_blank(&network([32, 32, 1], layers), 2));
            assert_eq!(reason, "the layer is too large: more than 2^28 values in one map");
        }
        let (filters, expansion, kernel_size, strides) = (2, usize::MAX, Size::Square(3), Size::Square(1));
        let (squeeze_ratio, stochastic_depth, activation) = (0.0, 0.0, Activation::Relu);
        let (momentum, epsilon) = (0.9, 1e-3);
        let expanded = LayerSpec::Mbconv {
            filters,
            kernel_size,
            strides,
            expansion,
            squeeze_ratio,
            stochastic_depth,
            activation,
            momentum,
            epsilon,
        };
        let reason = reason(build_blank(&network([8, 8, 3], vec![expanded]), 2));
        assert_eq!(reason, "the layer is too large: more than 2^28 weights");
    }
}
