//! Fits the calibration of a model file anew, on the validation split of a data set, and counts its
//! correct predictions; the weights stay as they are in the file, byte for byte:
//! `cargo run --release -p moue-train --example recalibrate -- MODEL.safetensors DATA [vector]`.

use moue::Classifier;
use moue::fs::write_atomically;
use moue::model::{Model, ValidationCount};
use moue_train::config::{CalibrationKind, DataOptions};
use moue_train::data::{DataSource, ImageSpec, Split};
use moue_train::evaluate::{SplitEvaluation, calibrate, predict_split};
use safetensors::SafeTensors;
use serde_json::Value;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, data, rest @ ..] = args.as_slice() else { return Err("pass a model file and a data set".into()) };
    let kind = match rest.first().map(String::as_str) {
        None => CalibrationKind::Temperature,
        Some("vector") => CalibrationKind::Vector,
        Some(other) => return Err(format!("`{other}` is not a calibration").into()),
    };
    let classifier = Classifier::open(path)?;
    let provenance = classifier.model().provenance();
    let options = DataOptions::as_trained(provenance, true);
    let spec = ImageSpec::of_input(classifier.input());
    let dataset = DataSource::Given(data.into()).open(spec, &options, provenance.seed, &|_| {})?;
    let predictions = predict_split(&classifier, &dataset, Split::Validation, moue::Tta::None, &mut |_| {})?;
    let mut model = classifier.into_model();
    let show = |when: &str, model: &Model| {
        let found = SplitEvaluation::new(model, predictions.clone(), true);
        println!("{when}: {:?}, uncertain below {}", model.calibration(), model.uncertain_below());
        let [low, high] = found.metrics.accuracy_ci95;
        println!("  accuracy {:.4} ({low:.4} to {high:.4}), n = {}", found.metrics.accuracy, found.metrics.n);
        println!("  cross-fitted NLL {:.4}, ECE {:.4}", found.metrics.nll, found.metrics.ece);
        if let Some(vector) = found.vector {
            println!("  with factors and biases of classes: {vector:?}");
        }
    };
    show("before", &model);
    calibrate(&mut model, &predictions, kind, 0.8);

    let bytes = std::fs::read(path)?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes)?;
    let mut texts = metadata.metadata().clone().unwrap_or_default();
    let mut document: Value = serde_json::from_str(texts.get("moue").ok_or("it is not a model file")?)?;
    document["calibration"] = serde_json::to_value(model.calibration())?;
    document["uncertain_below"] = serde_json::to_value(model.uncertain_below())?;
    let metrics = SplitEvaluation::new(&model, predictions.clone(), true).metrics;
    let correct = (metrics.accuracy * metrics.n as f64).round() as usize;
    document["provenance"]["validation"] = serde_json::to_value(ValidationCount { correct, images: metrics.n })?;
    texts.insert("moue".to_owned(), document.to_string());
    let tensors = SafeTensors::deserialize(&bytes)?.tensors();
    write_atomically(std::path::Path::new(path), &safetensors::serialize(tensors, Some(texts))?)?;
    let again = Classifier::open(path)?;
    let predictions = predict_split(&again, &dataset, Split::Validation, moue::Tta::None, &mut |_| {})?;
    let found = SplitEvaluation::new(again.model(), predictions, true);
    println!("after: {:?}, uncertain below {}", again.model().calibration(), again.uncertain_below());
    println!("  accuracy {:.4}, cross-fitted ECE {:.4}", found.metrics.accuracy, found.metrics.ece);
    Ok(())
}
