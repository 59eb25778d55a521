//! Every kind of image file that is read: whole, and truncated. `pictures/make.py` has written the files.

use image::{DynamicImage, RgbImage};
use moue::image::{ImageError, decode_image, decode_truncated_image};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pictures")
}

/// The names and bytes of the files.
fn pictures() -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end != "py")).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

fn reference() -> DynamicImage {
    decode_image(&std::fs::read(folder().join("face.png")).unwrap()).unwrap()
}

/// What a file of this name should show.
fn expected(name: &str) -> RgbImage {
    let mut wanted = reference().to_rgb8();
    // The luma of ITU-R BT.601, which Pillow has used.
    let luma = |[red, green, blue]: [u8; 3]| {
        (0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue)) as u8
    };
    if name.contains("gray") {
        wanted.pixels_mut().for_each(|pixel| pixel.0 = [luma(pixel.0); 3]);
    }
    if name == "one-bit.png" {
        wanted.pixels_mut().for_each(|pixel| pixel.0 = [if luma(pixel.0) > 127 { 255 } else { 0 }; 3]);
    }
    if name == "alpha.png" {
        wanted.put_pixel(0, 0, image::Rgb([255; 3]));
    }
    wanted
}

/// The largest and the mean difference of two images.
fn differences(a: &RgbImage, b: &RgbImage) -> (u8, f64) {
    let each = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b));
    let mean = each.clone().map(f64::from).sum::<f64>() / a.as_raw().len() as f64;
    (each.max().unwrap_or(0), mean)
}

#[test]
fn every_kind_of_file_shows_the_same_face() {
    let pictures = pictures();
    assert!(pictures.len() > 35, "{} files", pictures.len());
    for (name, bytes) in &pictures {
        let found = decode_image(bytes).unwrap_or_else(|error| panic!("{name}: {error}")).to_rgb8();
        let wanted = expected(name);
        assert_eq!(found.dimensions(), wanted.dimensions(), "{name}");
        let (largest, mean) = differences(&found, &wanted);
        if name.starts_with("lossy") {
            assert!(mean < 6.0, "{name}: mean difference {mean:.1}");
        } else {
            // The luma is rounded.
            assert!(largest <= u8::from(name.contains("gray")), "{name}: difference {largest}");
        }
    }
}

#[test]
fn a_truncated_file_is_always_an_error() {
    let mut shown = 0;
    for (name, bytes) in pictures() {
        for tenth in 1..10 {
            let cut = &bytes[..bytes.len() * tenth / 10];
            let Err(error) = decode_image(cut) else { panic!("{name} cut to {tenth}0 % is decoded") };
            let text = error.to_string();
            assert!(text.contains("truncated") || text.contains("damaged"), "{name} cut to {tenth}0 %: {text}");
            if let Ok((part, truncated)) = decode_truncated_image(cut) {
                assert!(truncated, "{name} cut to {tenth}0 %");
                assert_eq!([part.width(), part.height()], [48, 40], "{name} cut to {tenth}0 %");
                shown += 1;
            }
        }
    }
    assert!(shown > 100, "{shown} truncated files show a part");
}

#[test]
fn the_available_part_of_a_truncated_file_is_exact() {
    let wanted = reference().to_rgb8();
    for name in ["face.png", "16-bit.png", "rgb.bmp", "rgb.ppm"] {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        let (part, truncated) = decode_truncated_image(&bytes[..bytes.len() * 7 / 10]).unwrap();
        let part = part.to_rgb8();
        // A BMP begins with the last row.
        let row = if name == "rgb.bmp" { 39 } else { 0 };
        assert!(truncated && (0..48).all(|x| part.get_pixel(x, row) == wanted.get_pixel(x, row)), "{name}");
    }
    let whole = std::fs::read(folder().join("face.png")).unwrap();
    assert!(!decode_truncated_image(&whole).unwrap().1);
}

#[test]
fn missing_bytes_are_reported() {
    let bytes = std::fs::read(folder().join("rgb.bmp")).unwrap();
    let error = decode_image(&bytes[..bytes.len() - 100]).unwrap_err();
    assert_eq!(error.to_string(), "truncated BMP image (100 bytes are missing); copy or download it again");
    assert!(matches!(error, ImageError::Truncated { missing: Some(100), .. }));
}

#[test]
fn files_of_other_kinds_are_named() {
    let error = |bytes: &[u8]| decode_image(bytes).unwrap_err().to_string();
    let formats = "PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI or ICO";
    assert_eq!(error(b"%PDF-1.4"), format!("a PDF document, not a {formats} image; export its pages as PNG"));
    assert!(error(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").starts_with("a HEIC or HEIF photo, not a "));
    assert_eq!(error(b"some text"), format!("not a {formats} image"));
    assert_eq!(error(b""), "the file is empty");
}
