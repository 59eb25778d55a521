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
    pub unused: [u32; 2],
}

/// Flags of [`Params`].
pub const BIAS: u32 = 1;
pub const ADD: u32 = 2;
pub const AFFINE: u32 = 4;
pub const GATE: u32 = 8;
pub const AVERAGE: u32 = 16;

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// With rows and filters of a workgroup's tile.
    Conv2d {
        rows: u32,
        filters: u32,
    },
    DepthwiseConv2d,
    Pooling,
    Elementwise,
    Softmax,
    UpSampling2d,
}

impl Kernel {
    /// The convolution for an output of this many rows an image and filters: its tile depends on the shape of one image
    /// only, so that the prediction for an image does not depend on its batch.
    pub fn conv2d(rows: usize, filters: usize, limits: &wgpu::Limits) -> Self {
        let side = |extent: usize| if extent > 32 { 64 } else { 32 };
        let (rows, filters) = (side(rows), side(filters));
        let fits = rows / 4 * (filters / 4) <= limits.max_compute_invocations_per_workgroup
            && 64 * (rows + filters) + 80 * rows <= limits.max_compute_workgroup_storage_size;
        if fits { Self::Conv2d { rows, filters } } else { Self::Conv2d { rows: 32, filters: 32 } }
    }

    /// The shader.
    pub fn source(self) -> String {
        let (constants, kernel) = match self {
            Self::Conv2d { rows, filters } => {
                (format!("const TILE_M = {rows}u;\nconst TILE_N = {filters}u;\n"), include_str!("shaders/conv2d.wgsl"))
            }
            Self::DepthwiseConv2d => (invocations(), include_str!("shaders/depthwise_conv2d.wgsl")),
            Self::Pooling => (invocations(), include_str!("shaders/pooling.wgsl")),
            Self::Elementwise => (invocations(), include_str!("shaders/elementwise.wgsl")),
            Self::Softmax => (invocations(), include_str!("shaders/softmax.wgsl")),
            Self::UpSampling2d => (invocations(), include_str!("shaders/up_sampling2d.wgsl")),
        };
        [&constants, include_str!("shaders/common.wgsl"), kernel].concat()
    }

    /// The workgroups of a launch in each dimension, of which the device allows `most`. Kernels that compute each value
    /// alone loop over what is beyond it.
    pub fn workgroups(self, params: &Params, most: u32) -> [u32; 3] {
        let each = |count: u32| [count.div_ceil(INVOCATIONS).min(most), 1, 1];
        match self {
            Self::Conv2d { rows, filters } => {
                let tiles = params.rows.div_ceil(rows);
                [params.filters.div_ceil(filters), tiles.min(most), tiles.div_ceil(most)]
            }
            Self::Softmax => each(params.rows),
            _ => each(params.rows * params.filters),
        }
    }
}

fn invocations() -> String {
    format!("const INVOCATIONS = {INVOCATIONS}u;\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_depend_on_the_shape_and_fit_the_device() {
        let limits = wgpu::Limits::default();
        assert_eq!(Kernel::conv2d(2304, 64, &limits), Kernel::Conv2d { rows: 64, filters: 64 });
        assert_eq!(Kernel::conv2d(2304, 32, &limits), Kernel::Conv2d { rows: 64, filters: 32 });
        assert_eq!(Kernel::conv2d(1, 128, &limits), Kernel::Conv2d { rows: 32, filters: 64 });
        let small = wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..limits };
        assert_eq!(Kernel::conv2d(2304, 64, &small), Kernel::Conv2d { rows: 32, filters: 32 });
    }

    #[test]
    fn a_launch_has_no_more_workgroups_than_the_device_allows() {
        let params = Params { rows: 100_000, filters: 70, ..Params::default() };
        assert_eq!(Kernel::Conv2d { rows: 64, filters: 64 }.workgroups(&params, 1000), [2, 1000, 2]);
        assert_eq!(Kernel::Conv2d { rows: 64, filters: 64 }.workgroups(&params, 65535), [2, 1563, 1]);
        assert_eq!(Kernel::Pooling.workgroups(&params, 65535), [65535, 1, 1]);
        assert_eq!(Kernel::Softmax.workgroups(&params, 65535), [1563, 1, 1]);
    }
}
