//! Pictures that are hard to recognize whatever their label: dark, bright, low in contrast or information, blurred, of an
//! odd shape, or inside a border. They are measured at the size of the network's input ([`Luma`]); only the shape is the source's.

use super::kinds::Kind;
use super::outliers::{deviations, median};
use crate::data::{Dataset, Luma};
use rayon::prelude::*;

/// 95th percentile of a dark picture's luma, of 255.
const DARK: u8 = 64;

/// 5th percentile of a bright picture's luma.
const BRIGHT: u8 = 191;

/// Difference of the 99th and the 1st percentile of a picture of low contrast.
const CONTRAST: u8 = 38;

/// Bits of a picture of low information: the entropy of its histogram.
const BITS: f32 = 3.0;

/// Ratio of the shorter to the longer side of an odd shape.
const ASPECT: f32 = 0.4;

/// Share of the area that is a border of one color.
const BORDER: f32 = 0.2;

/// Largest difference of values in a row or column of one color.
const SAME: u8 = 4;

/// By how many robust standard deviations a blurred picture is less sharp than the median.
const BLURRED: f64 = 3.5;

/// A fault of a picture and its score, 0–1, which is lower for worse pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// What it is.
    pub kind: Kind,
    /// How bad.
    pub score: f32,
}

/// What is measured of a picture.
struct Measured {
    faults: Vec<Fault>,
    /// Standard deviation of the Laplacian relative to that of the pixels; `None` for a picture of one color.
    sharpness: Option<f32>,
}

/// The faults of each picture of a data set.
#[must_use]
pub fn faults(dataset: &Dataset) -> Vec<Vec<Fault>> {
    let measured: Vec<Measured> = (0..dataset.len()).into_par_iter().map(|index| measure(dataset, index)).collect();
    let known = measured.iter().filter_map(|own| own.sharpness);
    let middle = median(known.map(f64::from).collect()).max(1e-6) as f32;
    let sharpness: Vec<f32> = measured.iter().map(|own| own.sharpness.unwrap_or(middle)).collect();
    let blurred = deviations(&sharpness);
    measured
        .into_iter()
        .zip(blurred)
        .map(|(Measured { mut faults, sharpness }, deviation)| {
            if deviation < -BLURRED {
                let sharpness = sharpness.unwrap_or(middle);
                faults.push(Fault { kind: Kind::Blurred, score: (sharpness / middle).min(1.0) });
            }
            faults
        })
        .collect()
}

fn measure(dataset: &Dataset, index: usize) -> Measured {
    let luma = Luma::of(dataset, index);
    let (low, high, contrast, entropy) =
        (luma.percentile(0.05), luma.percentile(0.95), luma.contrast(), luma.entropy());
    let [source_height, source_width] = dataset.sizes()[index].map(|extent| extent.max(1) as f32);
    let aspect = source_height.min(source_width) / source_height.max(source_width);
    let border = border(&luma);
    let found = [
        (Kind::Dark, high < DARK, f32::from(high) / 255.0),
        (Kind::Bright, low > BRIGHT, 1.0 - f32::from(low) / 255.0),
        (Kind::LowContrast, contrast < CONTRAST, f32::from(contrast) / 255.0),
        (Kind::LowInformation, entropy < BITS, entropy / 8.0),
        (Kind::OddAspect, aspect < ASPECT, aspect),
        // A picture of one color is all border, and low in information already.
        (Kind::Border, border > BORDER && border < 1.0, 1.0 - border),
    ];
    let faults = found.into_iter().filter(|(_, is, _)| *is).map(|(kind, _, score)| Fault { kind, score }).collect();
    Measured { faults, sharpness: luma.sharpness() }
}

/// Share of the area in rows and columns of one color at the sides.
fn border(luma: &Luma) -> f32 {
    let uniform = |values: &mut dyn Iterator<Item = u8>| {
        let (low, high) = values.fold((u8::MAX, 0), |(low, high), value| (value.min(low), value.max(high)));
        high.saturating_sub(low) <= SAME
    };
    let rows: Vec<&[u8]> = luma.rows().collect();
    let (height, width) = (rows.len(), rows.first().map_or(0, |row| row.len()));
    let is_row = |row: &usize| uniform(&mut rows[*row].iter().copied());
    let top = (0..height).take_while(is_row).count();
    if top == height {
        return 1.0;
    }
    let bottom = (0..height).rev().take_while(is_row).count();
    // Columns between the rows that are left.
    let is_column = |column: usize| uniform(&mut rows[top..height - bottom].iter().map(|row| row[column]));
    let left = (0..width).take_while(|&column| is_column(column)).count();
    let right = (0..width - left).rev().take_while(|&column| is_column(left + column)).count();
    let inside = (height - top - bottom) * (width - left - right);
    1.0 - inside as f32 / (height * width) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, LabeledImage, Split, synthetic};

    const SIDE: usize = 24;

    fn kinds(change: impl Fn(usize, usize, u8) -> u8) -> Vec<Kind> {
        let faces = synthetic::dataset(42, ImageSpec { size: Some([SIDE, SIDE]), channels: 1 }, 1);
        let images = (0..faces.len()).map(|index| {
            let mut image = LabeledImage { split: Split::Train, ..faces.labeled_image(index) };
            if index == 3 {
                image.pixels = (0..SIDE * SIDE).map(|at| change(at / SIDE, at % SIDE, image.pixels[at])).collect();
            }
            image
        });
        let dataset = Dataset::from_images(faces.classes(), faces.shape(), images).unwrap();
        faults(&dataset).swap_remove(3).into_iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn faults_are_found_and_ordinary_pictures_have_none() {
        assert_eq!(kinds(|_, _, value| value), []);
        assert!(kinds(|_, _, value| value / 5).contains(&Kind::Dark));
        assert!(kinds(|_, _, value| 205 + value / 6).contains(&Kind::Bright));
        assert!(kinds(|_, _, value| 110 + value / 10).contains(&Kind::LowContrast));
        assert_eq!(kinds(|_, _, _| 120), [Kind::LowContrast, Kind::LowInformation]);
        assert!(kinds(|row, _, value| if row < 6 { 0 } else { value }).contains(&Kind::Border));
        assert!(kinds(|row, column, _| (60 + 5 * row + 2 * column) as u8).contains(&Kind::Blurred));
    }

    #[test]
    fn the_shape_is_that_of_the_source() {
        let mut faces = synthetic::dataset(14, ImageSpec { size: Some([12, 12]), channels: 3 }, 1);
        faces.sizes[2] = [30, 100];
        let found = faults(&faces).swap_remove(2);
        assert!(found.contains(&Fault { kind: Kind::OddAspect, score: 0.3 }), "{found:?}");
    }
}
