//! `moue arch`.

use super::{print, print_json};
use crate::args::{ArchCommand, Common};
use crate::output::table::{table, table_with_text};
use moue::model::{Architecture, LayerSummary, build, summary};
use moue_train::config::{Config, PRESETS};
use serde::Serialize;
use std::process::ExitCode;

/// Number of classes of the networks shown.
const CLASSES: usize = 7;

/// A preset, as `moue arch list --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListedPreset {
    /// Name on the command line.
    name: &'static str,
    /// Description: the first sentence of the preset's file.
    about: String,
    /// Number of parameters, for 7 classes.
    parameters: usize,
    /// Multiply-adds for one image.
    macs: usize,
}

/// A network, as `moue arch show --json` prints it, for 7 classes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShownNetwork<'a> {
    /// Name of the architecture.
    name: &'a str,
    /// `[height, width, channels]` of the images.
    input: [usize; 3],
    /// The layers in the order of computation; those of a block follow it.
    layers: &'a [LayerSummary],
    /// Number of parameters of all layers.
    parameters: usize,
    /// Multiply-adds of all layers for one image.
    macs: usize,
}

pub fn run(command: &ArchCommand, common: &Common) -> anyhow::Result<ExitCode> {
    match command {
        ArchCommand::List => list(common)?,
        ArchCommand::Show { arch, toml } => {
            let config = Config::open(arch.as_deref().unwrap_or("small"))?;
            if *toml && !common.json {
                print(&config.to_toml()?)?;
            } else {
                show(&config, common)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn totals(rows: &[LayerSummary]) -> (usize, usize) {
    (rows.iter().map(|row| row.parameters).sum(), rows.iter().map(|row| row.macs).sum())
}

fn list(common: &Common) -> anyhow::Result<()> {
    let mut documents = Vec::new();
    let mut rows = vec![["preset", "parameters", "MACs", "description"].map(str::to_owned).to_vec()];
    for preset in PRESETS {
        let config = Config::parse(preset.name, preset.text)?;
        let (parameters, macs) = totals(&summary(&build(&config.model, CLASSES, 0)?));
        rows.push(vec![preset.name.to_owned(), grouped(parameters), grouped(macs), preset.about()]);
        documents.push(ListedPreset { name: preset.name, about: preset.about(), parameters, macs });
    }
    if common.json {
        return print_json(&documents);
    }
    print(&table_with_text(&rows))
}

fn show(config: &Config, common: &Common) -> anyhow::Result<()> {
    let rows = summary(&build(&config.model, CLASSES, 0)?);
    let (parameters, macs) = totals(&rows);
    if common.json {
        let Architecture { name, input, .. } = &config.model;
        return print_json(&ShownNetwork { name, input: *input, layers: &rows, parameters, macs });
    }
    let mut lines = vec![["layer", "output shape", "parameters", "MACs"].map(str::to_owned).to_vec()];
    for row in &rows {
        let shape = row.output_shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        lines.push(vec![
            format!("{}{}", "  ".repeat(row.depth), row.name),
            shape,
            grouped(row.parameters),
            grouped(row.macs),
        ]);
    }
    let [height, width, channels] = config.model.input;
    print(&format!(
        "{}: input {height}x{width}x{channels}, {CLASSES} classes\n\n{}\n{} parameters, {} multiply-adds (MACs) per image\n",
        config.model.name,
        table(&lines),
        grouped(parameters),
        grouped(macs)
    ))
}

/// Formats `4232199` as `4,232,199`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(group.iter().map(|&digit| char::from(digit)));
    }
    text
}
