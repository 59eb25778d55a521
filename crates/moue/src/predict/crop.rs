//! From a face's box to the picture that the network sees.
//!
//! A network knows faces as its training data cuts them out; the detector cuts
//! them otherwise. `examples/crop_fit.rs` measures how FER2013's pictures lie
//! in the detector's boxes.

use super::detect::Detection;
use crate::data::to_pixels;
use image::{DynamicImage, GenericImageView, RgbImage};

/// Side of a FER2013 picture, in sides of the detector's box; their middles are
/// the same.
const SIDE: f32 = 1.1;

/// The square around a face as FER2013 would have cut it out, brought to
/// `[height, width]` with 1 channel or 3, `[H, W, C]`. Beyond the photo its
/// border's pixels go on.
#[must_use]
pub fn face_pixels(photo: &DynamicImage, face: &Detection, size: [usize; 2], channels: usize) -> Vec<u8> {
    let side = face.side * SIDE;
    let (left, top) = (face.x - (side - face.side) / 2.0, face.y - (side - face.side) / 2.0);
    to_pixels(&square(photo, left.round() as i64, top.round() as i64, side.round() as u32), size, channels)
}

fn square(photo: &DynamicImage, left: i64, top: i64, side: u32) -> DynamicImage {
    let last = [i64::from(photo.width()) - 1, i64::from(photo.height()) - 1];
    let cut = RgbImage::from_fn(side.max(1), side.max(1), |x, y| {
        let x = (left + i64::from(x)).clamp(0, last[0]) as u32;
        let y = (top + i64::from(y)).clamp(0, last[1]) as u32;
        let image::Rgba([red, green, blue, _]) = photo.get_pixel(x, y);
        image::Rgb([red, green, blue])
    });
    DynamicImage::ImageRgb8(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_lies_around_the_middle_of_the_box() {
        // A ramp: a pixel's value tells its column.
        let ramp = RgbImage::from_fn(200, 100, |x, _| image::Rgb([x as u8; 3]));
        let face = Detection { x: 80.0, y: 30.0, side: 40.0, score: 1.0 };
        let pixels = face_pixels(&DynamicImage::ImageRgb8(ramp), &face, [44, 44], 1);
        assert_eq!((pixels[0], pixels[43]), (78, 121));
    }

    #[test]
    fn beyond_the_photo_its_border_goes_on() {
        let photo = RgbImage::from_fn(10, 10, |x, y| image::Rgb([(x * 10 + y) as u8; 3]));
        let face = Detection { x: -20.0, y: -20.0, side: 10.0, score: 1.0 };
        assert_eq!(face_pixels(&DynamicImage::ImageRgb8(photo), &face, [2, 2], 3), [0; 12]);
    }
}
