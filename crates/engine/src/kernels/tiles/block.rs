//! The operands of a product of a block of 32 rows with a block of 32 columns: two tiles by two.

/// Rows and columns of a block: two tiles.
pub const BLOCK: usize = 32;

/// Bytes of a row of `a` that a step multiplies, and of 32 columns of `b`.
pub const STEP_BYTES: usize = 64;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub const PACKED_BYTES: usize = STEP_BYTES * BLOCK;

/// Values of bf16 that a step adds up, in each row of `a` and column of `b`.
pub const STEP: usize = STEP_BYTES / 2;

/// Where a step's operands are.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Step {
    /// Offset of `a` from the first value of a row, in words of 4 bytes.
    pub a: usize,
    /// Index of the packed step of `b`.
    pub b: usize,
}

/// The steps of a sum, in their order.
#[derive(Default)]
pub struct Steps {
    list: Vec<Step>,
    /// The largest offset and index.
    furthest: Step,
}

impl Steps {
    pub fn new(list: Vec<Step>) -> Self {
        let mut steps = Self::default();
        list.into_iter().for_each(|step| steps.push(step));
        steps
    }

    pub fn clear(&mut self) {
        self.list.clear();
        self.furthest = Step::default();
    }

    pub fn push(&mut self, step: Step) {
        self.furthest = Step { a: self.furthest.a.max(step.a), b: self.furthest.b.max(step.b) };
        self.list.push(step);
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

/// Rows of `a` in memory, as words of 4 bytes.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub words: &'a [u32],
    /// First word of rows 0 to 15, and of rows 16 to 31.
    pub tiles: [usize; 2],
    /// Words from a row to the next one of its tile.
    pub stride: usize,
}
