//! `moue predict`.

use super::{open_model, print, table};
use crate::args::{Common, Format, PredictArgs};
use crate::progress::Progress;
use moue::predict::{Prediction, Predictor, expand};
use std::process::ExitCode;

/// Some inputs could not be read.
const SOME_FAILED: u8 = 3;

pub fn run(args: &PredictArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let mut predictor = Predictor::new(open_model(args.model.as_deref())?);
    let format = if common.json { Format::Json } else { args.format };
    if !args.no_detect && !common.quiet {
        eprintln!("note: the whole picture is taken for the face, as with --no-detect; finding faces is not here yet");
    }
    let mut pictures = Vec::new();
    for input in &args.inputs {
        // Reading it again gives an error its place among the answers.
        let files = expand(input).unwrap_or_else(|_| vec![input.clone()]);
        if files.is_empty() {
            eprintln!("moue: {}: there are no pictures in this folder", input.display());
        }
        pictures.extend(files);
    }
    anyhow::ensure!(!pictures.is_empty(), "there is nothing to predict");
    let progress = Progress::new(common.quiet, pictures.len(), "pictures/s");
    let mut failed = 0;
    if format == Format::Csv {
        print(&csv_line(csv_header(predictor.classes()))?)?;
    }
    for (i, picture) in pictures.iter().enumerate() {
        let prediction = predictor.predict_file(picture);
        failed += usize::from(prediction.error.is_some());
        if let Some(error) = prediction.error.as_ref().filter(|_| format != Format::Json) {
            progress.line_always(&format!("moue: {}: {error}", prediction.input));
        }
        progress.suspend(|| match format {
            Format::Json => print(&format!("{}\n", serde_json::to_string(&prediction)?)),
            Format::Csv => csv_rows(&prediction).try_for_each(|row| print(&csv_line(row)?)),
            Format::Table => print(&table_text(&prediction, pictures.len() == 1)),
        })?;
        progress.set(i + 1, "predicting");
    }
    progress.done();
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        all if all == pictures.len() => ExitCode::FAILURE,
        _ => ExitCode::from(SOME_FAILED),
    })
}

/// One picture: its answer and a bar for each class. Several: a line each.
fn table_text(prediction: &Prediction, alone: bool) -> String {
    let mut text = String::new();
    for face in &prediction.faces {
        let uncertain = if face.uncertain { " (uncertain)" } else { "" };
        text += &format!("{}  {} {:.1} %{uncertain}\n", prediction.input, face.label, face.confidence * 100.0);
        if alone {
            let rows: Vec<Vec<String>> = face
                .probabilities
                .iter()
                .map(|(label, p)| {
                    vec![format!("  {label}"), format!("{:.1} %", p * 100.0), "█".repeat((p * 40.0).round() as usize)]
                })
                .collect();
            text += &left_bars(&rows);
        }
    }
    text
}

/// Aligns labels and numbers, and leaves the bars flush left.
fn left_bars(rows: &[Vec<String>]) -> String {
    let numbers: Vec<Vec<String>> = rows.iter().map(|row| row[..2].to_vec()).collect();
    table(&numbers)
        .lines()
        .zip(rows)
        .map(|(line, row)| format!("{line}  {}", row[2]).trim_end().to_owned() + "\n")
        .collect()
}

fn csv_header(classes: &[String]) -> Vec<String> {
    let fixed = ["input", "x", "y", "width", "height", "label", "confidence", "uncertain", "score"];
    fixed.into_iter().map(str::to_owned).chain(classes.iter().cloned()).chain(["error".to_owned()]).collect()
}

fn csv_rows(prediction: &Prediction) -> impl Iterator<Item = Vec<String>> {
    prediction.faces.iter().map(|face| {
        let place = face.place;
        let mut row = vec![prediction.input.clone()];
        row.extend([place.x, place.y, place.width, place.height].map(|number| number.to_string()));
        row.extend([face.label.clone(), face.confidence.to_string(), face.uncertain.to_string()]);
        row.push(face.score.map_or(String::new(), |score| score.to_string()));
        row.extend(face.probabilities.values().map(ToString::to_string));
        row.push(String::new());
        row
    })
}

fn csv_line(row: Vec<String>) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(row)?;
    Ok(String::from_utf8(writer.into_inner()?)?)
}
