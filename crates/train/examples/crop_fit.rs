//! Measures the position of a FER2013 picture relative to the face detector's box.
//!
//! Training pictures are enlarged and placed on a gray background, and faces are detected; the
//! program prints the median position of the picture in sides of the box.
//!
//! `cargo run --release --example crop_fit fer2013.csv 2000`

use image::{DynamicImage, GrayImage, Luma, imageops};
use moue::detect::{DetectOptions, Detector};
use moue_train::config::DataOptions;
use moue_train::data::{Cache, ImageSpec, Split};

/// Side of an enlarged picture, and of the background.
const SIDE: u32 = 192;
const PAPER: u32 = 384;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: crop_fit DATA [COUNT]")?;
    let count: usize = arguments.next().map_or(Ok(2000), |count| count.parse())?;
    let form = ImageSpec { size: Some([48, 48]), channels: 1 };
    let dataset = moue_train::data::open(path, form, &DataOptions::default(), 0, &Cache::standard(), &|_| ())?;
    let (mut sides, mut rights, mut downs) = (Vec::new(), Vec::new(), Vec::new());
    let mut tried = 0;
    for index in dataset.indices(Split::Train).into_iter().take(count) {
        tried += 1;
        let Some(face) = GrayImage::from_raw(48, 48, dataset.image(index).to_vec()) else { continue };
        let face = imageops::resize(&face, SIDE, SIDE, imageops::FilterType::CatmullRom);
        let mut paper = GrayImage::from_pixel(PAPER, PAPER, Luma([128]));
        imageops::overlay(&mut paper, &face, i64::from((PAPER - SIDE) / 2), i64::from((PAPER - SIDE) / 2));
        let options = DetectOptions { min_face: 80, ..DetectOptions::default() };
        let found = Detector::bundled().find(&DynamicImage::ImageLuma8(paper), &options);
        let Some(best) = found.iter().max_by(|a, b| a.score.total_cmp(&b.score)) else { continue };
        let middle = PAPER as f32 / 2.0;
        let side = best.side();
        sides.push(SIDE as f32 / side);
        rights.push((middle - (best.x + best.width / 2.0)) / side);
        downs.push((middle - (best.y + best.height / 2.0)) / side);
    }
    println!("detected in {} of {tried}", sides.len());
    for (name, values) in [("side", &mut sides), ("right", &mut rights), ("down", &mut downs)] {
        values.sort_by(f32::total_cmp);
        let at = |share: f64| values.get((values.len() as f64 * share) as usize).copied().unwrap_or(f32::NAN);
        println!("{name}: median {:.3}, middle half {:.3} to {:.3}", at(0.5), at(0.25), at(0.75));
    }
    Ok(())
}
