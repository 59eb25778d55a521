//! Which memory the maps of a network have: a slot is used again as soon as its map is not needed.

/// Index of a slot.
pub type Slot = usize;

/// Slots and their sizes.
#[derive(Default)]
pub struct Slots {
    /// Values of each slot for one image.
    pub sizes: Vec<usize>,
    free: Vec<Slot>,
}

impl Slots {
    /// A slot for this many values an image: the smallest free one that has them, or else the largest one, which grows.
    pub fn take(&mut self, values: usize) -> Slot {
        let fitting = self.free.iter().enumerate().filter(|&(_, &slot)| self.sizes[slot] >= values);
        let fitting = fitting.min_by_key(|&(_, &slot)| self.sizes[slot]);
        let any = || self.free.iter().enumerate().max_by_key(|&(_, &slot)| self.sizes[slot]);
        match fitting.or_else(any).map(|(i, _)| i) {
            Some(i) => {
                let slot = self.free.swap_remove(i);
                self.sizes[slot] = self.sizes[slot].max(values);
                slot
            }
            None => {
                self.sizes.push(values);
                self.sizes.len() - 1
            }
        }
    }

    /// Frees a slot for other maps.
    pub fn give(&mut self, slot: Slot) {
        self.free.push(slot);
    }
}
