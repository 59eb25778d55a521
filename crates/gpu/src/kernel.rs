//! The kernels: their shaders, their parameters and their pipelines.

/// Invocations of a workgroup of the kernels that compute each value alone.
pub const INVOCATIONS: u32 = 64;

/// The parameters of a launch, as the shaders read them (`Params` in `shaders/common.wgsl`).
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Params {
    /// Rows of the output, of one image; multiplied by the batch at a launch.
    pub rows: u32,
    pub channels: u32,
    pub filters: u32,
    pub activation: u32,
    /// Height and width of the input.
    pub input: [u32; 2],
    /// Height and width of the output.
    pub output: [u32; 2],
    pub size: [u32; 2],
    pub strides: [u32; 2],
    pub before: [u32; 2],
    pub row_length: u32,
    pub row_offset: u32,
    pub flags: u32,
    pub slope: f32,
    pub chunk: u32,
    pub first: u32,
}

/// The parameters of [`Kernel::Update`] (`Update` in `shaders/update.wgsl`).
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Update {
    pub count: u32,
    pub section: u32,
    pub kind: u32,
    pub average: u32,
    pub rate: f32,
    pub decay: f32,
    pub beta_1: f32,
    pub beta_2: f32,
    pub epsilon: f32,
    pub correction: f32,
    pub clip: f32,
    pub share: f32,
    pub unused: [u32; 8],
}

/// Flags of [`Params`].
pub const BIAS: u32 = 1;
pub const ADD: u32 = 2;
pub const AFFINE: u32 = 4;
pub const GATE: u32 = 8;
pub const AVERAGE: u32 = 16;
pub const PART: u32 = 32;
pub const COMBINE: u32 = 64;
pub const MOMENTS: u32 = 128;
pub const NORMALIZED: u32 = 256;
pub const PRODUCT: u32 = 512;
pub const STORED: u32 = 1024;
pub const LOSS: u32 = 2048;
pub const CORRECT: u32 = 4096;
pub const WHOLE: u32 = 8192;
pub const MEAN: u32 = 16384;

/// Workgroups of [`Kernel::Norm`], and the partial sums that it writes.
pub const NORMS: u32 = 64;

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// With rows and filters of a workgroup's tile.
    Conv2d {
        rows: u32,
        filters: u32,
        /// Whether it is the gradient of the input.
        transposed: bool,
    },
    /// With values of a patch and filters of a workgroup's tile.
    Conv2dGradient {
        values: u32,
        filters: u32,
    },
    DepthwiseConv2d {
        /// Whether it is the gradient of the input.
        transposed: bool,
    },
    DepthwiseConv2dGradient,
    Pooling,
    PoolingGradient,
    UpSampling2d,
    UpSampling2dGradient,
    Elementwise,
    Differentiate,
    Softmax,
    SoftmaxGradient,
    Reduce,
    Fold,
    Normalization(Normalization),
    Dropout,
    CrossEntropy,
    Norm,
    Update,
}

/// What [`Kernel::Normalization`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Normalization {
    State,
    Running,
    Gradient,
    Factors,
}

impl Kernel {
    /// The convolution for an output of this many rows an image and filters: its tile depends on the shape of one image
    /// only, so that the prediction for an image does not depend on its batch.
    pub fn conv2d(rows: usize, filters: usize, transposed: bool, limits: &wgpu::Limits) -> Self {
        let [rows, filters] = tile([rows, filters], limits);
        Self::Conv2d { rows, filters, transposed }
    }

    /// The gradient of a kernel with this many values and filters.
    pub fn conv2d_gradient(values: usize, filters: usize, limits: &wgpu::Limits) -> Self {
        let [values, filters] = tile([values, filters], limits);
        Self::Conv2dGradient { values, filters }
    }

    /// The shader.
    pub fn source(self) -> String {
        let common = include_str!("shaders/common.wgsl");
        let transposition = |transposed: bool| format!("const TRANSPOSED = {transposed};\n");
        let of_tile = |[rows, filters]: [u32; 2]| format!("const TILE_M = {rows}u;\nconst TILE_N = {filters}u;\n");
        let (constants, common, kernel) = match self {
            Self::Conv2d { rows, filters, transposed } => {
                let constants = of_tile([rows, filters]) + &transposition(transposed);
                (constants, common, include_str!("shaders/conv2d.wgsl"))
            }
            Self::Conv2dGradient { values, filters } => {
                (of_tile([values, filters]), common, include_str!("shaders/conv2d_gradient.wgsl"))
            }
            Self::DepthwiseConv2d { transposed } => {
                (invocations() + &transposition(transposed), common, include_str!("shaders/depthwise_conv2d.wgsl"))
            }
            Self::DepthwiseConv2dGradient => {
                (invocations(), common, include_str!("shaders/depthwise_conv2d_gradient.wgsl"))
            }
            Self::Pooling => (invocations(), common, include_str!("shaders/pooling.wgsl")),
            Self::PoolingGradient => (invocations(), common, include_str!("shaders/pooling_gradient.wgsl")),
            Self::UpSampling2d => (invocations(), common, include_str!("shaders/up_sampling2d.wgsl")),
            Self::UpSampling2dGradient => (invocations(), common, include_str!("shaders/up_sampling2d_gradient.wgsl")),
            Self::Elementwise => (invocations(), common, include_str!("shaders/elementwise.wgsl")),
            Self::Differentiate => (invocations(), common, include_str!("shaders/differentiate.wgsl")),
            Self::Softmax => (invocations(), common, include_str!("shaders/softmax.wgsl")),
            Self::SoftmaxGradient => (invocations(), common, include_str!("shaders/softmax_gradient.wgsl")),
            Self::Reduce => (String::new(), common, include_str!("shaders/reduce.wgsl")),
            Self::Fold => (invocations(), common, include_str!("shaders/fold.wgsl")),
            Self::Normalization(step) => {
                let constants = format!("{}const STEP = {}u;\n", invocations(), step as u32);
                (constants, common, include_str!("shaders/normalization.wgsl"))
            }
            Self::Dropout => (invocations(), common, include_str!("shaders/dropout.wgsl")),
            Self::CrossEntropy => (invocations(), common, include_str!("shaders/cross_entropy.wgsl")),
            Self::Norm | Self::Update => {
                let constants = format!("{}const NORM = {};\n", invocations(), self == Self::Norm);
                (constants, "", include_str!("shaders/update.wgsl"))
            }
        };
        [&constants, common, kernel].concat()
    }

    /// The workgroups of a launch in each dimension, of which the device allows `most`. Kernels that compute each value
    /// alone loop over what is beyond it.
    pub fn workgroups(self, params: &Params, most: u32) -> [u32; 3] {
        let each = |count: u32| [count.div_ceil(INVOCATIONS).min(most), 1, 1];
        let chunks = || params.rows.div_ceil(params.chunk.max(1));
        let patch_len = || params.size[0] * params.size[1] * params.channels;
        match self {
            Self::Conv2d { rows, filters, .. } => {
                let tiles = params.rows.div_ceil(rows);
                [params.filters.div_ceil(filters), tiles.min(most), tiles.div_ceil(most)]
            }
            Self::Conv2dGradient { values, filters } => {
                [params.filters.div_ceil(filters), patch_len().div_ceil(values), chunks()]
            }
            Self::DepthwiseConv2dGradient => each(chunks() * patch_len()),
            Self::Reduce => [params.channels.div_ceil(32), chunks(), 1],
            Self::Fold => each(params.row_length),
            Self::Normalization(_) => each(params.channels),
            Self::Dropout => each((params.rows * params.channels).div_ceil(2)),
            Self::Softmax | Self::SoftmaxGradient | Self::CrossEntropy => each(params.rows),
            _ => each(params.rows * params.filters),
        }
    }
}

/// Sides of a workgroup's tile for a matrix of these extents.
fn tile(extents: [usize; 2], limits: &wgpu::Limits) -> [u32; 2] {
    let [rows, filters] = extents.map(|extent| if extent > 32 { 64 } else { 32 });
    let fits = rows / 4 * (filters / 4) <= limits.max_compute_invocations_per_workgroup
        && 64 * (rows + filters) + 80 * rows <= limits.max_compute_workgroup_storage_size;
    if fits { [rows, filters] } else { [32; 2] }
}

fn invocations() -> String {
    format!("const INVOCATIONS = {INVOCATIONS}u;\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of([rows, filters]: [u32; 2]) -> Kernel {
        Kernel::Conv2d { rows, filters, transposed: false }
    }

    #[test]
    fn tiles_depend_on_the_shape_and_fit_the_device() {
        let limits = wgpu::Limits::default();
        assert_eq!(Kernel::conv2d(2304, 64, false, &limits), of([64, 64]));
        assert_eq!(Kernel::conv2d(2304, 32, false, &limits), of([64, 32]));
        assert_eq!(Kernel::conv2d(1, 128, false, &limits), of([32, 64]));
        let small = wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..limits };
        assert_eq!(Kernel::conv2d(2304, 64, false, &small), of([32, 32]));
    }

    #[test]
    fn a_launch_has_no_more_workgroups_than_the_device_allows() {
        let params = Params { rows: 100_000, filters: 70, ..Params::default() };
        assert_eq!(of([64, 64]).workgroups(&params, 1000), [2, 1000, 2]);
        assert_eq!(of([64, 64]).workgroups(&params, 65535), [2, 1563, 1]);
        assert_eq!(Kernel::Pooling.workgroups(&params, 65535), [65535, 1, 1]);
        assert_eq!(Kernel::Softmax.workgroups(&params, 65535), [1563, 1, 1]);
    }
}
