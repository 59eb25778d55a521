//! The `[model]` section of an architecture file.

use moue_engine::layers::Initializer;
use moue_engine::{Activation, Padding};
use serde::{Deserialize, Serialize};

/// The description of a network, as in an architecture file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// A short name, used in tables and run folders.
    pub name: String,
    /// `[height, width, channels]` of the images; 1 channel (luma) or 3 (RGB).
    pub input: [usize; 3],
    /// Initializer of the kernels.
    #[serde(default)]
    pub kernel_initializer: Initializer,
    /// The result that its source reports, shown by `compare`; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
}

impl Architecture {
    /// A network of these layers, its kernels initialized by He's normal distribution.
    #[must_use]
    pub fn new(name: &str, input: [usize; 3], layers: Vec<LayerSpec>) -> Self {
        Self { name: name.to_owned(), input, kernel_initializer: Initializer::default(), claim: None, layers }
    }
}

/// One or two values: `3` is `[3, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or [height, width]")]
pub enum Size {
    /// The same value for height and width.
    Square(usize),
    /// `[height, width]`.
    Rectangle([usize; 2]),
}

impl Size {
    /// `[height, width]`.
    #[must_use]
    pub fn extents(self) -> [usize; 2] {
        match self {
            Self::Square(side) => [side, side],
            Self::Rectangle(extents) => extents,
        }
    }

    fn one() -> Self {
        Self::Square(1)
    }

    fn two() -> Self {
        Self::Square(2)
    }

    fn three() -> Self {
        Self::Square(3)
    }
}

/// The number of outputs of a dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or \"classes\"")]
pub enum Units {
    /// A fixed number.
    Number(usize),
    /// The number of classes of the data.
    PerClass(ClassesWord),
}

impl Units {
    /// The number of classes of the data, for the last layer.
    #[must_use]
    pub fn per_class() -> Self {
        Self::PerClass(ClassesWord::Classes)
    }
}

/// The literal `classes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassesWord {
    /// The literal itself.
    Classes,
}

fn yes() -> bool {
    true
}

fn relu() -> Activation {
    Activation::Relu
}

fn silu() -> Activation {
    Activation::Silu
}

fn six() -> usize {
    6
}

fn quarter() -> f32 {
    0.25
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

fn default_slope() -> f32 {
    0.01
}

fn default_momentum() -> f32 {
    0.9
}

fn default_epsilon() -> f32 {
    1e-3
}

/// The description of a layer: `{ kind = "conv2d", filters = 32, … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the options are those of Keras, by name; docs/configuration.md lists them")]
pub enum LayerSpec {
    Conv2d {
        filters: usize,
        #[serde(default = "Size::three")]
        kernel_size: Size,
        #[serde(default = "Size::one")]
        strides: Size,
        #[serde(default)]
        padding: Padding,
        #[serde(default = "yes")]
        use_bias: bool,
        #[serde(default)]
        activation: Activation,
        #[serde(default, skip_serializing_if = "is_zero")]
        kernel_l2: f32,
    },
    DepthwiseConv2d {
        #[serde(default = "Size::three")]
        kernel_size: Size,
        #[serde(default = "Size::one")]
        strides: Size,
        #[serde(default)]
        padding: Padding,
        #[serde(default = "yes")]
        use_bias: bool,
        #[serde(default)]
        activation: Activation,
        #[serde(default, skip_serializing_if = "is_zero")]
        kernel_l2: f32,
    },
    /// A depthwise convolution without bias, then a 1 × 1 convolution.
    SeparableConv2d {
        filters: usize,
        #[serde(default = "Size::three")]
        kernel_size: Size,
        #[serde(default = "Size::one")]
        strides: Size,
        #[serde(default)]
        padding: Padding,
        #[serde(default = "yes")]
        use_bias: bool,
        #[serde(default)]
        activation: Activation,
        #[serde(default, skip_serializing_if = "is_zero")]
        kernel_l2: f32,
    },
    Dense {
        units: Units,
        #[serde(default = "yes")]
        use_bias: bool,
        #[serde(default)]
        activation: Activation,
        #[serde(default, skip_serializing_if = "is_zero")]
        kernel_l2: f32,
    },
    MaxPooling2d {
        #[serde(default = "Size::two")]
        pool_size: Size,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strides: Option<Size>,
        #[serde(default)]
        padding: Padding,
    },
    AveragePooling2d {
        #[serde(default = "Size::two")]
        pool_size: Size,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strides: Option<Size>,
        #[serde(default)]
        padding: Padding,
    },
    GlobalAveragePooling2d {},
    GlobalMaxPooling2d {},
    /// Repeats each position (nearest neighbor).
    UpSampling2d {
        #[serde(default = "Size::two")]
        size: Size,
    },
    BatchNormalization {
        #[serde(default = "default_momentum")]
        momentum: f32,
        #[serde(default = "default_epsilon")]
        epsilon: f32,
        #[serde(default)]
        activation: Activation,
    },
    Dropout {
        rate: f32,
    },
    /// Drops the maps of random images: the last layer of a residual branch.
    StochasticDepth {
        rate: f32,
    },
    Flatten {},
    Relu {},
    LeakyRelu {
        #[serde(default = "default_slope")]
        negative_slope: f32,
    },
    Silu {},
    Sigmoid {},
    Tanh {},
    Softmax {},
    /// `activation(layers(x) + shortcut(x))`; an empty shortcut is the identity.
    Residual {
        layers: Vec<LayerSpec>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shortcut: Vec<LayerSpec>,
        #[serde(default)]
        activation: Activation,
    },
    /// Branches on the same input, their channels concatenated; an empty branch is the identity.
    Concatenate {
        branches: Vec<Vec<LayerSpec>>,
    },
    /// Lets its input pass and computes a further output of the network from it.
    Output {
        name: String,
        layers: Vec<LayerSpec>,
    },
    /// `x · sigmoid(dense(activation(dense(mean of each channel))))`.
    SqueezeExcite {
        units: usize,
        #[serde(default = "relu")]
        activation: Activation,
    },
    /// Inverted residual (`MBConv`): 1 × 1 expansion, depthwise convolution,
    /// squeeze-and-excitation, 1 × 1 projection; the input is added where the
    /// shapes allow it.
    Mbconv {
        filters: usize,
        #[serde(default = "Size::three")]
        kernel_size: Size,
        #[serde(default = "Size::one")]
        strides: Size,
        #[serde(default = "six")]
        expansion: usize,
        #[serde(default = "quarter")]
        squeeze_ratio: f32,
        #[serde(default)]
        stochastic_depth: f32,
        #[serde(default = "silu")]
        activation: Activation,
        #[serde(default = "default_momentum")]
        momentum: f32,
        #[serde(default = "default_epsilon")]
        epsilon: f32,
    },
}

impl LayerSpec {
    /// The kind as written in a file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::DepthwiseConv2d { .. } => "depthwise_conv2d",
            Self::SeparableConv2d { .. } => "separable_conv2d",
            Self::Dense { .. } => "dense",
            Self::MaxPooling2d { .. } => "max_pooling2d",
            Self::AveragePooling2d { .. } => "average_pooling2d",
            Self::GlobalAveragePooling2d {} => "global_average_pooling2d",
            Self::GlobalMaxPooling2d {} => "global_max_pooling2d",
            Self::UpSampling2d { .. } => "up_sampling2d",
            Self::BatchNormalization { .. } => "batch_normalization",
            Self::Dropout { .. } => "dropout",
            Self::StochasticDepth { .. } => "stochastic_depth",
            Self::Flatten {} => "flatten",
            Self::Relu {} => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Silu {} => "silu",
            Self::Sigmoid {} => "sigmoid",
            Self::Tanh {} => "tanh",
            Self::Softmax {} => "softmax",
            Self::Residual { .. } => "residual",
            Self::Concatenate { .. } => "concatenate",
            Self::Output { .. } => "output",
            Self::SqueezeExcite { .. } => "squeeze_excite",
            Self::Mbconv { .. } => "mbconv",
        }
    }
}
