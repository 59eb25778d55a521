//! Test-time augmentation: an evaluation predicts what a predictor predicts.

use moue::{Classifier, Photo, PredictOptions, Predictor, Tta};
use moue_train::data::{ImageSpec, Split, synthetic};
use moue_train::evaluate::predict_split;

#[test]
fn evaluations_and_predictors_average_the_same_views() {
    let dataset = synthetic::dataset(280, ImageSpec { size: Some([48, 48]), channels: 1 }, 0);
    let predictor = Predictor::open("tiny").unwrap();
    assert!(!dataset.indices(Split::Test).is_empty());
    let mut all = Vec::new();
    for tta in [Tta::None, Tta::Flip, Tta::Crops] {
        let classifier = Classifier::open("tiny").unwrap();
        let evaluated = predict_split(&classifier, &dataset, Split::Test, tta, &mut |_| {}).unwrap();
        let options = PredictOptions { detect: false, tta, ..PredictOptions::default() };
        for (&image, row) in evaluated.images.iter().zip(evaluated.probabilities.chunks_exact(7)) {
            let face = image::GrayImage::from_raw(48, 48, dataset.image(image).to_vec()).unwrap();
            let photo = image::DynamicImage::ImageLuma8(face);
            let predicted = predictor.predict_with(Photo::from(&photo), &options).unwrap();
            let probabilities: Vec<f32> = predicted.faces[0].probabilities.values().copied().collect();
            assert!(probabilities.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-6), "{tta:?}");
        }
        all.push(evaluated.probabilities);
    }
    assert!(all[0] != all[1] && all[1] != all[2]);
}
