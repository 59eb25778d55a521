//! Recognizes image files, and files of other kinds that are passed as images, by their first bytes.

use super::tiff;

/// A format that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
    Bmp,
    Tiff,
    Pnm,
    Qoi,
    Ico,
}

impl Format {
    /// The format of a file that begins with these bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Self::Png,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'B', b'M', ..] => Self::Bmp,
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::Tiff,
            [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] => Self::Pnm,
            [b'q', b'o', b'i', b'f', ..] => Self::Qoi,
            [0, 0, 1, 0, ..] => Self::Ico,
            _ => return None,
        })
    }

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Pnm => "PNM",
            Self::Qoi => "QOI",
            Self::Ico => "ICO",
        }
    }

    pub const fn decoder(self) -> image::ImageFormat {
        match self {
            Self::Jpeg => image::ImageFormat::Jpeg,
            Self::Png => image::ImageFormat::Png,
            Self::Gif => image::ImageFormat::Gif,
            Self::WebP => image::ImageFormat::WebP,
            Self::Bmp => image::ImageFormat::Bmp,
            Self::Tiff => image::ImageFormat::Tiff,
            Self::Pnm => image::ImageFormat::Pnm,
            Self::Qoi => image::ImageFormat::Qoi,
            Self::Ico => image::ImageFormat::Ico,
        }
    }
}

const CONVERT: &str = "convert it to JPEG or PNG";
const DEVELOP: &str = "export it as JPEG from the camera's software";
const VIDEO: &str = "`moue predict` reads videos from files with a video's extension, such as .mp4";
const UNPACK: &str = "unpack it";

/// What a file is that is not decoded, and what to do with it.
pub fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let text = || {
        let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
        String::from_utf8_lossy(&bytes[start.min(bytes.len())..bytes.len().min(start + 1024)]).to_ascii_lowercase()
    };
    Some(match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => media(brand.get(..4)?),
        [0x1A, 0x45, 0xDF, 0xA3, ..] => ("a Matroska or WebM video", VIDEO),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => ("an AVI video", VIDEO),
        [0, 0, 1, 0xBA | 0xB3, ..] => ("an MPEG video", VIDEO),
        [b'F', b'L', b'V', 1, ..] => ("a Flash video", VIDEO),
        [b'%', b'P', b'D', b'F', ..] => ("a PDF document", "export its pages as PNG"),
        [b'8', b'B', b'P', b'S', ..] => ("a Photoshop document", "export it as PNG"),
        [0xFF, 0x0A, ..] | [0, 0, 0, 0x0C, b'J', b'X', b'L', b' ', ..] => ("a JPEG XL image", CONVERT),
        [0, 0, 0, 0x0C, b'j', b'P', b' ', b' ', ..] | [0xFF, 0x4F, 0xFF, 0x51, ..] => ("a JPEG 2000 image", CONVERT),
        [0x76, 0x2F, 0x31, 0x01, ..] => ("an OpenEXR image", CONVERT),
        [b'#', b'?', b'R', b'A', b'D', b'I', b'A', b'N', b'C', b'E', ..] => ("a Radiance HDR image", CONVERT),
        [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', ..] => ("a Fujifilm RAW photo", DEVELOP),
        [b'I', b'I', b'R', b'O' | b'S', ..] | [b'M', b'M', b'O', b'R', ..] => ("an Olympus RAW photo", DEVELOP),
        [b'I', b'I', b'U', 0, ..] => ("a Panasonic RAW photo", DEVELOP),
        [b'I', b'I', 42, 0, _, _, _, _, b'C', b'R', ..] => ("a Canon RAW photo", DEVELOP),
        [b'P', b'K', 3, 4, ..] => ("a ZIP archive", UNPACK),
        [0x1F, 0x8B, ..] => ("a gzip archive", UNPACK),
        _ if tiff::is_raw(bytes) => ("a RAW photo", DEVELOP),
        [b'<' | b' ' | b'\t' | b'\r' | b'\n', ..] | [0xEF, 0xBB, 0xBF, ..] => {
            let text = text();
            if text.contains("<svg") {
                ("an SVG drawing", "export it as PNG")
            } else if text.contains("<html") || text.contains("<!doctype html") {
                ("a web page (HTML)", "download the image itself")
            } else {
                return None;
            }
        }
        _ => return None,
    })
}

/// Files in the container of MP4, by their brand.
fn media(brand: &[u8]) -> (&'static str, &'static str) {
    match brand {
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => {
            ("a HEIC or HEIF photo", "convert it to JPEG (an iPhone stores JPEG with Camera, Formats, Most Compatible)")
        }
        b"avif" | b"avis" => ("an AVIF image", CONVERT),
        b"crx " => ("a Canon RAW photo", DEVELOP),
        _ => ("an MP4 or QuickTime video", VIDEO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn foreign_files_are_named() {
        for (start, name) in [
            (&b"\0\0\0\x18ftypheic"[..], "a HEIC or HEIF photo"),
            (b"\0\0\0\x18ftypavif", "an AVIF image"),
            (b"\0\0\0\x18ftypisom", "an MP4 or QuickTime video"),
            (b"\0\0\0\x18ftypcrx ", "a Canon RAW photo"),
            (b"%PDF-1.7", "a PDF document"),
            (b"<?xml version=\"1.0\"?>\n<!-- x -->\n<svg xmlns=", "an SVG drawing"),
            (b"\n <!DOCTYPE html>", "a web page (HTML)"),
            (b"\x1A\x45\xDF\xA3", "a Matroska or WebM video"),
            (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
            (b"PK\x03\x04", "a ZIP archive"),
        ] {
            assert_eq!(foreign(start).map(|(name, _)| name), Some(name), "{start:?}");
            assert_eq!(Format::of(start), None, "{start:?}");
        }
        assert_eq!(foreign(b"plain text"), None);
        assert_eq!(foreign(b""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (Format::of(&bytes), foreign(&bytes));
        }
    }
}
