//! The time of augmentation for an image: `cargo run --release --example augmentation_cost [ARCH]`.
//!
//! One line for the architecture's augmentation, with and without `robust`, and one for each robust change alone.

use moue_engine::Shape;
use moue_engine::random::Stream;
use moue_train::config::{Augmentation, Config, Robust};
use moue_train::data::{ImageSpec, synthetic};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arch = std::env::args().nth(1).unwrap_or_else(|| "small".to_owned());
    let Config { augment, model, .. } = Config::open(&arch)?;
    let faces = synthetic::dataset(700, ImageSpec::of_input(model.input), 0);
    let [height, width, channels] = faces.shape();
    let (shape, mut out) = (Shape::new(height, width, channels), vec![0.0; faces.image_len()]);
    let mut measure = |name: &str, augmentation: &Augmentation| {
        // The fastest of several rounds is the one that nothing else has disturbed.
        let microseconds = (0..10).map(|round| {
            let start = Instant::now();
            for index in 0..faces.len() {
                let mut stream = Stream::new((round * faces.len() + index) as u64);
                augmentation.apply(faces.image(index), shape, &mut stream, [height, width], &mut out);
            }
            start.elapsed().as_secs_f64() * 1e6 / faces.len() as f64
        });
        println!("{name:<16} {:>7.1} microseconds an image", microseconds.fold(f64::INFINITY, f64::min));
    };
    measure("none", &Augmentation::default());
    measure(&arch, &Augmentation { robust: None, ..augment.clone() });
    measure("with robust", &Augmentation { robust: Some(Robust::default()), ..augment });
    let off = Robust::off();
    for (name, robust) in [
        ("blur", Robust { blur: 1.0, ..off.clone() }),
        ("downsampling", Robust { downsampling: 1.0, ..off.clone() }),
        ("gamma", Robust { gamma: 1.0, ..off.clone() }),
        ("contrast", Robust { contrast: 1.0, ..off.clone() }),
        ("darkening", Robust { darkening: 1.0, ..off.clone() }),
        ("noise", Robust { noise: 1.0, ..off.clone() }),
        ("jpeg", Robust { jpeg: 1.0, ..off }),
    ] {
        measure(name, &Augmentation { robust: Some(robust), ..Augmentation::default() });
    }
    Ok(())
}
