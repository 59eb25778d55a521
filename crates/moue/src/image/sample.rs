//! Bilinear sampling of feature maps and pictures.

/// A position between four pixels of a map, and the weights of the four.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bilinear {
    rows: [usize; 2],
    columns: [usize; 2],
    down: f32,
    right: f32,
}

impl Bilinear {
    /// The position `[row, column]` of a map of `[height, width]`, in pixels from the center of the
    /// first pixel; positions outside are clamped to the border.
    ///
    /// # Panics
    /// When the map is empty.
    #[inline]
    #[must_use]
    pub fn at([height, width]: [usize; 2], [row, column]: [f32; 2]) -> Self {
        let (row, column) = (row.clamp(0.0, (height - 1) as f32), column.clamp(0.0, (width - 1) as f32));
        let (top, left) = (row as usize, column as usize);
        Self {
            rows: [top, (top + 1).min(height - 1)],
            columns: [left, (left + 1).min(width - 1)],
            down: row - top as f32,
            right: column - left as f32,
        }
    }

    /// The interpolated values, one for each channel, from the values of each pixel `(row,
    /// column)`.
    #[inline]
    pub fn mix<const C: usize>(&self, pixel: impl Fn(usize, usize) -> [f32; C]) -> [f32; C] {
        let blend = |a: [f32; C], b: [f32; C], share: f32| -> [f32; C] {
            std::array::from_fn(|c| a[c] * (1.0 - share) + b[c] * share)
        };
        let across = |row| blend(pixel(row, self.columns[0]), pixel(row, self.columns[1]), self.right);
        blend(across(self.rows[0]), across(self.rows[1]), self.down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_pixels_are_weighted_by_distance() {
        let map = [[0.0, 1.0], [0.5, 0.5]];
        let at = |row, column| Bilinear::at([2, 2], [row, column]).mix(|row, column| [map[row][column]])[0];
        assert_eq!((at(0.0, 0.0), at(0.0, 0.5), at(0.5, 1.0)), (0.0, 0.5, 0.75));
        assert_eq!((at(0.5, 0.25), at(-3.0, 9.0), at(9.0, 9.0)), (0.375, 1.0, 0.5));
    }
}
