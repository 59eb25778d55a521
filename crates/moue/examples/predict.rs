//! Predicts the expressions in a photo.
//!
//! `cargo run --release -p moue --example predict photo.jpg`

use moue::Predictor;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let photo = std::env::args_os().nth(1).ok_or("usage: predict PHOTO")?;
    let predictor = Predictor::open("default")?;
    for face in predictor.predict(Path::new(&photo))?.faces {
        let uncertain = if face.uncertain { " (uncertain)" } else { "" };
        println!("{} {:.0} %{uncertain} at {:?}", face.label, face.confidence * 100.0, face.place);
    }
    Ok(())
}
