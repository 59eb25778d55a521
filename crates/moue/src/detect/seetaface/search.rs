//! Scales a photo for the cascade, and maps detections back to the photo's pixels.

use super::cascade::{Candidate, SeetaFace};
use super::window::{Grey, WINDOW};
use crate::detect::detection::{DetectOptions, Detection};
use crate::image::Square;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, GrayImage};
use std::cell::RefCell;

/// Minimum size of a face, in the scaled picture.
const SMALLEST: f32 = WINDOW as f32;

/// Maximum side of the scaled picture, in pixels, which limits the time.
const LONGEST_SEARCHED: f32 = 2400.0;

/// Side of a FER2013 picture, in sides of SeetaFace's box; both have the same center. The example
/// `crop_fit` of the crate `moue-train` measures it.
const SIDE: f32 = 1.1;

/// SeetaFace detects faces from 40 pixels, so the photo is scaled until the smallest requested face
/// has that size.
pub fn find(photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
    let longest = photo.width().max(photo.height()) as f32;
    let scale = (SMALLEST / options.smallest(photo.width(), photo.height())).min(LONGEST_SEARCHED / longest);
    let (width, height) = (photo.width() as f32 * scale, photo.height() as f32 * scale);
    // The picture must be at least as large as the detector's window.
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

/// The scaled luma of the photo.
fn searched(photo: &DynamicImage, width: u32, height: u32) -> GrayImage {
    let luma = photo.to_luma8();
    let mut scaled = GrayImage::new(width, height);
    let from = TypedImageRef::<U8>::from_buffer(luma.width(), luma.height(), luma.as_raw());
    let into = TypedImage::<U8>::from_buffer(width, height, &mut scaled);
    if let (Ok(from), Ok(mut into)) = (from, into) {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // Resizing fails only for different pixel types, and both are the same here.
        let _ = Resizer::new().resize_typed(&from, &mut into, &options);
    }
    scaled
}

/// The detections of SeetaFace, in the pixels of `image`.
fn search(image: &GrayImage, min_score: f32) -> Vec<Candidate> {
    thread_local! {
        static DETECTOR: RefCell<Option<SeetaFace>> = RefCell::new(SeetaFace::new());
    }
    let picture = Grey { pixels: image.as_raw(), width: image.width() as usize, height: image.height() as usize };
    let find = |detector: &mut Option<SeetaFace>| Some(detector.as_mut()?.find(picture, min_score));
    DETECTOR.with_borrow_mut(find).unwrap_or_default()
}
