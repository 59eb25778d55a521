//! Writes the file with the fingerprints of the bundled models' training images:
//! `cargo run --release -p moue-train --example training_images -- PRESET DATA
//! crates/train/models/training-images.bin`. Every run folder contains such a file for its model.

use moue::fs::write_atomically;
use moue_train::config::Config;
use moue_train::data::{DataSource, ImageSpec, TrainingImages};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [preset, data, out] = args.as_slice() else { return Err("pass a preset, a data set and a file".into()) };
    let config = Config::open(preset)?;
    let spec = ImageSpec::of_input(config.model.input);
    let dataset = DataSource::Given(data.into()).open(spec, &config.data, config.train.seed, &|_| {})?;
    let images = TrainingImages::of(&dataset);
    write_atomically(out, &images.to_bytes())?;
    println!("{} images, data {}", images.len(), dataset.hash());
    Ok(())
}
