//! The `[model]` section of an architecture file.

use moue_engine::layers::Initializer;
use moue_engine::{Activation, Padding};
use serde::{Deserialize, Serialize};

/// The network. It must end in one number for each class, after `flatten` or a global pooling. A
/// softmax at the very end may be written or omitted: it is computed together with the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Short name for tables and run folders.
    pub name: String,
    /// `[height, width, channels]` of the images: 1 to 4096 rows and columns, and 1 channel (luma) or 3
    /// (RGB).
    pub input: [usize; 3],
    /// Initializer of the kernels.
    #[serde(default)]
    pub kernel_initializer: Initializer,
    /// The result that the source of the network reports, as free text; `moue compare` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Strength τ of a fixed bias for rare classes: −τ · log of each class's share in the training targets is added to
    /// its logit in every prediction, also while the training is validated (logit adjustment, Menon et al. 2021). 0
    /// adds none, 1 predicts as if all classes were equally frequent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prior_adjustment: f32,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
}

impl Architecture {
    /// A network of these layers, its kernels initialized by He's normal distribution.
    #[must_use]
    pub fn new(name: &str, input: [usize; 3], layers: Vec<LayerSpec>) -> Self {
        Self {
            name: name.to_owned(),
            input,
            kernel_initializer: Initializer::default(),
            claim: None,
            prior_adjustment: 0.0,
            layers,
        }
    }
}

/// One or two values: `3` is `[3, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// A layer: `{ kind = "conv2d", filters = 32, … }`. Kinds and options have the names that Keras gives
/// them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerSpec {
    /// A convolution: each filter covers all input channels.
    Conv2d {
        /// Number of output channels.
        filters: usize,
        /// Size of the filters: a whole number, or `[height, width]`.
        #[serde(default = "Size::three")]
        kernel_size: Size,
        /// Step between two positions of a filter: a whole number, or `[vertical, horizontal]`.
        #[serde(default = "Size::one")]
        strides: Size,
        /// Padding of the input.
        #[serde(default)]
        padding: Padding,
        /// Whether a bias is added to each output channel.
        #[serde(default = "yes")]
        use_bias: bool,
        /// Activation of the output.
        #[serde(default)]
        activation: Activation,
        /// Factor of the L2 penalty of the kernel: `kernel_l2 · Σ kernel²` is added to the loss that is
        /// minimized, as by Keras's `l2`; the printed loss does not include it.
        #[serde(default, skip_serializing_if = "is_zero")]
        #[cfg_attr(feature = "schema", schemars(extend("default" = 0)))]
        kernel_l2: f32,
    },
    /// A depthwise convolution: one filter for each input channel.
    DepthwiseConv2d {
        /// Size of the filters: a whole number, or `[height, width]`.
        #[serde(default = "Size::three")]
        kernel_size: Size,
        /// Step between two positions of a filter: a whole number, or `[vertical, horizontal]`.
        #[serde(default = "Size::one")]
        strides: Size,
        /// Padding of the input.
        #[serde(default)]
        padding: Padding,
        /// Whether a bias is added to each channel.
        #[serde(default = "yes")]
        use_bias: bool,
        /// Activation of the output.
        #[serde(default)]
        activation: Activation,
        /// Factor of the L2 penalty of the kernel: `kernel_l2 · Σ kernel²` is added to the loss that is
        /// minimized, as by Keras's `l2`; the printed loss does not include it.
        #[serde(default, skip_serializing_if = "is_zero")]
        #[cfg_attr(feature = "schema", schemars(extend("default" = 0)))]
        kernel_l2: f32,
    },
    /// A depthwise convolution without bias, followed by a 1 × 1 convolution that has the bias and the
    /// activation.
    SeparableConv2d {
        /// Number of output channels.
        filters: usize,
        /// Size of the filters: a whole number, or `[height, width]`.
        #[serde(default = "Size::three")]
        kernel_size: Size,
        /// Step between two positions of a filter: a whole number, or `[vertical, horizontal]`.
        #[serde(default = "Size::one")]
        strides: Size,
        /// Padding of the input.
        #[serde(default)]
        padding: Padding,
        /// Whether a bias is added to each output channel.
        #[serde(default = "yes")]
        use_bias: bool,
        /// Activation of the output.
        #[serde(default)]
        activation: Activation,
        /// Factor of the L2 penalty of the kernel: `kernel_l2 · Σ kernel²` is added to the loss that is
        /// minimized, as by Keras's `l2`; the printed loss does not include it.
        #[serde(default, skip_serializing_if = "is_zero")]
        #[cfg_attr(feature = "schema", schemars(extend("default" = 0)))]
        kernel_l2: f32,
    },
    /// A fully connected layer. Its input must be flat: `flatten` or a global pooling precedes it.
    Dense {
        /// Number of outputs, or `"classes"` for the number of classes of the data.
        units: Units,
        /// Whether a bias is added to each output.
        #[serde(default = "yes")]
        use_bias: bool,
        /// Activation of the output.
        #[serde(default)]
        activation: Activation,
        /// Factor of the L2 penalty of the kernel: `kernel_l2 · Σ kernel²` is added to the loss that is
        /// minimized, as by Keras's `l2`; the printed loss does not include it.
        #[serde(default, skip_serializing_if = "is_zero")]
        #[cfg_attr(feature = "schema", schemars(extend("default" = 0)))]
        kernel_l2: f32,
    },
    /// The maximum of each window.
    MaxPooling2d {
        /// Size of the window: a whole number, or `[height, width]`.
        #[serde(default = "Size::two")]
        pool_size: Size,
        /// Step between two windows: a whole number, or `[vertical, horizontal]`; without it, the size of
        /// the window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strides: Option<Size>,
        /// Padding of the input.
        #[serde(default)]
        padding: Padding,
    },
    /// The mean of each window; padding does not count.
    AveragePooling2d {
        /// Size of the window: a whole number, or `[height, width]`.
        #[serde(default = "Size::two")]
        pool_size: Size,
        /// Step between two windows: a whole number, or `[vertical, horizontal]`; without it, the size of
        /// the window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strides: Option<Size>,
        /// Padding of the input.
        #[serde(default)]
        padding: Padding,
    },
    /// The mean of each channel over all positions; the output is flat.
    GlobalAveragePooling2d {},
    /// The maximum of each channel over all positions; the output is flat.
    GlobalMaxPooling2d {},
    /// Repeats each position (nearest neighbor).
    UpSampling2d {
        /// Number of repetitions: a whole number, or `[vertical, horizontal]`.
        #[serde(default = "Size::two")]
        size: Size,
    },
    /// Batch normalization (Ioffe, Szegedy 2015): each channel to mean 0 and variance 1, then a trainable
    /// factor and offset. At inference, running statistics replace those of the batch.
    BatchNormalization {
        /// Share of the running mean and variance that a step keeps, from 0 to below 1.
        #[serde(default = "default_momentum")]
        momentum: f32,
        /// Added to the variance for numerical stability; above 0 and below 1.
        #[serde(default = "default_epsilon")]
        epsilon: f32,
        /// Activation of the output.
        #[serde(default)]
        activation: Activation,
    },
    /// Dropout (Srivastava et al. 2014): sets random values to 0 during training and scales the others
    /// by `1 / (1 − rate)`.
    Dropout {
        /// Share of the values that are set to 0, from 0 to below 1.
        rate: f32,
    },
    /// Stochastic depth (Huang et al. 2016): sets whole maps of random images to 0 during training. It
    /// is the last of the `layers` of a residual block.
    StochasticDepth {
        /// Share of the images whose maps are set to 0, from 0 to below 1.
        rate: f32,
    },
    /// All values of an image in one row: rows, then columns, then channels.
    Flatten {},
    /// `max(x, 0)`.
    Relu {},
    /// `x` where positive, `negative_slope · x` elsewhere.
    LeakyRelu {
        /// Slope of the negative part.
        #[serde(default = "default_slope")]
        negative_slope: f32,
    },
    /// `x · sigmoid(x)`, also called swish.
    Silu {},
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid {},
    /// Hyperbolic tangent.
    Tanh {},
    /// `eˣ / Σ eˣ` over the channels of a position.
    Softmax {},
    /// A residual block (He et al. 2015): `activation(layers(x) + shortcut(x))`.
    Residual {
        /// Layers of the branch, first to last.
        layers: Vec<LayerSpec>,
        /// Layers of the shortcut, first to last; empty for the identity.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
        shortcut: Vec<LayerSpec>,
        /// Activation of the sum.
        #[serde(default)]
        activation: Activation,
    },
    /// Branches on the same input, whose channels are concatenated. All outputs have the same height and
    /// width.
    Concatenate {
        /// Layers of each branch, first to last; an empty branch is the identity.
        branches: Vec<Vec<LayerSpec>>,
    },
    /// Lets its input pass and computes a further output of the network from it.
    Output {
        /// Name of the output.
        name: String,
        /// Layers from the input to the output, first to last.
        layers: Vec<LayerSpec>,
    },
    /// Squeeze-and-excitation (Hu et al. 2018): scales channels by
    /// `sigmoid(dense(activation(dense(mean of each channel))))`.
    SqueezeExcite {
        /// Number of outputs of the first dense layer.
        units: usize,
        /// Activation of the first dense layer.
        #[serde(default = "relu")]
        activation: Activation,
    },
    /// An inverted residual block with batch normalization, as in EfficientNet: 1 × 1 expansion,
    /// depthwise convolution, squeeze-and-excitation, 1 × 1 projection. The input is added where the
    /// strides are 1 and the number of channels stays the same.
    Mbconv {
        /// Number of output channels.
        filters: usize,
        /// Size of the depthwise filters: a whole number, or `[height, width]`.
        #[serde(default = "Size::three")]
        kernel_size: Size,
        /// Step between two positions of a filter: a whole number, or `[vertical, horizontal]`.
        #[serde(default = "Size::one")]
        strides: Size,
        /// Factor of the expansion; 1 for none.
        #[serde(default = "six")]
        expansion: usize,
        /// Units of squeeze-and-excitation as a share of the input channels; 0 for none.
        #[serde(default = "quarter")]
        squeeze_ratio: f32,
        /// Rate of stochastic depth where the input is added, from 0 to below 1.
        #[serde(default)]
        stochastic_depth: f32,
        /// Activation after the expansion and the depthwise convolution, and in squeeze-and-excitation.
        #[serde(default = "silu")]
        activation: Activation,
        /// Share of the running mean and variance that a step keeps, from 0 to below 1.
        #[serde(default = "default_momentum")]
        momentum: f32,
        /// Added to the variance for numerical stability; above 0 and below 1.
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
