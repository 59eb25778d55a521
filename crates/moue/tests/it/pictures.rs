//! Decoding of pictures with unusual pixel formats.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use moue::image::{decode_image, to_pixels};
use std::io::Cursor;

fn coded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn pixels(bytes: &[u8], channels: usize) -> Vec<u8> {
    to_pixels(&decode_image(bytes).unwrap(), [2, 2], channels)
}

#[test]
fn sixteen_bit_images_are_converted_to_eight_bits() {
    let steps: Vec<u16> = vec![0, 257 * 100, 257 * 200, 65_535];
    let gray: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_raw(2, 2, steps.clone()).unwrap();
    let color: ImageBuffer<Rgb<u16>, _> =
        ImageBuffer::from_raw(2, 2, steps.iter().flat_map(|&value| [value; 3]).collect::<Vec<u16>>()).unwrap();
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        assert_eq!(pixels(&coded(&gray.clone().into(), format), 1), [0, 100, 200, 255], "{format:?}");
        assert_eq!(pixels(&coded(&color.clone().into(), format), 1), [0, 100, 200, 255], "{format:?}");
    }
}

#[test]
fn transparent_pixels_become_white_at_any_depth() {
    let deep: ImageBuffer<LumaA<u16>, _> =
        ImageBuffer::from_raw(2, 2, vec![0, 0, 0, 65_535, 65_535, 65_535, 0, 65_535]).unwrap();
    assert_eq!(pixels(&coded(&deep.into(), ImageFormat::Png), 1), [255, 0, 255, 0]);
    let half: ImageBuffer<Rgba<u8>, _> = ImageBuffer::from_pixel(2, 2, Rgba([0, 0, 0, 128]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
        assert_eq!(pixels(&coded(&half.clone().into(), format), 3), [127; 12], "{format:?}");
    }
}

/// A CMYK JPEG with Adobe's marker and inverted inks.
#[test]
fn cmyk_images_become_rgb() {
    let ink = |[cyan, magenta, yellow, black]: [u8; 4]| {
        let mut bytes = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, 100);
        encoder.encode(&[cyan, magenta, yellow, black].repeat(64), 8, 8, jpeg_encoder::ColorType::Cmyk).unwrap();
        let picture = decode_image(&bytes).unwrap().to_rgb8();
        picture.get_pixel(4, 4).0
    };
    let close = |found: [u8; 3], wanted: [u8; 3]| found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 12);
    for (inks, wanted) in [
        ([0, 0, 0, 0], [255, 255, 255]),
        ([0, 0, 0, 255], [0, 0, 0]),
        ([255, 0, 0, 0], [0, 255, 255]),
        ([0, 0, 0, 128], [127, 127, 127]),
    ] {
        assert!(close(ink(inks), wanted), "{inks:?} became {:?}, expected {wanted:?}", ink(inks));
    }
}
