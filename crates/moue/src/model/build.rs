//! Builds a network from an architecture.

use super::architecture::{self as spec, Architecture, LayerSpec};
use super::blocks;
use super::size::{Weights, check_map, weights_of};
use moue_engine::layers::{
    ActivationLayer, BatchNormalization, BatchNormalizationOptions, Concatenate, Conv2d, Conv2dOptions, Dense,
    DenseOptions, DepthwiseConv2d, DepthwiseConv2dOptions, Dropout, Flatten, Initializer, Output, Pooling2d,
    PoolingKind, Residual, Sequence, SqueezeExcite, UpSampling2d,
};
use moue_engine::random::{Stream, key};
use moue_engine::{Activation, BuildError, Layer, Network, Padding, Role, Shape};
use std::collections::{HashMap, HashSet};

/// Why a network cannot be built from an architecture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// A layer cannot be built on the output of the previous one.
    #[error("layer {} ({kind}, on an input of {input})", path_text(.path))]
    Layer {
        /// Indices from 0: in `layers`, then in the block's `layers`, and so on. The layers of a
        /// shortcut are counted after those of its branch, those of a branch after those of the
        /// previous branch.
        path: Vec<usize>,
        /// Kind of the layer.
        kind: &'static str,
        /// Shape of the layer's input.
        input: Shape,
        /// What is wrong.
        #[source]
        source: BuildError,
    },
    /// `input` is not valid.
    #[error(
        "`input` is {0:?}; it must be [height, width, channels] with 1 to 4096 rows and columns and 1 or 3 channels"
    )]
    Input([usize; 3]),
    /// Two `output` layers have the same name.
    #[error("two outputs are named `{0}`")]
    SameOutput(String),
    /// The last layer's output is not one value for each class.
    #[error(
        "the last layer's output is {output}, but there are {classes} classes; end with {{ kind = \"dense\", units = \"classes\", activation = \"softmax\" }}"
    )]
    Classes {
        /// Output shape of the last layer.
        output: Shape,
        /// Number of classes.
        classes: usize,
    },
}

fn path_text(path: &[usize]) -> String {
    path.iter().map(|i| (i + 1).to_string()).collect::<Vec<_>>().join(".")
}

/// A row of [`summary`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LayerSummary {
    /// Name in the network, for example `conv2d_1`.
    pub name: String,
    /// Kind in architecture files.
    pub kind: &'static str,
    /// `[height, width, channels]`, or `[units]` when flat.
    pub output_shape: Vec<usize>,
    /// Number of parameters.
    pub parameters: usize,
    /// Multiply-adds for one image.
    pub macs: usize,
    /// Depth in nested blocks.
    #[serde(skip)]
    pub depth: usize,
}

/// Builds the network of an architecture for a number of classes, with weights initialized from the
/// seed. A final softmax is omitted: the network's output are logits, and the loss and the
/// predictor apply the softmax.
///
/// # Errors
/// When a layer cannot be built on the output of the previous one.
pub fn build(architecture: &Architecture, classes: usize, seed: u64) -> Result<Network, ArchitectureError> {
    build_from(architecture, classes, architecture.kernel_initializer, seed, Weights::any())
}

/// Builds the network with all weights 0, for weights that are loaded afterwards: initialization of
/// the default model would take most of the time of a short program.
///
/// # Errors
/// When a layer cannot be built on the output of the previous one.
pub fn build_blank(architecture: &Architecture, classes: usize) -> Result<Network, ArchitectureError> {
    build_from(architecture, classes, Initializer::Zeros, 0, Weights::any())
}

/// Builds the network as [`build_blank`] does for a file with this number of values. An architecture
/// with more weights takes no memory for them.
///
/// # Errors
/// When a layer cannot be built on the output of the previous one, or the file is too small.
pub(super) fn build_stored(
    architecture: &Architecture,
    classes: usize,
    values: usize,
) -> Result<Network, ArchitectureError> {
    build_from(architecture, classes, Initializer::Zeros, 0, Weights::stored(values))
}

/// Builds a network for something other than classes, with all weights 0: its last layer and its
/// named outputs may have any shape. `units = "classes"` stands for one unit.
///
/// # Errors
/// When a layer cannot be built on the output of the previous one.
pub fn build_any(architecture: &Architecture) -> Result<Network, ArchitectureError> {
    tree(architecture, &architecture.layers, 1, Initializer::Zeros, 0, Weights::any()).map(Network::new)
}

/// Number of layers of the network that the first `layers` of an architecture become; an activation
/// may become a layer of its own, and some blocks become several.
///
/// # Errors
/// When a layer cannot be built on the output of the previous one.
pub fn built_layers(architecture: &Architecture, layers: usize) -> Result<usize, ArchitectureError> {
    let first = architecture.layers.get(..layers).unwrap_or(&architecture.layers);
    Ok(tree(architecture, first, 1, Initializer::Zeros, 0, Weights::any())?.children().len())
}

fn build_from(
    architecture: &Architecture,
    classes: usize,
    initializer: Initializer,
    seed: u64,
    weights: Weights,
) -> Result<Network, ArchitectureError> {
    let layers = without_final_softmax(&architecture.layers);
    let network = tree(architecture, &layers, classes, initializer, seed, weights)?;
    let output = network.output_shape();
    if output != Shape::flat(classes) {
        return Err(ArchitectureError::Classes { output, classes });
    }
    Ok(Network::new(network))
}

fn tree(
    architecture: &Architecture,
    layers: &[LayerSpec],
    classes: usize,
    initializer: Initializer,
    seed: u64,
    weights: Weights,
) -> Result<Sequence, ArchitectureError> {
    let [height, width, channels] = architecture.input;
    if !(1..=4096).contains(&height) || !(1..=4096).contains(&width) || ![1, 3].contains(&channels) {
        return Err(ArchitectureError::Input(architecture.input));
    }
    let (count, outputs) = (HashMap::new(), HashSet::new());
    let mut builder = Builder { classes, initializer, seed, weights, count, outputs, made: 0 };
    builder.chain("model", layers, Shape::new(height, width, channels), &mut Vec::new(), 0)
}

/// One row for each layer; blocks are followed by their layers.
#[must_use]
pub fn summary(network: &Network) -> Vec<LayerSummary> {
    fn walk(layer: &dyn Layer, depth: usize, rows: &mut Vec<LayerSummary>) {
        for child in layer.children() {
            let chain = child.kind() == "sequence";
            let leaf = child.children().is_empty();
            if !chain {
                let shape = child.output_shape();
                let flat = shape.positions() == 1;
                let mut parameters = 0;
                child.visit(&mut |parameter| parameters += parameter.value.len());
                rows.push(LayerSummary {
                    name: child.name().to_owned(),
                    kind: child.kind(),
                    output_shape: if flat {
                        vec![shape.channels]
                    } else {
                        vec![shape.height, shape.width, shape.channels]
                    },
                    parameters: if leaf { parameters } else { 0 },
                    macs: if leaf { child.macs() } else { 0 },
                    depth,
                });
            }
            walk(child, depth + usize::from(!chain), rows);
        }
    }
    let mut rows = Vec::new();
    walk(network.layers(), 0, &mut rows);
    rows
}

fn without_final_softmax(layers: &[LayerSpec]) -> Vec<LayerSpec> {
    let mut layers = layers.to_vec();
    match layers.last_mut() {
        Some(LayerSpec::Softmax {}) => {
            layers.pop();
        }
        Some(LayerSpec::Dense { activation, .. } | LayerSpec::Conv2d { activation, .. })
            if *activation == Activation::Softmax =>
        {
            *activation = Activation::Linear;
        }
        _ => {}
    }
    layers
}

struct Builder {
    classes: usize,
    initializer: Initializer,
    seed: u64,
    weights: Weights,
    count: HashMap<&'static str, usize>,
    /// Names of the outputs.
    outputs: HashSet<String>,
    made: u64,
}

impl Builder {
    fn name(&mut self, kind: &'static str) -> String {
        let count = self.count.entry(kind).or_default();
        *count += 1;
        format!("{kind}_{count}")
    }

    fn chain(
        &mut self,
        name: &str,
        specs: &[LayerSpec],
        input: Shape,
        path: &mut Vec<usize>,
        first: usize,
    ) -> Result<Sequence, ArchitectureError> {
        Ok(Sequence::new(name, input, self.layers(specs, input, path, first)?))
    }

    /// The layers of a sequence; a description may expand to several.
    fn layers(
        &mut self,
        specs: &[LayerSpec],
        input: Shape,
        path: &mut Vec<usize>,
        first: usize,
    ) -> Result<Vec<Box<dyn Layer>>, ArchitectureError> {
        let mut layers: Vec<Box<dyn Layer>> = Vec::new();
        let mut shape = input;
        for (i, spec) in specs.iter().enumerate() {
            path.push(first + i);
            let made = match spec {
                LayerSpec::Residual { layers, shortcut, activation } => {
                    self.residual(layers, shortcut, *activation, shape, path)?
                }
                LayerSpec::Concatenate { branches } => self.concatenate(branches, shape, path)?,
                LayerSpec::Output { name, layers } => self.output(name, layers, shape, path)?,
                LayerSpec::SqueezeExcite { units, activation } => {
                    self.squeeze_excite(*units, *activation, shape, path)?
                }
                spec => match blocks::expand(spec, shape) {
                    Some(specs) => self.layers(&specs, shape, path, 0)?,
                    None => self.layer(spec, shape).map_err(|source| located(path, spec, shape, source))?,
                },
            };
            layers.extend(made);
            let output = layers.last().map_or(shape, |layer| layer.output_shape());
            check_map(output).map_err(|source| located(path, spec, shape, source))?;
            shape = output;
            path.pop();
        }
        Ok(layers)
    }

    fn residual(
        &mut self,
        layers: &[LayerSpec],
        shortcut: &[LayerSpec],
        activation: Activation,
        input: Shape,
        path: &mut Vec<usize>,
    ) -> Result<Vec<Box<dyn Layer>>, ArchitectureError> {
        let name = self.name("residual");
        let branch = self.chain("branch", layers, input, path, 0)?;
        let shortcut = self.chain("shortcut", shortcut, input, path, layers.len())?;
        let (inside, after) = split_activation(activation);
        let block = Residual::new(&name, branch, shortcut, inside).map_err(|source| ArchitectureError::Layer {
            path: path.clone(),
            kind: "residual",
            input,
            source,
        })?;
        Ok(self.followed_by(Box::new(block), after))
    }

    fn concatenate(
        &mut self,
        branches: &[Vec<LayerSpec>],
        input: Shape,
        path: &mut Vec<usize>,
    ) -> Result<Vec<Box<dyn Layer>>, ArchitectureError> {
        let name = self.name("concatenate");
        let mut chains = Vec::with_capacity(branches.len());
        let mut first = 0;
        for branch in branches {
            chains.push(self.chain("branch", branch, input, path, first)?);
            first += branch.len();
        }
        let block = Concatenate::new(&name, chains).map_err(|source| ArchitectureError::Layer {
            path: path.clone(),
            kind: "concatenate",
            input,
            source,
        })?;
        Ok(vec![Box::new(block)])
    }

    fn output(
        &mut self,
        output: &str,
        layers: &[LayerSpec],
        input: Shape,
        path: &mut Vec<usize>,
    ) -> Result<Vec<Box<dyn Layer>>, ArchitectureError> {
        if !self.outputs.insert(output.to_owned()) {
            return Err(ArchitectureError::SameOutput(output.to_owned()));
        }
        let name = self.name("output");
        let layers = self.chain("layers", layers, input, path, 0)?;
        Ok(vec![Box::new(Output::new(&name, output, layers))])
    }

    fn squeeze_excite(
        &mut self,
        units: usize,
        activation: Activation,
        input: Shape,
        path: &mut Vec<usize>,
    ) -> Result<Vec<Box<dyn Layer>>, ArchitectureError> {
        let name = self.name("squeeze_excite");
        let gate = self.chain("gate", &blocks::gate(units, activation, input.channels), input, path, 0)?;
        let block = SqueezeExcite::new(&name, gate).map_err(|source| ArchitectureError::Layer {
            path: path.clone(),
            kind: "squeeze_excite",
            input,
            source,
        })?;
        Ok(vec![Box::new(block)])
    }

    /// The layers of one description: the layer itself, followed by its activation as a separate
    /// layer where the layer cannot apply it.
    fn layer(&mut self, spec: &LayerSpec, input: Shape) -> Result<Vec<Box<dyn Layer>>, BuildError> {
        self.weights.take(weights_of(spec, input, self.classes))?;
        self.made += 1;
        let mut stream = Stream::new(key(&[self.seed, u64::from_le_bytes(*b"weights\0"), self.made]));
        let name = self.name(spec.kind());
        let (inside, after) = split_activation(match spec {
            LayerSpec::Conv2d { activation, .. }
            | LayerSpec::DepthwiseConv2d { activation, .. }
            | LayerSpec::Dense { activation, .. }
            | LayerSpec::BatchNormalization { activation, .. } => *activation,
            _ => Activation::Linear,
        });
        let alone =
            |activation: Activation| -> Box<dyn Layer> { Box::new(ActivationLayer::new(&name, input, activation)) };
        let mut layer: Box<dyn Layer> = match spec {
            LayerSpec::Conv2d { filters, kernel_size, strides, padding, use_bias, .. } => {
                let options = Conv2dOptions {
                    filters: *filters,
                    kernel_size: kernel_size.extents(),
                    strides: strides.extents(),
                    padding: *padding,
                    use_bias: *use_bias,
                    activation: inside,
                    initializer: self.initializer,
                };
                Box::new(Conv2d::new(&name, input, options, &mut stream)?)
            }
            LayerSpec::DepthwiseConv2d { kernel_size, strides, padding, use_bias, .. } => {
                let options = DepthwiseConv2dOptions {
                    kernel_size: kernel_size.extents(),
                    strides: strides.extents(),
                    padding: *padding,
                    use_bias: *use_bias,
                    activation: inside,
                    initializer: self.initializer,
                };
                Box::new(DepthwiseConv2d::new(&name, input, options, &mut stream)?)
            }
            LayerSpec::Dense { units, use_bias, .. } => {
                let units = match units {
                    spec::Units::Number(units) => *units,
                    spec::Units::PerClass(_) => self.classes,
                };
                let options =
                    DenseOptions { units, use_bias: *use_bias, activation: inside, initializer: self.initializer };
                Box::new(Dense::new(&name, input, options, &mut stream)?)
            }
            LayerSpec::MaxPooling2d { pool_size, strides, padding } => {
                pooling(&name, input, PoolingKind::Max, *pool_size, *strides, *padding)?
            }
            LayerSpec::AveragePooling2d { pool_size, strides, padding } => {
                pooling(&name, input, PoolingKind::Average, *pool_size, *strides, *padding)?
            }
            LayerSpec::GlobalAveragePooling2d {} => Box::new(Pooling2d::global(&name, input, PoolingKind::Average)?),
            LayerSpec::GlobalMaxPooling2d {} => Box::new(Pooling2d::global(&name, input, PoolingKind::Max)?),
            LayerSpec::UpSampling2d { size } => Box::new(UpSampling2d::new(&name, input, size.extents())?),
            LayerSpec::BatchNormalization { momentum, epsilon, .. } => {
                let options = BatchNormalizationOptions { momentum: *momentum, epsilon: *epsilon, activation: inside };
                Box::new(BatchNormalization::new(&name, input, options)?)
            }
            LayerSpec::Dropout { rate } => Box::new(Dropout::new(&name, input, *rate, self.made)?),
            LayerSpec::StochasticDepth { rate } => Box::new(Dropout::stochastic_depth(&name, input, *rate, self.made)?),
            LayerSpec::Flatten {} => Box::new(Flatten::new(&name, input)),
            LayerSpec::Relu {} => alone(Activation::Relu),
            LayerSpec::LeakyRelu { negative_slope } => alone(Activation::LeakyRelu { slope: *negative_slope }),
            LayerSpec::Silu {} => alone(Activation::Silu),
            LayerSpec::Sigmoid {} => alone(Activation::Sigmoid),
            LayerSpec::Tanh {} => alone(Activation::Tanh),
            LayerSpec::Softmax {} => alone(Activation::Softmax),
            LayerSpec::Residual { .. }
            | LayerSpec::Concatenate { .. }
            | LayerSpec::Output { .. }
            | LayerSpec::SqueezeExcite { .. }
            | LayerSpec::SeparableConv2d { .. }
            | LayerSpec::Mbconv { .. } => unreachable!("blocks are made by `layers`"),
        };
        if let LayerSpec::Conv2d { kernel_l2, .. }
        | LayerSpec::DepthwiseConv2d { kernel_l2, .. }
        | LayerSpec::Dense { kernel_l2, .. } = spec
        {
            layer.visit_mut(&mut |parameter| {
                if parameter.role == Role::Weight {
                    parameter.l2 = *kernel_l2;
                }
            });
        }
        Ok(self.followed_by(layer, after))
    }

    fn followed_by(&mut self, layer: Box<dyn Layer>, after: Option<Activation>) -> Vec<Box<dyn Layer>> {
        let shape = layer.output_shape();
        let mut layers = vec![layer];
        if let Some(activation) = after {
            let name = self.name("activation");
            layers.push(Box::new(ActivationLayer::new(&name, shape, activation)));
        }
        layers
    }
}

fn located(path: &[usize], spec: &LayerSpec, input: Shape, source: BuildError) -> ArchitectureError {
    ArchitectureError::Layer { path: path.to_vec(), kind: spec.kind(), input, source }
}

/// The activation that the layer applies itself, and the one that a separate layer applies.
fn split_activation(activation: Activation) -> (Activation, Option<Activation>) {
    if activation.works_in_place() { (activation, None) } else { (Activation::Linear, Some(activation)) }
}

fn pooling(
    name: &str,
    input: Shape,
    kind: PoolingKind,
    pool_size: spec::Size,
    strides: Option<spec::Size>,
    padding: Padding,
) -> Result<Box<dyn Layer>, BuildError> {
    let strides = strides.unwrap_or(pool_size).extents();
    Ok(Box::new(Pooling2d::new(name, input, kind, pool_size.extents(), strides, padding)?))
}
