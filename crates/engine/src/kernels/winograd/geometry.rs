//! The geometry of a tiled convolution: the number of tiles and the size of their transforms.
//!
//! It also counts multiplications, by which `convolution` selects a tile size.

use crate::kernels::gemm::{self, LANES};

/// Added to the length of each transformed matrix, so that its `N²` positions do not map to the
/// same set of the cache.
pub const SKEW: usize = LANES;

/// The size of the output's tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileSize {
    /// `F(2 × 2, 3 × 3)`.
    Two,
    /// `F(4 × 4, 3 × 3)`.
    Four,
}

impl TileSize {
    /// Positions of a transformed patch, `N²`.
    pub fn places(self) -> usize {
        match self {
            Self::Two => 16,
            Self::Four => 36,
        }
    }

    /// Side of the output's tile, `M`.
    pub fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// A 3 × 3 convolution of stride 1: sizes are `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub tile: TileSize,
    pub input: [usize; 2],
    pub channels: usize,
    /// Padding above and to the left of the input.
    pub before: [usize; 2],
    pub output: [usize; 2],
    pub filters: usize,
}

impl Geometry {
    /// Number of tiles vertically and horizontally.
    pub fn tiles(&self) -> [usize; 2] {
        self.output.map(|extent| extent.div_ceil(self.tile.side()))
    }

    /// Tiles in one image.
    pub fn tiles_per_image(&self) -> usize {
        self.tiles().iter().product()
    }

    /// Multiplications for one image and one pair of channels.
    pub fn multiplications(&self) -> usize {
        self.tiles_per_image() * self.tile.places()
    }

    /// The geometry of the input's gradient: a convolution over the output's gradient.
    pub fn transposed(&self) -> Self {
        Self {
            tile: self.tile,
            input: self.output,
            channels: self.filters,
            before: self.before.map(|before| 2 - before),
            output: self.input,
            filters: self.channels,
        }
    }

    /// Values in the transformed, packed filters.
    pub fn transformed_len(&self) -> usize {
        self.tile.places() * gemm::packed_len(self.channels, self.filters)
    }

    /// Channels of a transformed patch: a multiple of every vector length.
    pub fn padded_channels(&self) -> usize {
        self.channels.next_multiple_of(LANES)
    }
}
