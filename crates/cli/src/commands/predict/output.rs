//! The form in which predictions are printed: a table, JSON lines or CSV.

use crate::args::Format;
use crate::commands::{print, table};
use crate::progress::Progress;
use moue::prediction::{Face, Prediction};

/// The form in which predictions are printed.
pub struct PredictionWriter {
    pub format: Format,
    /// Whether rows say frame, time and track.
    pub videos: bool,
    /// Whether there is one picture only.
    pub alone: bool,
}

impl PredictionWriter {
    pub fn begin(&self, classes: &[String]) -> anyhow::Result<()> {
        if self.format == Format::Csv {
            print(&csv_line(csv_header(classes, self.videos))?)?;
        }
        Ok(())
    }

    pub fn tell(&self, prediction: &Prediction, progress: &Progress) -> anyhow::Result<()> {
        if let Some(error) = prediction.error.as_ref().filter(|_| self.format != Format::Json) {
            progress.line_always(&format!("moue: {}: {error}", prediction.input));
        }
        progress.suspend(|| match self.format {
            Format::Json => print(&format!("{}\n", serde_json::to_string(prediction)?)),
            Format::Csv => prediction.faces.iter().try_for_each(|face| {
                let frame = if self.videos { vec![String::new(); 3] } else { Vec::new() };
                print(&csv_line(csv_row(&prediction.input, frame, face))?)
            }),
            Format::Table => print(&table_text(prediction, self.alone)),
        })
    }
}

/// One picture: its answer and a bar for each class. Several: a line each.
fn table_text(prediction: &Prediction, alone: bool) -> String {
    let mut text = String::new();
    if prediction.faces.is_empty() && prediction.error.is_none() {
        text += &format!("{}  no face\n", prediction.input);
    }
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

fn csv_header(classes: &[String], videos: bool) -> Vec<String> {
    let frame: &[&str] = if videos { &["frame", "time_s", "track"] } else { &[] };
    let fixed = ["x", "y", "width", "height", "label", "confidence", "uncertain", "score"];
    let head = ["input"].iter().chain(frame).chain(&fixed).map(ToString::to_string);
    head.chain(classes.iter().cloned()).chain(["error".to_owned()]).collect()
}

/// A face as a row; `frame` is what stands between input and place.
pub fn csv_row(input: &str, frame: Vec<String>, face: &Face) -> Vec<String> {
    let place = face.place;
    let mut row = vec![input.to_owned()];
    row.extend(frame);
    row.extend([place.x, place.y, place.width, place.height].map(|number| number.to_string()));
    row.extend([face.label.clone(), face.confidence.to_string(), face.uncertain.to_string()]);
    row.push(face.score.map_or(String::new(), |score| score.to_string()));
    row.extend(face.probabilities.values().map(ToString::to_string));
    row.push(String::new());
    row
}

pub fn csv_line(row: Vec<String>) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(row)?;
    Ok(String::from_utf8(writer.into_inner()?)?)
}
