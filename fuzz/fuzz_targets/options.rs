//! A picture of any small size, searched with any options.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue::detect::{DetectOptions, Detector};

fuzz_target!(|input: (u8, u8, u32, f32, Vec<u8>)| {
    let (width, height, min_face, min_score, mut pixels) = input;
    // Larger pictures take a second with AddressSanitizer; the target `picture` has them.
    let (width, height) = (u32::from(width % 96).max(1), u32::from(height % 96).max(1));
    pixels.resize((width * height) as usize, 127);
    let Some(photo) = image::GrayImage::from_raw(width, height, pixels) else { return };
    let photo = image::DynamicImage::ImageLuma8(photo);
    for face in Detector::bundled().find(&photo, &DetectOptions { min_face, min_score, ..DetectOptions::default() }) {
        let place = face.within(width, height);
        assert!(place.x + place.width <= width && place.y + place.height <= height);
        assert_eq!(face.pixels(&photo, [8, 8], 1).len(), 64);
    }
});
