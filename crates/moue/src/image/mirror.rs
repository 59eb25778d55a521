//! Mirror images.

/// Flips images `[…, width, channels]` horizontally in place.
///
/// # Panics
/// When `width` or `channels` is 0.
pub fn mirror(values: &mut [f32], width: usize, channels: usize) {
    for row in values.chunks_exact_mut(width * channels) {
        for column in 0..width / 2 {
            let (left, right) = row.split_at_mut((width - 1 - column) * channels);
            left[column * channels..][..channels].swap_with_slice(&mut right[..channels]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_equals_a_manual_example() {
        let mut images = [1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.];
        mirror(&mut images, 3, 2);
        assert_eq!(images, [5., 6., 3., 4., 1., 2., 11., 12., 9., 10., 7., 8.]);
    }
}
