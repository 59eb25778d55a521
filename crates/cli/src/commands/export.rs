//! `moue export`.

use super::{print, print_json};
use crate::UsageError;
use crate::args::{Common, ExportArgs, StoredPrecision};
use moue::model::onnx::is_named_so;
use moue::model::{self, Model};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// The exported model, as `moue export --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportedModel<'a> {
    /// The file, as given.
    file: &'a Path,
    /// Precision of the weights: `f32`, `f16` or `i8`.
    precision: &'a str,
    /// Size of the file in bytes.
    bytes: u64,
}

pub fn run(args: &ExportArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let onnx = is_named_so(&args.file);
    if !onnx && args.file.extension().is_none_or(|own| own != "safetensors") {
        return Err(
            UsageError(format!("{}: the file name must end in .safetensors or .onnx", args.file.display())).into()
        );
    }
    if onnx && !matches!(args.precision, StoredPrecision::F32) {
        return Err(UsageError("--precision applies to .safetensors files; ONNX files are always f32".into()).into());
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
    let (precision, name) = match args.precision {
        StoredPrecision::F32 => (model::StoredPrecision::F32, "f32"),
        StoredPrecision::F16 => (model::StoredPrecision::F16, "f16"),
        StoredPrecision::I8 => (model::StoredPrecision::I8, "i8"),
    };
    if onnx {
        model.save_onnx(&args.file)?;
    } else {
        model.save_with(&args.file, precision)?;
    }
    let bytes = std::fs::metadata(&args.file)?.len();
    if common.json {
        print_json(&ExportedModel { file: &args.file, precision: name, bytes })?;
    } else if !common.quiet {
        print(&format!(
            "Wrote {} ({bytes} bytes, {name}) with the model {}\n",
            args.file.display(),
            args.model.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
