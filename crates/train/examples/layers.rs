//! Trains a network that is defined in the program.
//!
//! `cargo run --release -p moue-train --example layers`

use moue::model::Architecture;
use moue::model::architecture::{LayerSpec, Size, Units};
use moue_engine::{Activation, Padding};
use moue_train::Trainer;
use moue_train::config::Config;
use moue_train::data::DataSource;
use moue_train::experiment::RunConfig;
use std::error::Error;

fn convolution(filters: usize) -> LayerSpec {
    LayerSpec::Conv2d {
        filters,
        kernel_size: Size::Square(3),
        strides: Size::Square(1),
        padding: Padding::Same,
        use_bias: true,
        activation: Activation::Relu,
        kernel_l2: 0.0,
    }
}

fn pooling() -> LayerSpec {
    LayerSpec::MaxPooling2d { pool_size: Size::Square(2), strides: None, padding: Padding::Valid }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut layers = Vec::new();
    for filters in [16, 32, 64] {
        layers.extend([convolution(filters), pooling()]);
    }
    layers.extend([
        LayerSpec::GlobalAveragePooling2d {},
        LayerSpec::Dropout { rate: 0.2 },
        LayerSpec::Dense { units: Units::per_class(), use_bias: true, activation: Activation::Softmax, kernel_l2: 0.0 },
    ]);
    let mut config = Config::new(Architecture::new("three-convolutions", [48, 48, 1], layers))?;
    config.train.epochs = 3;
    let run = Trainer::new(RunConfig::new(config, DataSource::Synthetic)).run()?;
    println!("{} parameters, accuracy {:.3}", run.model.parameters(), run.metrics.accuracy);
    Ok(())
}
