//! Copies between a map and a range of channels of a wider map.
//!
//! The layer determines which maps are concatenated, and in which order.

/// Writes the map `part` (`channels` wide) into the columns of `y` (`all` wide)
/// from `first` on.
pub fn put<E: Copy>(part: &[E], channels: usize, y: &mut [E], all: usize, first: usize) {
    for (part, y) in part.chunks_exact(channels).zip(y.chunks_exact_mut(all)) {
        y[first..first + channels].copy_from_slice(part);
    }
}

/// Reads the columns of `y` (`all` wide) from `first` on into the map `part`
/// (`channels` wide).
pub fn take<E: Copy>(y: &[E], all: usize, first: usize, part: &mut [E], channels: usize) {
    for (part, y) in part.chunks_exact_mut(channels).zip(y.chunks_exact(all)) {
        part.copy_from_slice(&y[first..first + channels]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_round_trip() {
        let (one, two) = ([1.0, 2.0], [3.0, 4.0, 5.0, 6.0]);
        let mut y = [0.0; 6];
        put(&one, 1, &mut y, 3, 0);
        put(&two, 2, &mut y, 3, 1);
        assert_eq!(y, [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
        let mut part = [0.0; 4];
        take(&y, 3, 1, &mut part, 2);
        assert_eq!(part, two);
    }
}
