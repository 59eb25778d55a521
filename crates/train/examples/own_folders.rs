//! Trains on your own images: one folder for each class, with any names.
//!
//! `cargo run --release -p moue-train --example own_folders my-photos/`

use moue_train::Trainer;
use moue_train::train::Event;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: own_folders FOLDER, with a subfolder for each class")?;
    let run = Trainer::preset("small")?
        .data(folder)
        .set("train.epochs", "10")?
        .observe(|event| {
            if let Event::Epoch { record, epochs, .. } = event {
                println!("epoch {}/{epochs}: validation accuracy {:.3}", record.epoch, record.validation_accuracy);
            }
        })
        .run()?;
    println!(
        "accuracy {:.3} in epoch {}; the model is {}",
        run.metrics.accuracy,
        run.best_epoch,
        run.folder.model().display()
    );
    Ok(())
}
