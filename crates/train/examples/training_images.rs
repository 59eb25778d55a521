//! Merges the fingerprints of training images from run folders into the file for the bundled models:
//! `cargo run --release -p moue-train --example training_images -- crates/train/models/training-images.bin
//! RUN/training-images.bin...`. An existing file keeps its fingerprints.

use moue::fs::write_atomically;
use moue_train::data::TrainingImages;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, runs @ ..] = args.as_slice() else { return Err("pass the file to write and those of the runs".into()) };
    let own = Path::new(out).exists().then_some(out);
    let mut merged: Option<TrainingImages> = None;
    for path in own.into_iter().chain(runs) {
        let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let images = TrainingImages::from_bytes(&bytes).ok_or_else(|| format!("{path} has no fingerprints"))?;
        merged = Some(match merged {
            Some(merged) => merged.with(images),
            None => images,
        });
    }
    let merged = merged.ok_or("pass the file of a run")?;
    write_atomically(out, &merged.to_bytes())?;
    println!("{} images", merged.len());
    Ok(())
}
