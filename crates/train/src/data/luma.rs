//! The luma of an image, and its brightness, contrast, information and sharpness. Audits and evaluations use the same
//! measures, at the size of the network's input.

use super::dataset::Dataset;

/// The luma of an image: of each pixel, the mean of its channels.
pub struct Luma {
    pixels: Vec<u8>,
    height: usize,
    width: usize,
    histogram: [u32; 256],
}

impl Luma {
    /// The luma of an image of a data set.
    #[must_use]
    pub fn of(dataset: &Dataset, index: usize) -> Self {
        let [height, width, channels] = dataset.shape();
        let luma = |pixel: &[u8]| (pixel.iter().map(|&value| u32::from(value)).sum::<u32>() / channels as u32) as u8;
        let pixels: Vec<u8> = dataset.image(index).chunks_exact(channels).map(luma).collect();
        let mut histogram = [0; 256];
        pixels.iter().for_each(|&value| histogram[usize::from(value)] += 1);
        Self { pixels, height, width, histogram }
    }

    /// Rows of pixels.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.pixels.chunks_exact(self.width.max(1))
    }

    /// The mean.
    #[must_use]
    pub fn brightness(&self) -> f32 {
        let sum: u64 = self.pixels.iter().map(|&value| u64::from(value)).sum();
        (sum as f64 / self.pixels.len().max(1) as f64) as f32
    }

    /// The value below which this share of the pixels is.
    #[must_use]
    pub fn percentile(&self, share: f32) -> u8 {
        let wanted = share * self.histogram.iter().sum::<u32>() as f32;
        let mut sum = 0;
        let found = self.histogram.iter().position(|&count| {
            sum += count;
            sum as f32 >= wanted && sum > 0
        });
        found.unwrap_or(255) as u8
    }

    /// Difference of the 99th and the 1st percentile.
    #[must_use]
    pub fn contrast(&self) -> u8 {
        self.percentile(0.99) - self.percentile(0.01)
    }

    /// Entropy of the histogram: bits of a pixel.
    #[must_use]
    pub fn entropy(&self) -> f32 {
        let all = self.histogram.iter().sum::<u32>().max(1) as f32;
        let share = |&count: &u32| count as f32 / all;
        -self.histogram.iter().filter(|&&count| count > 0).map(share).map(|share| share * share.log2()).sum::<f32>()
    }

    /// Standard deviation of the Laplacian relative to that of the pixels, which is low for blurred images; `None` for an
    /// image of one color.
    #[must_use]
    pub fn sharpness(&self) -> Option<f32> {
        let (height, width) = (self.height, self.width);
        let value = |row: usize, column: usize| f32::from(self.pixels[row * width + column]);
        let deviation = |values: &[f32]| {
            let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
            (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len().max(1) as f32).sqrt()
        };
        let mut edges = Vec::with_capacity(self.pixels.len());
        for row in 1..height.saturating_sub(1) {
            for column in 1..width.saturating_sub(1) {
                let around =
                    value(row - 1, column) + value(row + 1, column) + value(row, column - 1) + value(row, column + 1);
                edges.push(around - 4.0 * value(row, column));
            }
        }
        let all: Vec<f32> = self.pixels.iter().map(|&value| f32::from(value)).collect();
        let spread = deviation(&all);
        (spread > 1.0).then(|| deviation(&edges) / spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LabeledImage, Split};

    fn luma(pixels: Vec<u8>) -> Luma {
        let image = LabeledImage { id: "it".into(), label: 0, split: Split::Train, pixels };
        let classes = ["one", "two"].map(str::to_owned);
        Luma::of(&Dataset::from_images(&classes, [4, 4, 1], [image]).unwrap(), 0)
    }

    #[test]
    fn measures_equal_a_manual_computation() {
        let ramp = luma((0..16).map(|at| 10 * (at % 4) as u8).collect());
        assert_eq!((ramp.brightness(), ramp.contrast(), ramp.entropy()), (15.0, 30, 2.0));
        // A ramp has no curvature.
        assert_eq!(ramp.sharpness(), Some(0.0));
        let board = luma((0..16).map(|at| if (at / 4 + at % 4) % 2 == 0 { 0 } else { 100 }).collect());
        // The Laplacian is 400 and −400, the pixels deviate by 50.
        assert_eq!(board.sharpness(), Some(8.0));
        assert_eq!((luma(vec![7; 16]).sharpness(), luma(vec![7; 16]).contrast()), (None, 0));
    }
}
