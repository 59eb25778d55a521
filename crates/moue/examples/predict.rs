//! The expressions in a photo, from a program of your own.
//!
//! `cargo run --release --example predict photo.jpg`

use moue::model::Model;
use moue::predict::{PredictOptions, Predictor};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let photo = std::env::args_os().nth(1).ok_or("name a photo")?;
    let predictor = Predictor::new(&Model::open("default".as_ref())?, PredictOptions::default());
    let answer = predictor.predict_file(photo.as_ref());
    if let Some(error) = answer.error {
        return Err(error.into());
    }
    for face in answer.faces {
        let sure = if face.uncertain { "perhaps " } else { "" };
        println!("{sure}{} ({:.0} %) at {:?}", face.label, face.confidence * 100.0, face.place);
    }
    Ok(())
}
