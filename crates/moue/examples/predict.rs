//! The expressions in a photo, from a program of your own.
//!
//! `cargo run --release --example predict photo.jpg`

use moue::predict::{PredictOptions, Predictor};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let photo = std::env::args_os().nth(1).ok_or("name a photo")?;
    let predictor = Predictor::open("default".as_ref(), PredictOptions::default())?;
    let prediction = predictor.predict(Path::new(&photo));
    if let Some(error) = prediction.error {
        return Err(error.into());
    }
    for face in prediction.faces {
        let sure = if face.uncertain { "perhaps " } else { "" };
        println!("{sure}{} ({:.0} %) at {:?}", face.label, face.confidence * 100.0, face.place);
    }
    Ok(())
}
