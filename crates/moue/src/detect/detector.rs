//! Finds the faces of a photo.

use super::detection::{DetectOptions, Detection};
use super::merge::{merged, suppressed};
use super::network::{DetectorError, FaceNetwork};
use super::views::views;
use image::{DynamicImage, RgbImage};
use std::borrow::Cow;
use std::path::Path;
use std::sync::LazyLock;

/// Responses below this score are ignored: they cannot make a face.
const FAINTEST: f32 = 0.1;

/// Response from which a face crop without a certain face is taken as a face.
const CROP_SCORE: f32 = 0.3;

/// A face crop: its longer side is at most this long, and at most this ratio longer than the
/// shorter one; the response has at least this share of the shorter side, and its center is at most
/// this share of it away from the picture's.
const CROP_LONGEST: u32 = 416;
const CROP_RATIO: f32 = 4.0 / 3.0;
const CROP_SIDE: f32 = 0.6;
const CROP_OFF_CENTER: f32 = 0.15;

static BUNDLED: &[u8] = include_bytes!("../../models/yunet.safetensors");

/// A face detector, shared between threads by reference.
pub struct Detector(FaceNetwork);

impl Detector {
    /// The bundled detector: `YuNet`.
    ///
    /// # Panics
    /// Never: the bundled file is tested.
    #[must_use]
    pub fn bundled() -> &'static Self {
        static DETECTOR: LazyLock<Detector> = LazyLock::new(|| {
            let network = FaceNetwork::from_bytes(BUNDLED, Path::new("yunet"));
            Detector(network.unwrap_or_else(|error| unreachable!("{error}")))
        });
        &DETECTOR
    }

    /// Loads the detector from a file that `models/convert_yunet.py` has written.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, DetectorError> {
        FaceNetwork::load(path.as_ref()).map(Self)
    }

    /// Frees the memory that is kept for further photos.
    pub fn release_memory(&self) {
        self.0.release_memory();
    }

    /// The faces in a photo, from left to right.
    ///
    /// A small picture that shows one face closely and gives no certain detection is one face: the
    /// whole picture ([`Detection::is_whole_picture`]), where the detector responds with at least 0.3.
    #[must_use]
    pub fn find(&self, photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
        let (width, height) = (photo.width(), photo.height());
        if width == 0 || height == 0 {
            return Vec::new();
        }
        let least = options.least_score();
        let responses = self.responses(photo, options, least.min(FAINTEST));
        let strongest = responses.iter().filter(|(found, _)| is_crop(found, width, height));
        let strongest = strongest.map(|(found, _)| found.score).fold(0.0, f32::max);
        let mut faces = merged(responses);
        faces.retain(|face| {
            let inside = face.within(width, height);
            face.score >= least && inside.width > 0 && inside.height > 0
        });
        if faces.is_empty() && strongest >= CROP_SCORE {
            return vec![Detection::whole(width, height, strongest)];
        }
        faces.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
        faces
    }

    /// The detections of all views, and whether their views confirm others.
    fn responses(&self, photo: &DynamicImage, options: &DetectOptions, least: f32) -> Vec<(Detection, bool)> {
        let photo: Cow<'_, RgbImage> = photo.as_rgb8().map_or_else(|| Cow::Owned(photo.to_rgb8()), Cow::Borrowed);
        let mut all = Vec::new();
        for view in views(photo.width(), photo.height(), options) {
            let found = suppressed(self.0.responses(&view.pixels(&photo), least));
            let found = found.iter().map(|found| view.in_photo(found)).filter(|found| found.side() >= view.least_side);
            all.extend(found.map(|found| (found, view.confirms)));
        }
        all
    }
}

/// Whether a response is that of a picture that is a face crop.
fn is_crop(found: &Detection, width: u32, height: u32) -> bool {
    let (long, short) = (width.max(height), width.min(height) as f32);
    let off = |at: f32, extent: f32, picture: u32| (at + extent / 2.0 - picture as f32 / 2.0).abs();
    let off_center = off(found.x, found.width, width).max(off(found.y, found.height, height));
    let is_close = found.side() >= CROP_SIDE * short && off_center <= CROP_OFF_CENTER * short;
    long <= CROP_LONGEST && long as f32 <= CROP_RATIO * short && is_close
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};
    use proptest::prelude::*;

    #[test]
    fn blank_photos_have_no_faces() {
        for (width, height) in [(1, 1), (39, 2000), (40, 40), (500, 41), (300, 300)] {
            let photo = DynamicImage::ImageLuma8(GrayImage::from_pixel(width, height, Luma([128])));
            assert_eq!(Detector::bundled().find(&photo, &DetectOptions::default()), [], "{width} x {height}");
        }
        assert_eq!(Detector::bundled().find(&DynamicImage::new_rgb8(0, 5), &DetectOptions::default()), []);
    }

    #[test]
    fn only_close_pictures_of_a_face_are_crops() {
        let found = |x: f32, side: f32| Detection { x, y: x, ..Detection::whole(side as u32, side as u32, 0.5) };
        assert!(is_crop(&found(15.0, 70.0), 100, 110));
        assert!(!is_crop(&found(30.0, 40.0), 100, 110) && !is_crop(&found(15.0, 70.0), 100, 140));
        assert!(!is_crop(&found(0.0, 70.0), 100, 110) && !is_crop(&found(150.0, 700.0), 1000, 1000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn no_picture_makes_the_detector_panic(
            width in 1u32..160, height in 1u32..160, min_face in 0u32..60, min_score in 0f32..1.0, key: u64,
        ) {
            let mut stream = moue_engine::random::Stream::new(key);
            let noise = GrayImage::from_fn(width, height, |_, _| Luma([stream.below(256) as u8]));
            let options = DetectOptions { min_face, min_score, fast: key % 2 == 0 };
            for face in Detector::bundled().find(&DynamicImage::ImageLuma8(noise.clone()), &options) {
                let _ = face.pixels(&DynamicImage::ImageLuma8(noise.clone()), [48, 48], 1);
            }
        }
    }
}
