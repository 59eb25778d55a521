//! Predicts the expressions of many cropped faces in one array.
//!
//! `cargo run --release -p moue --example batch face1.png face2.png …`

use moue::Classifier;
use moue::image::{decode_image, to_pixels};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let classifier = Classifier::open("default")?;
    let [height, width, channels] = classifier.input();
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let mut pixels = Vec::new();
    for path in &paths {
        let face = decode_image(&std::fs::read(path)?)?;
        pixels.extend(to_pixels(&face, [height, width], channels));
    }
    let probabilities = classifier.face_probabilities(&pixels)?;
    for (path, row) in paths.iter().zip(probabilities.chunks_exact(classifier.classes().len())) {
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
        println!("{}: {} {:.0} %", path.display(), classifier.classes()[best], row[best] * 100.0);
    }
    Ok(())
}
