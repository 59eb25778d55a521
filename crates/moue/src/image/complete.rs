//! Whether an image file is complete: its structure is followed to the end that the format marks.
//!
//! Decoders return the part of a picture that they could read, without saying so.

use super::format::Format;
use super::tiff;

/// A file ends before its picture does; the number of missing bytes where the format states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated(pub Option<u64>);

/// Checks that a file of this format contains its whole picture.
pub fn check(format: Format, bytes: &[u8]) -> Result<(), Truncated> {
    let complete = match format {
        Format::Jpeg => jpeg(bytes),
        Format::Png => return png(bytes),
        Format::Gif => gif(bytes),
        Format::Qoi => Some(bytes.ends_with(&[0, 0, 0, 0, 0, 0, 0, 1])),
        Format::WebP => return within(little(bytes, 4, 4).map(|size| size + 8), bytes),
        Format::Bmp => return within(bmp(bytes), bytes),
        Format::Ico => return within(ico(bytes), bytes),
        Format::Tiff => return within(tiff::end(bytes), bytes),
        // Its decoder needs all pixels.
        Format::Pnm => Some(true),
    };
    // A file whose structure ends in the middle of a block.
    if complete == Some(true) { Ok(()) } else { Err(Truncated(None)) }
}

/// Compares the end of the content with that of the file.
fn within(end: Option<u64>, bytes: &[u8]) -> Result<(), Truncated> {
    match end {
        Some(end) if end <= bytes.len() as u64 => Ok(()),
        Some(end) => Err(Truncated(Some(end - bytes.len() as u64))),
        None => Err(Truncated(None)),
    }
}

/// The unsigned number of `size` bytes, the lowest first.
fn little(bytes: &[u8], place: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(place..place.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// The unsigned number of `size` bytes, the highest first.
fn big(bytes: &[u8], place: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(place..place.checked_add(size)?)?;
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Whether the end marker follows the segments (ITU-T T.81, annex B). Compressed data has no markers
/// but restarts; a zero follows each of its bytes 255.
fn jpeg(bytes: &[u8]) -> Option<bool> {
    let mut at = 2;
    loop {
        at += bytes.get(at..)?.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF))?;
        at += 2;
        match bytes[at - 1] {
            0xD9 => return Some(true),
            0x01 | 0xD0..=0xD8 => {}
            _ => at = at.checked_add(big(bytes, at, 2)? as usize)?,
        }
    }
}

/// Follows the chunks to `IEND`.
fn png(bytes: &[u8]) -> Result<(), Truncated> {
    let mut at = 8usize;
    while let (Some(length), Some(kind)) = (big(bytes, at, 4), bytes.get(at + 4..at + 8)) {
        let end = at as u64 + 12 + length;
        if kind == b"IEND" || end > bytes.len() as u64 {
            return within(Some(end), bytes);
        }
        at = end as usize;
    }
    Err(Truncated(None))
}

/// Follows the blocks to the trailer.
fn gif(bytes: &[u8]) -> Option<bool> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        match bytes.get(at)? {
            0x3B => return Some(true),
            0x21 => at += 2,
            0x2C => at += 11 + table(*bytes.get(at + 9)?),
            // Padding of some writers.
            0 => {
                at += 1;
                continue;
            }
            _ => return Some(false),
        }
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
    }
}

/// The end of the pixels: from the extent where they are not compressed, else from the header.
fn bmp(bytes: &[u8]) -> Option<u64> {
    let (offset, header) = (little(bytes, 10, 4)?, little(bytes, 14, 4)?);
    if header < 40 {
        return Some(little(bytes, 2, 4)?.max(offset));
    }
    let (width, height) = (little(bytes, 18, 4)?, (little(bytes, 22, 4)? as u32 as i32).unsigned_abs());
    let (bits, compression, size) = (little(bytes, 28, 2)?, little(bytes, 30, 4)?, little(bytes, 34, 4)?);
    let is_raw = matches!(compression, 0 | 3 | 6);
    let row = (width * bits).div_ceil(32) * 4;
    Some(offset.saturating_add(if is_raw { row.saturating_mul(u64::from(height)) } else { size }))
}

/// The end of the last picture.
fn ico(bytes: &[u8]) -> Option<u64> {
    let count = little(bytes, 4, 2)? as usize;
    (0..count)
        .map(|number| icon(bytes, number))
        .try_fold(0, |last, icon| icon.map(|(at, length)| last.max(at + length)))
}

/// The place and the length of a picture of an ICO file.
fn icon(bytes: &[u8], number: usize) -> Option<(u64, u64)> {
    let entry = 6 + 16 * number;
    Some((little(bytes, entry + 12, 4)?, little(bytes, entry + 8, 4)?))
}

/// The largest picture of an ICO file, if that is a PNG.
pub fn png_icon(bytes: &[u8]) -> Option<&[u8]> {
    let count = little(bytes, 4, 2)? as usize;
    // A side of 256 pixels is stored as 0.
    let side = |number: usize| bytes.get(6 + 16 * number).map(|side| side.wrapping_sub(1));
    let largest = (0..count).max_by_key(|&number| side(number))?;
    let (place, length) = icon(bytes, largest)?;
    let picture = bytes.get(place as usize..)?.get(..length as usize)?;
    (Format::of(picture) == Some(Format::Png)).then_some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat, RgbImage};
    use proptest::prelude::*;

    fn coded(format: ImageFormat) -> Vec<u8> {
        let picture = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 6) as u8, (y * 8) as u8, (x * y) as u8]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(picture).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn whole_files_are_complete_and_cut_ones_are_not() {
        for format in [Format::Jpeg, Format::Png, Format::Gif, Format::WebP, Format::Bmp, Format::Tiff, Format::Qoi] {
            let bytes = coded(format.decoder());
            assert_eq!(check(format, &bytes), Ok(()), "{format:?}");
            for tenth in 1..10 {
                let cut = &bytes[..bytes.len() * tenth / 10];
                assert!(check(format, cut).is_err() || tenth == 1, "{format:?} at {tenth}0 %");
            }
            if format != Format::Tiff {
                assert!(check(format, &bytes[..bytes.len() - 1]).is_err(), "{format:?} without its last byte");
            }
        }
    }

    #[test]
    fn data_after_the_end_is_ignored() {
        for format in [Format::Jpeg, Format::Png, Format::Gif, Format::WebP, Format::Bmp] {
            let mut bytes = coded(format.decoder());
            bytes.extend([7; 20]);
            assert_eq!(check(format, &bytes), Ok(()), "{format:?}");
        }
    }

    #[test]
    fn missing_bytes_are_counted_where_the_format_states_them() {
        for format in [Format::WebP, Format::Bmp] {
            let bytes = coded(format.decoder());
            assert_eq!(check(format, &bytes[..bytes.len() - 5]), Err(Truncated(Some(5))), "{format:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(format in 0usize..9, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            use Format::{Bmp, Gif, Ico, Jpeg, Png, Pnm, Qoi, Tiff, WebP};
            let _ = check([Jpeg, Png, Gif, WebP, Bmp, Tiff, Pnm, Qoi, Ico][format], &bytes);
        }
    }
}
