//! `moue export`.

use super::{print, print_json};
use crate::UsageError;
use crate::args::{Common, ExportArgs, StoredPrecision};
use anyhow::Context;
use moue::model::onnx::is_named_so;
use moue::model::{self, Model};
use moue::{Classifier, Precision};
use moue_train::data::Split;
use moue_train::evaluate::{Verification, calibrate_int8, check_fit, export_data, verify};
use moue_train::report::percent;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// The exported model, as `moue export --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportedModel<'a> {
    /// The file, as given.
    file: &'a Path,
    /// Precision of the weights: `f32`, `f16` or `int8`.
    precision: &'a str,
    /// Size of the file in bytes.
    bytes: u64,
    /// The predictions of the model compared with those of the file; null with `--verify 0`, or without validation images.
    verification: Option<Verification>,
}

pub fn run(args: &ExportArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let onnx = is_named_so(&args.file);
    if !onnx && args.file.extension().is_none_or(|own| own != "safetensors") {
        return Err(
            UsageError(format!("{}: the file name must end in .safetensors or .onnx", args.file.display())).into()
        );
    }
    if onnx && args.precision == StoredPrecision::F16 {
        return Err(
            UsageError("--precision f16 applies to .safetensors files; an ONNX file is f32 or int8".into()).into()
        );
    }
    let mut model = Model::open(&args.model)?;
    if let Some(strength) = args.prior_adjustment
        && !model.set_prior_adjustment(strength)
    {
        anyhow::bail!(
            "{} does not state the number of training images of every class, from which a prior adjustment follows",
            args.model.display()
        );
    }
    let data = args.data.as_ref().map(|data| export_data(&model, data.clone())).transpose()?;
    let (precision, name) = match args.precision {
        StoredPrecision::F32 => (model::StoredPrecision::F32, "f32"),
        StoredPrecision::F16 => (model::StoredPrecision::F16, "f16"),
        StoredPrecision::I8 => (model::StoredPrecision::I8, "int8"),
    };
    let int8 = args.precision == StoredPrecision::I8;
    if let Some(data) = &data {
        check_fit(&model, data).with_context(|| args.model.display().to_string())?;
    }
    if let (true, Some(data)) = (int8 || !onnx, &data) {
        if data.indices(Split::Train).is_empty() {
            anyhow::bail!("the data has no training images, from which the ranges of activations are computed");
        }
        model = calibrate_int8(model, data, None).with_context(|| args.model.display().to_string())?;
    }
    if int8 && onnx && model.int8().is_none() {
        anyhow::bail!(
            "{}: the model has no ranges of activations, which an int8 ONNX file needs; pass the training data with --data",
            args.model.display()
        );
    }
    match (onnx, int8) {
        (true, false) => model.save_onnx(&args.file)?,
        (true, true) => model.save_onnx_int8(&args.file)?,
        (false, _) => model.save_with(&args.file, precision)?,
    }
    let bytes = std::fs::metadata(&args.file)?.len();
    let verification = if args.verify == 0 {
        None
    } else {
        let exported = Model::open(&args.file)?;
        let precision = if int8 && exported.int8().is_some() { Precision::Int8 } else { Precision::F32 };
        let exported = Classifier::with_precision(exported, precision)?;
        verify(&Classifier::new(model), &exported, data.as_ref(), args.verify)
    };
    if common.json {
        print_json(&ExportedModel { file: &args.file, precision: name, bytes, verification })?;
    } else if !common.quiet {
        print(&format!(
            "Wrote {} ({bytes} bytes, {name}) with the model {}\n",
            args.file.display(),
            args.model.display()
        ))?;
        if let Some(verification) = &verification {
            print(&text(verification))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(verification: &Verification) -> String {
    let Verification { images, split, largest_difference, equal_classes, accuracies } = verification;
    let images = match split {
        Some(split) => format!("{images} images of {split}"),
        None => format!("{images} synthetic faces"),
    };
    let accuracies = accuracies
        .map_or_else(String::new, |[model, file]| format!("; accuracy {} % and {} %", percent(model), percent(file)));
    format!(
        "Verified with {images}: the largest difference of a probability is {largest_difference:.4}, {} % of the predicted \
         classes are equal{accuracies}\n",
        percent(*equal_classes)
    )
}
