//! Writes predictions as a table, JSON lines or CSV, and counts the inputs.

use super::inputs::count;
use crate::args::{Format, PredictArgs};
use crate::commands::print;
use crate::output::table::table_with_text;
use crate::progress::Progress;
use anyhow::Context;
use moue::fs::AtomicFile;
use moue::message::on_one_line;
use moue::prediction::{Face, Prediction};
use serde::Serialize;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The format that the options select: `--json`, `--format`, the extension of `--out`, or a table.
pub fn format(args: &PredictArgs, json: bool) -> Format {
    let extension = args.out.as_deref().and_then(Path::extension).map(OsStr::to_ascii_lowercase);
    let by_extension = match extension.as_ref().and_then(|own| own.to_str()) {
        Some("csv") => Format::Csv,
        Some("json" | "jsonl") => Format::Json,
        _ => Format::Table,
    };
    if json { Format::Json } else { args.format.unwrap_or(by_extension) }
}

/// Numbers of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub with_face: usize,
    pub without_face: usize,
    pub unreadable: usize,
}

impl Counts {
    pub fn inputs(&self) -> usize {
        self.with_face + self.without_face + self.unreadable
    }

    /// The closing summary.
    pub fn text(&self, seconds: f64) -> String {
        format!(
            "{} in {seconds:.1} s: {} with a face, {} without, {} unreadable",
            count(self.inputs(), "input"),
            self.with_face,
            self.without_face,
            self.unreadable
        )
    }
}

/// Writes predictions in the selected format, to stdout or to a file.
pub struct PredictionWriter {
    pub format: Format,
    /// Whether rows include frame, time and track.
    videos: bool,
    /// Whether there is only one image.
    pub alone: bool,
    /// Number of classes.
    classes: usize,
    file: Option<AtomicFile>,
    pub counts: Counts,
}

impl PredictionWriter {
    /// Starts the output, in CSV with the header.
    pub fn new(format: Format, file: Option<&Path>, classes: &[String], videos: bool) -> anyhow::Result<Self> {
        let create = |path: &Path| AtomicFile::create(path).with_context(|| format!("cannot write {}", path.display()));
        let file = file.map(create).transpose()?;
        let counts = Counts::default();
        let mut writer = Self { format, videos, alone: false, classes: classes.len(), file, counts };
        if format == Format::Csv {
            writer.put(&csv_line(csv_header(classes, videos))?)?;
        }
        Ok(writer)
    }

    /// Writes a text.
    pub fn put(&mut self, text: &str) -> anyhow::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(text.as_bytes()).context("cannot write the file of --out"),
            None => print(text),
        }
    }

    /// Writes the row of a face, or that of an input without one.
    pub fn put_row(&mut self, input: &str, moment: Moment, face: Option<&Face>, error: &str) -> anyhow::Result<()> {
        let moment = self.videos.then_some(moment);
        self.put(&csv_line(CsvRow::new(input, moment, face, self.classes, error))?)
    }

    /// Writes the prediction for an image, or for an input that cannot be read.
    pub fn write(&mut self, prediction: &Prediction, progress: &Progress) -> anyhow::Result<()> {
        let Prediction { input, faces, error, .. } = prediction;
        match error {
            Some(_) => self.counts.unreadable += 1,
            None if faces.is_empty() => self.counts.without_face += 1,
            None => self.counts.with_face += 1,
        }
        let reasons = error.iter().chain(&prediction.warning).filter(|_| self.format != Format::Json);
        reasons.for_each(|reason| progress.line_always(&format!("moue: {}: {reason}", on_one_line(input))));
        progress.suspend(|| match self.format {
            Format::Json => self.put(&format!("{}\n", serde_json::to_string(prediction)?)),
            Format::Csv if faces.is_empty() => {
                self.put_row(input, Moment::default(), None, error.as_deref().unwrap_or_default())
            }
            Format::Csv => faces.iter().try_for_each(|face| self.put_row(input, Moment::default(), Some(face), "")),
            Format::Table => self.put(&table_text(prediction, self.alone)),
        })
    }

    /// Counts a video that could be read; without a face in any frame, writes that.
    pub fn end_video(&mut self, input: &str, has_face: bool) -> anyhow::Result<()> {
        if has_face {
            self.counts.with_face += 1;
            return Ok(());
        }
        self.counts.without_face += 1;
        match self.format {
            Format::Json => Ok(()),
            Format::Csv => self.put_row(input, Moment::default(), None, ""),
            Format::Table => self.put(&format!("{}  no face\n", on_one_line(input))),
        }
    }

    /// Completes the file, and returns its path; that of incomplete predictions ends in `.partial`.
    pub fn finish(&mut self, complete: bool) -> anyhow::Result<Option<PathBuf>> {
        let finish = if complete { AtomicFile::finish } else { AtomicFile::finish_partial };
        self.file.take().map(finish).transpose().context("cannot write the file of --out")
    }
}

/// One image: its prediction and a bar per class. Several images: one line each.
fn table_text(prediction: &Prediction, alone: bool) -> String {
    let (mut text, input) = (String::new(), on_one_line(&prediction.input));
    if prediction.error.is_some() {
        text += &format!("{input}  unreadable\n");
    } else if prediction.faces.is_empty() {
        let hint = if alone { "; --no-detect predicts the whole picture" } else { "" };
        text += &format!("{input}  no face{hint}\n");
    }
    for face in &prediction.faces {
        let uncertain = if face.uncertain { " (uncertain)" } else { "" };
        text += &format!("{input}  {} {:.1} %{uncertain}\n", face.label, face.confidence * 100.0);
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

/// A face, or an input without one, as a row of CSV. Numbers are strings because `csv` would print 1 as 1.0 and
/// small ones with an exponent.
#[derive(Serialize)]
struct CsvRow<'a> {
    input: &'a str,
    /// Omitted if there are no videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    moment: Option<Moment>,
    place: [Option<u32>; 4],
    label: Option<&'a str>,
    confidence: Option<String>,
    uncertain: Option<bool>,
    score: Option<String>,
    probabilities: Vec<String>,
    error: &'a str,
}

/// Frame, time and track of a face in a video; empty for a photo.
#[derive(Default, Serialize)]
pub struct Moment {
    pub frame: Option<usize>,
    pub time_s: Option<String>,
    pub track: Option<u32>,
}

impl<'a> CsvRow<'a> {
    fn new(input: &'a str, moment: Option<Moment>, face: Option<&'a Face>, classes: usize, error: &'a str) -> Self {
        let place = face.map(|face| face.place);
        let probabilities = face.map(|face| face.probabilities.values().map(ToString::to_string).collect());
        Self {
            input,
            moment,
            place: place.map_or([None; 4], |place| [place.x, place.y, place.width, place.height].map(Some)),
            label: face.map(|face| &*face.label),
            confidence: face.map(|face| face.confidence.to_string()),
            uncertain: face.map(|face| face.uncertain),
            score: face.and_then(|face| face.score).map(|score| score.to_string()),
            probabilities: probabilities.unwrap_or_else(|| vec![String::new(); classes]),
            error,
        }
    }
}

/// Formats one row. The header is written separately because its classes depend on the model.
fn csv_line(row: impl Serialize) -> anyhow::Result<String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.serialize(row)?;
    Ok(String::from_utf8(writer.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use moue::prediction::FaceBox;

    #[test]
    fn every_input_has_a_row_in_each_format() {
        let face = |label: &str| Face {
            place: FaceBox { x: 1, y: 2, width: 30, height: 40 },
            label: label.to_owned(),
            confidence: 0.75,
            uncertain: false,
            probabilities: [("happy".to_owned(), 0.75), ("sad".to_owned(), 0.25)].into(),
            score: Some(0.5),
            landmarks: None,
            roll: None,
            explanation: None,
        };
        let prediction = |input: &str, faces: Vec<Face>| Prediction {
            width: 10,
            height: 10,
            faces,
            error: None,
            ..Prediction::failed(input.to_owned(), String::new())
        };
        let inputs = [
            prediction("two.png", vec![face("happy"), face("sad")]),
            prediction("none.png", Vec::new()),
            Prediction::failed("bad.png".to_owned(), "it is empty".to_owned()),
        ];
        let folder = tempfile::tempdir().unwrap();
        let written = |format| {
            let path = folder.path().join("out");
            let classes = ["happy".to_owned(), "sad".to_owned()];
            let mut out = PredictionWriter::new(format, Some(&path), &classes, false).unwrap();
            inputs.iter().for_each(|input| out.write(input, &Progress::new(true, 0, "")).unwrap());
            out.end_video("clip.mp4", false).unwrap();
            assert_eq!(out.counts, Counts { with_face: 1, without_face: 2, unreadable: 1 });
            out.finish(true).unwrap();
            std::fs::read_to_string(path).unwrap()
        };
        assert_eq!(
            written(Format::Csv),
            "input,x,y,width,height,label,confidence,uncertain,score,happy,sad,error\n\
             two.png,1,2,30,40,happy,0.75,false,0.5,0.75,0.25,\n\
             two.png,1,2,30,40,sad,0.75,false,0.5,0.75,0.25,\n\
             none.png,,,,,,,,,,,\n\
             bad.png,,,,,,,,,,,it is empty\n\
             clip.mp4,,,,,,,,,,,\n"
        );
        assert_eq!(
            written(Format::Table),
            "two.png  happy 75.0 %\ntwo.png  sad 75.0 %\nnone.png  no face\nbad.png  unreadable\nclip.mp4  no face\n"
        );
        assert_eq!(written(Format::Json).lines().count(), 3);
    }

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
        let line = |moment| csv_line(CsvRow::new("a, b.png", moment, Some(&face), 2, "")).unwrap();
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
        let line = csv_line(CsvRow::new("x", None, Some(&scored), 2, "")).unwrap();
        assert_eq!(line, "x,1,2,30,40,happy,1,false,2.5,1,0.000000001,\n");
        let line = |moment| csv_line(CsvRow::new("x", moment, None, 2, "it is empty")).unwrap();
        assert_eq!(line(None), "x,,,,,,,,,,,it is empty\n");
        assert_eq!(line(Some(Moment::default())), "x,,,,,,,,,,,,,,it is empty\n");
    }
}
