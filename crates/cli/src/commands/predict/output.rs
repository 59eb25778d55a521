//! Prints predictions as a table, JSON lines or CSV.

use crate::args::Format;
use crate::commands::print;
use crate::output::table::table_with_text;
use crate::progress::Progress;
use moue::prediction::{Face, FaceBox, Prediction};
use serde::Serialize;

/// Prints predictions in the selected format.
pub struct PredictionWriter {
    pub format: Format,
    /// Whether rows include frame, time and track.
    pub videos: bool,
    /// Whether there is only one image.
    pub alone: bool,
}

impl PredictionWriter {
    pub fn begin(&self, classes: &[String]) -> anyhow::Result<()> {
        if self.format == Format::Csv {
            print(&csv_line(csv_header(classes, self.videos))?)?;
        }
        Ok(())
    }

    pub fn write(&self, prediction: &Prediction, progress: &Progress) -> anyhow::Result<()> {
        if let Some(error) = prediction.error.as_ref().filter(|_| self.format != Format::Json) {
            progress.line_always(&format!("moue: {}: {error}", prediction.input));
        }
        if let Some(warning) = prediction.warning.as_ref().filter(|_| self.format != Format::Json) {
            progress.line_always(&format!("moue: {}: {warning}", prediction.input));
        }
        progress.suspend(|| match self.format {
            Format::Json => print(&format!("{}\n", serde_json::to_string(prediction)?)),
            Format::Csv => prediction.faces.iter().try_for_each(|face| {
                let moment = self.videos.then(Moment::default);
                print(&csv_line(CsvRow::new(&prediction.input, moment, face))?)
            }),
            Format::Table => print(&table_text(prediction, self.alone)),
        })
    }
}

/// One image: its prediction and a bar per class. Several images: one line each.
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
            text += &table_with_text(&rows);
        }
    }
    text
}

/// The columns that photos and frames have in common, between those that identify the input
/// and the classes.
const COLUMNS: [&str; 8] = ["x", "y", "width", "height", "label", "confidence", "uncertain", "score"];

pub fn csv_header(classes: &[String], videos: bool) -> Vec<&str> {
    let frame: &[&str] = if videos { &["frame", "time_s", "track"] } else { &[] };
    let classes = classes.iter().map(String::as_str);
    ["input"].iter().chain(frame).chain(&COLUMNS).copied().chain(classes).chain(["error"]).collect()
}

/// A face as a row of CSV. Numbers are strings because `csv` would print 1 as 1.0 and
/// small ones with an exponent.
#[derive(Serialize)]
pub struct CsvRow<'a> {
    input: &'a str,
    /// Omitted if there are no videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    moment: Option<Moment>,
    place: FaceBox,
    label: &'a str,
    confidence: String,
    uncertain: bool,
    score: Option<String>,
    probabilities: Vec<String>,
    /// Always empty: an input that cannot be read has no face and hence no row.
    error: (),
}

/// Frame, time and track of a face in a video; empty for a photo.
#[derive(Default, Serialize)]
pub struct Moment {
    pub frame: Option<usize>,
    pub time_s: Option<String>,
    pub track: Option<u32>,
}

impl<'a> CsvRow<'a> {
    pub fn new(input: &'a str, moment: Option<Moment>, face: &'a Face) -> Self {
        Self {
            input,
            moment,
            place: face.place,
            label: &face.label,
            confidence: face.confidence.to_string(),
            uncertain: face.uncertain,
            score: face.score.map(|score| score.to_string()),
            probabilities: face.probabilities.values().map(ToString::to_string).collect(),
            error: (),
        }
    }
}

/// Formats one row. The header is written separately because its classes depend on the model.
pub fn csv_line(row: impl Serialize) -> anyhow::Result<String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.serialize(row)?;
    Ok(String::from_utf8(writer.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_rows_are_stable() {
        let face = Face {
            place: FaceBox { x: 1, y: 2, width: 30, height: 40 },
            label: "happy".to_owned(),
            confidence: 1.0,
            uncertain: false,
            probabilities: [("happy".to_owned(), 1.0), ("sad".to_owned(), 1e-9)].into(),
            score: None,
            landmarks: None,
            roll: None,
            explanation: None,
        };
        let classes = ["happy".to_owned(), "sad".to_owned()];
        let line = |moment| csv_line(CsvRow::new("a, b.png", moment, &face)).unwrap();
        assert_eq!(
            csv_line(csv_header(&classes, false)).unwrap() + &line(None),
            "input,x,y,width,height,label,confidence,uncertain,score,happy,sad,error\n\
             \"a, b.png\",1,2,30,40,happy,1,false,,1,0.000000001,\n"
        );
        let moment = Moment { frame: Some(5), time_s: Some("0.500".to_owned()), track: Some(1) };
        assert_eq!(
            csv_line(csv_header(&classes, true)).unwrap() + &line(Some(moment)) + &line(Some(Moment::default())),
            "input,frame,time_s,track,x,y,width,height,label,confidence,uncertain,score,happy,sad,error\n\
             \"a, b.png\",5,0.500,1,1,2,30,40,happy,1,false,,1,0.000000001,\n\
             \"a, b.png\",,,,1,2,30,40,happy,1,false,,1,0.000000001,\n"
        );
        let scored = Face { score: Some(2.5), ..face.clone() };
        let line = csv_line(CsvRow::new("x", None, &scored)).unwrap();
        assert_eq!(line, "x,1,2,30,40,happy,1,false,2.5,1,0.000000001,\n");
    }
}
