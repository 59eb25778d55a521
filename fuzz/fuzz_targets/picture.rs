//! An image file's bytes through decoder, crop and network, some also through the detector; whole, and as a
//! truncated file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue::image::ImageError;
use moue::predict::{Photo, PhotoError, PredictOptions, Predictor};
use std::sync::LazyLock;

/// Larger pictures take too long.
const PIXELS: u64 = 128 * 128;

static PREDICTOR: LazyLock<Predictor> = LazyLock::new(|| {
    let options = PredictOptions { max_pixels: Some(PIXELS), ..PredictOptions::default() };
    Predictor::new(moue_fuzz::classifier()).with_options(options)
});

fn check(bytes: &[u8], options: &PredictOptions, is_truncated: bool) -> Result<(), PhotoError> {
    let prediction = PREDICTOR.predict_with(Photo::Bytes("fuzz", bytes), options)?;
    assert!(prediction.width > 0 && prediction.height > 0 && prediction.error.is_none());
    // The detector has a warning of its own.
    assert!(options.detect || prediction.warning.is_some() == is_truncated);
    for face in &prediction.faces {
        assert!(face.place.x + face.place.width <= prediction.width);
        assert!(face.place.y + face.place.height <= prediction.height);
        let sum: f32 = face.probabilities.values().sum();
        assert!((sum - 1.0).abs() < 1e-4, "the probabilities sum to {sum}");
    }
    Ok(())
}

fuzz_target!(init: moue_fuzz::one_thread(), |bytes: &[u8]| {
    let options = PREDICTOR.options();
    let whole = PredictOptions { detect: false, ..*options };
    match check(bytes, &whole, false) {
        // The detector takes a hundred times as long.
        Ok(()) if moue_fuzz::is_chosen(bytes) => {
            check(bytes, options, false).expect("the picture has been decoded before");
        }
        Ok(()) => {}
        Err(PhotoError::Image(ImageError::Truncated { .. })) => {
            let _ = check(bytes, &PredictOptions { allow_truncated: true, ..whole }, true);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
