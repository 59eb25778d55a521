//! The operands of a product of blocks, which `product` describes.

/// Rows and columns of a block: two tiles.
pub const BLOCK: usize = 32;

/// Values that a step adds up, in each row of `a` and column of `b`.
pub const STEP: usize = 32;

/// The sums of a block, by rows.
pub type Sums = [f32; BLOCK * BLOCK];

/// Where a step's operands are.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Step {
    /// Offset of `a` from the first value of a row, in pairs of values.
    pub a: usize,
    /// Index of the packed step of `b`.
    pub b: usize,
}

/// The steps of a sum, in their order.
pub struct Steps {
    list: Vec<Step>,
    /// The largest offset and index.
    #[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), expect(dead_code))]
    furthest: Step,
}

impl Steps {
    pub fn new(list: Vec<Step>) -> Self {
        let largest = |of: fn(&Step) -> usize| list.iter().map(of).max().unwrap_or(0);
        let furthest = Step { a: largest(|step| step.a), b: largest(|step| step.b) };
        Self { list, furthest }
    }

    pub fn list(&self) -> &[Step] {
        &self.list
    }

    /// The largest offset and the largest index.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub fn furthest(&self) -> Step {
        self.furthest
    }
}

/// Rows of `a` in memory, as pairs of bf16 values.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub pairs: &'a [u32],
    /// First pair of rows 0 to 15, and of rows 16 to 31.
    pub tiles: [usize; 2],
    /// Pairs from a row to the next one of its tile.
    pub stride: usize,
}
