//! Measures how much accuracy face detection and cropping cost, compared with FER2013's own
//! pictures.
//!
//! Each PublicTest picture is placed at a random size and position on a larger, noisy background,
//! then detected, cropped and predicted; the original picture is predicted without detection.
//!
//! `cargo run --release --example crop_cost model.safetensors fer2013.csv 1000`

use image::{DynamicImage, GrayImage, Luma, imageops};
use moue::Classifier;
use moue::predict::{PredictOptions, Predictor};
use moue_engine::random::{Stream, key};
use moue_train::config::DataOptions;
use moue_train::data::{Cache, ImageSpec, Split};
use moue_train::evaluate::wilson;
use std::error::Error;
use std::sync::Arc;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let classifier = Arc::new(Classifier::open(arguments.next().ok_or("usage: crop_cost MODEL DATA [COUNT]")?)?);
    let path = arguments.next().ok_or("usage: crop_cost MODEL DATA [COUNT]")?;
    let count: usize = arguments.next().map_or(Ok(1000), |count| count.parse())?;
    let form = ImageSpec { size: Some([48, 48]), channels: 1 };
    let dataset = moue_train::data::open(path, form, &DataOptions::default(), 0, &Cache::standard(), &|_| ())?;
    let finds = Predictor::new(Arc::clone(&classifier));
    let whole = Predictor::new(classifier).with_options(PredictOptions { detect: false, ..PredictOptions::default() });
    let (mut n, mut found, mut right, mut right_of_found, mut right_alone) = (0, 0, 0, 0, 0);
    for index in dataset.indices(Split::Validation).into_iter().take(count) {
        let label = &dataset.classes()[dataset.labels()[index] as usize];
        let Some(face) = GrayImage::from_raw(48, 48, dataset.image(index).to_vec()) else { continue };
        let label_of = |faces: &[moue::prediction::Face]| {
            faces.iter().max_by_key(|face| face.place.width).map(|face| face.label.clone())
        };
        let alone = label_of(&whole.predict(&DynamicImage::ImageLuma8(face.clone()))?.faces).as_ref() == Some(label);
        let pasted = label_of(&finds.predict(&pasted(&face, index))?.faces);
        n += 1;
        right += usize::from(alone);
        found += usize::from(pasted.is_some());
        if pasted.is_some() {
            right_alone += usize::from(alone);
            right_of_found += usize::from(pasted.as_ref() == Some(label));
        }
    }
    let share = |what: &str, hits: usize, of: usize| {
        let [low, high] = wilson(hits, of).map(|bound| bound * 100.0);
        println!("{what}: {:.1} % ({low:.1}-{high:.1} %, n = {of})", 100.0 * hits as f64 / of.max(1) as f64);
    };
    share("accuracy on the original pictures", right, n);
    share("detected", found, n);
    share("accuracy on the original pictures of the detected ones", right_alone, found);
    share("accuracy on the crops of the detected ones", right_of_found, found);
    Ok(())
}

/// The picture, scaled to 80 to 240 pixels, at a random position on a noisy background.
fn pasted(face: &GrayImage, index: usize) -> DynamicImage {
    let mut stream = Stream::new(key(&[u64::from_le_bytes(*b"pasted\0\0"), index as u64]));
    let side = 80 + stream.below(161) as u32;
    let face = imageops::resize(face, side, side, imageops::FilterType::CatmullRom);
    let mut paper = GrayImage::from_fn(WIDTH, HEIGHT, |_, _| Luma([96 + stream.below(64) as u8]));
    let (x, y) = (stream.below((WIDTH - side) as usize), stream.below((HEIGHT - side) as usize));
    imageops::overlay(&mut paper, &face, x as i64, y as i64);
    DynamicImage::ImageLuma8(paper)
}
