//! The directories of a TIFF file, for what the decoder does not do: palettes, files that end too
//! early, and cameras' RAW files, which are TIFF files with a preview.

use image::{DynamicImage, RgbImage};

/// Tags of the TIFF 6.0 specification, and of DNG.
mod tag {
    pub const SUBFILE_TYPE: u16 = 254;
    pub const BITS_PER_SAMPLE: u16 = 258;
    pub const PHOTOMETRIC: u16 = 262;
    pub const MAKE: u16 = 271;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const STRIP_COUNTS: u16 = 279;
    pub const COLOR_MAP: u16 = 320;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_COUNTS: u16 = 325;
    pub const SUB_DIRECTORIES: u16 = 330;
    pub const DNG_VERSION: u16 = 50706;
}

/// Values of the photometric interpretation.
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u64 = 3;

/// Bytes of a value of each type.
const SIZES: [u64; 13] = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];

/// Maximum number of values that are read for a tag.
const MOST_VALUES: usize = 1 << 20;

/// Maximum number of images in a file.
const MOST_IMAGES: usize = 10_000;

/// A directory of a TIFF file (not of `BigTIFF`): the tags of an image.
struct Directory<'a> {
    bytes: &'a [u8],
    little: bool,
    /// Place of its first entry, and their number.
    first: usize,
    entries: usize,
}

impl<'a> Directory<'a> {
    /// The first directory.
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes {
            [b'I', b'I', 42, 0, ..] => true,
            [b'M', b'M', 0, 42, ..] => false,
            _ => return None,
        };
        let header = Self { bytes, little, first: 0, entries: 0 };
        header.at(header.number(4, 4)?)
    }

    /// The directory at a place.
    fn at(&self, place: u64) -> Option<Self> {
        let place = place as usize;
        Some(Self { first: place + 2, entries: self.number(place, 2)? as usize, ..*self })
    }

    /// The place of the next directory; 0 after the last one.
    fn next(&self) -> Option<u64> {
        self.number(self.first + 12 * self.entries, 4)
    }

    /// The end of the image's data, and of values that are not in the directory itself.
    fn end(&self) -> Option<u64> {
        let mut last = 0;
        for number in 0..self.entries {
            let entry = self.first + 12 * number;
            let size = SIZES.get(self.number(entry + 2, 2)? as usize).copied().unwrap_or(0);
            let length = size * self.number(entry + 4, 4)?;
            if length > 4 {
                last = last.max(self.number(entry + 8, 4)? + length);
            }
        }
        let end = |offsets: u16, counts: u16| {
            let (offsets, counts) = (self.values(offsets)?, self.values(counts)?);
            offsets.iter().zip(&counts).map(|(offset, count)| offset + count).max()
        };
        let end = end(tag::STRIP_OFFSETS, tag::STRIP_COUNTS).or_else(|| end(tag::TILE_OFFSETS, tag::TILE_COUNTS));
        Some(last.max(end.unwrap_or(0)))
    }

    /// The unsigned number of `size` bytes at a place.
    fn number(&self, place: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(place..place.checked_add(size)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
    }

    /// The place of the entry of a tag.
    fn entry(&self, tag: u16) -> Option<usize> {
        let places = (0..self.entries).map(|number| self.first + 12 * number);
        places.take_while(|&place| place + 12 <= self.bytes.len()).find(|&p| self.number(p, 2) == Some(u64::from(tag)))
    }

    /// The values of a tag of bytes, shorts or longs.
    fn values(&self, tag: u16) -> Option<Vec<u64>> {
        let entry = self.entry(tag)?;
        let size = match self.number(entry + 2, 2)? {
            1 => 1,
            3 => 2,
            4 => 4,
            _ => return None,
        };
        let count = (self.number(entry + 4, 4)? as usize).min(MOST_VALUES);
        let place = if count * size <= 4 { entry + 8 } else { self.number(entry + 8, 4)? as usize };
        (0..count).map(|number| self.number(place.checked_add(number * size)?, size)).collect()
    }

    fn value(&self, tag: u16) -> Option<u64> {
        self.values(tag)?.first().copied()
    }
}

/// Whether this is a RAW photo: a DNG, or a preview with further images of a camera.
pub fn is_raw(bytes: &[u8]) -> bool {
    Directory::open(bytes).is_some_and(|directory| {
        let is_preview = directory.value(tag::SUBFILE_TYPE).is_some_and(|kind| kind & 1 == 1);
        let has_others = directory.entry(tag::SUB_DIRECTORIES).is_some() && directory.entry(tag::MAKE).is_some();
        directory.entry(tag::DNG_VERSION).is_some() || (is_preview && has_others)
    })
}

/// The end of the last image's data; `None` where the file ends before a directory. `BigTIFF`, whose
/// directories are not read, ends anywhere.
pub fn end(bytes: &[u8]) -> Option<u64> {
    if !matches!(bytes, [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..]) {
        return Some(0);
    }
    let mut directory = Directory::open(bytes)?;
    let mut end = directory.end()?;
    for _ in 1..MOST_IMAGES {
        match directory.next()? {
            0 => break,
            next => directory = directory.at(next)?,
        }
        end = end.max(directory.end()?);
    }
    Some(end)
}

/// A palette with 8 bits per pixel: its colors, and the file with the indices as gray levels.
pub struct Palette {
    colors: Vec<[u8; 3]>,
    pub indices: Vec<u8>,
}

impl Palette {
    /// The palette of a file, if it has one.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let directory = Directory::open(bytes)?;
        if directory.value(tag::PHOTOMETRIC)? != PALETTE || directory.value(tag::BITS_PER_SAMPLE)? != 8 {
            return None;
        }
        let map = directory.values(tag::COLOR_MAP)?;
        let size = map.len() / 3;
        let color = |index: usize| [0, 1, 2].map(|channel| (map[channel * size + index] >> 8) as u8);
        let place = directory.entry(tag::PHOTOMETRIC)? + 8;
        let value = if directory.little { BLACK_IS_ZERO.to_le_bytes() } else { BLACK_IS_ZERO.to_be_bytes() };
        let mut indices = bytes.to_vec();
        indices.get_mut(place..place + 2)?.copy_from_slice(&value);
        Some(Self { colors: (0..size).map(color).collect(), indices })
    }

    /// The image in color.
    pub fn colored(&self, indices: &DynamicImage) -> DynamicImage {
        let indices = indices.to_luma8();
        let color = |index: u8| self.colors.get(usize::from(index)).copied().unwrap_or_default();
        let colored = RgbImage::from_fn(indices.width(), indices.height(), |x, y| {
            image::Rgb(color(indices.get_pixel(x, y).0[0]))
        });
        DynamicImage::ImageRgb8(colored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(little: bool, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = if little { b"II\x2a\0\x08\0\0\0".to_vec() } else { b"MM\0\x2a\0\0\0\x08".to_vec() };
            bytes.extend(rest);
            let _ = (is_raw(&bytes), end(&bytes), Palette::of(&bytes).is_some());
        }
    }
}
