//! From a photo to the form that the cascade searches, and back to the photo's pixels.

use super::cascade::{Candidate, SeetaFace};
use super::window::{Grey, WINDOW};
use crate::detect::detection::{DetectOptions, Detection};
use crate::image::Square;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, GrayImage};
use std::cell::RefCell;

/// The smallest face that is found, in the pixels that are searched.
const SMALLEST: f32 = WINDOW as f32;

/// Longest side that is searched, in pixels: beyond it time is not worth it.
const LONGEST_SEARCHED: f32 = 2400.0;

/// Side of a FER2013 picture, in sides of SeetaFace's box; their middles are the
/// same. The example `crop_fit` of the training library measures it.
const SIDE: f32 = 1.1;

/// SeetaFace finds faces from 40 pixels on, so the photo is scaled until the
/// smallest face that is wanted has that size.
pub fn find(photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
    let longest = photo.width().max(photo.height()) as f32;
    let scale = (SMALLEST / options.smallest(photo.width(), photo.height())).min(LONGEST_SEARCHED / longest);
    let (width, height) = (photo.width() as f32 * scale, photo.height() as f32 * scale);
    // Below the detector's window there is nothing to slide it over.
    if width < SMALLEST || height < SMALLEST {
        return Vec::new();
    }
    let searched = searched(photo, width as u32, height as u32);
    let scale = [searched.width() as f32 / photo.width() as f32, searched.height() as f32 / photo.height() as f32];
    let found = search(&searched, options.least_score(2.0)).into_iter().map(|Candidate { x, y, side, score }| {
        let [x, y, side] = [x as f32, y as f32, side as f32];
        let [x, y, width, height] = [x / scale[0], y / scale[1], side / scale[0], side / scale[1]];
        let crop = Square { middle: [x + width / 2.0, y + height / 2.0], side: SIDE * width, degrees: 0.0 };
        Detection { x, y, width, height, score, crop }
    });
    found.collect()
}

/// The photo's luma at the size it is searched at.
fn searched(photo: &DynamicImage, width: u32, height: u32) -> GrayImage {
    let luma = photo.to_luma8();
    let mut scaled = GrayImage::new(width, height);
    let from = TypedImageRef::<U8>::from_buffer(luma.width(), luma.height(), luma.as_raw());
    let into = TypedImage::<U8>::from_buffer(width, height, &mut scaled);
    if let (Ok(from), Ok(mut into)) = (from, into) {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // Both have pixels of one form, which is all that it asks for.
        let _ = Resizer::new().resize_typed(&from, &mut into, &options);
    }
    scaled
}

/// What SeetaFace finds, in the pixels of `image`.
fn search(image: &GrayImage, min_score: f32) -> Vec<Candidate> {
    thread_local! {
        static DETECTOR: RefCell<Option<SeetaFace>> = RefCell::new(SeetaFace::new());
    }
    let picture = Grey { pixels: image.as_raw(), width: image.width() as usize, height: image.height() as usize };
    let find = |detector: &mut Option<SeetaFace>| Some(detector.as_mut()?.find(picture, min_score));
    DETECTOR.with_borrow_mut(find).unwrap_or_default()
}
