//! `moue predict`.

use super::{INTERRUPTED, open_model, print, stop_on_interrupt, table};
use crate::args::{Common, ExplainMethod, Format, PredictArgs};
use crate::progress::Progress;
use anyhow::Context;
use moue::model::Model;
use moue::predict::explain::{Explainer, Method};
use moue::predict::{DetectOptions, Input, Looked, PredictOptions, Prediction, Predictor, inputs};
use moue::report;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// Some inputs could not be read.
const SOME_FAILED: u8 = 3;

pub fn run(args: &PredictArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let model = open_model(args.model.as_deref())?;
    let format = if common.json { Format::Json } else { args.format };
    let defaults = DetectOptions::default();
    let detector = DetectOptions {
        min_face: args.min_face.unwrap_or(defaults.min_face),
        min_score: args.min_score.unwrap_or(defaults.min_score),
    };
    let predictor = Predictor::new(&model, PredictOptions { detect: !args.no_detect, detector });
    let pictures = expand(&args.inputs, args.recursive)?;
    let mut drawn = Drawn::new(args, model)?;
    let progress = Progress::new(common.quiet, pictures.len(), "pictures/s");
    let stop = stop_on_interrupt()?;
    if format == Format::Csv {
        print(&csv_line(csv_header(predictor.classes()))?)?;
    }
    let (mut done, mut failed, mut trouble) = (0, 0, Ok(()));
    let names = names(&pictures, args.annotate.is_some() || args.explain.is_some());
    let annotate = args.annotate.as_deref();
    predictor.predict_all(
        &pictures,
        |looked| {
            let drawn = annotate.map_or(Ok(()), |folder| annotated(&looked, folder, &names));
            // A photo can be large; only the faces are needed from here on.
            (Looked { photo: None, ..looked }, drawn)
        },
        |(looked, annotation)| {
            done += 1;
            failed += usize::from(looked.prediction.error.is_some());
            let alone = pictures.len() == 1;
            trouble = annotation
                .and_then(|()| drawn.explain(&looked, &names))
                .and_then(|()| tell(&looked.prediction, format, alone, &progress));
            progress.set(done, "predicting");
            trouble.is_ok() && !stop.load(Ordering::Relaxed)
        },
    );
    progress.done();
    trouble?;
    Ok(match failed {
        _ if done < pictures.len() => ExitCode::from(INTERRUPTED),
        0 => ExitCode::SUCCESS,
        all if all == pictures.len() => ExitCode::FAILURE,
        _ => ExitCode::from(SOME_FAILED),
    })
}

/// The pictures that the arguments stand for; an argument that stands for none
/// is told and passed over, while there are others.
fn expand(arguments: &[PathBuf], recursive: bool) -> anyhow::Result<Vec<Input>> {
    let mut pictures = Vec::new();
    for argument in arguments {
        match inputs::expand(argument, recursive) {
            Ok(found) => pictures.extend(found),
            Err(reason) => eprintln!("moue: {}: {reason}", argument.display()),
        }
    }
    anyhow::ensure!(!pictures.is_empty(), "there is nothing to predict");
    Ok(pictures)
}

/// For each input, what its drawn files are called: the picture's own name, with
/// a number where several have the same.
fn names(pictures: &[Input], wanted: bool) -> HashMap<String, String> {
    let mut names = HashMap::new();
    let mut taken: HashMap<String, usize> = HashMap::new();
    for picture in pictures.iter().filter(|_| wanted) {
        let input = picture.name();
        let stem = match Path::new(&input).file_stem() {
            Some(stem) if stem != "-" => stem.to_string_lossy().into_owned(),
            _ => "picture".to_owned(),
        };
        let count = taken.entry(stem.to_lowercase()).or_default();
        *count += 1;
        names.insert(input, if *count == 1 { stem } else { format!("{stem}-{count}") });
    }
    names
}

/// Writes the picture with its faces framed.
fn annotated(looked: &Looked, folder: &Path, names: &HashMap<String, String>) -> anyhow::Result<()> {
    let Some(photo) = &looked.photo else { return Ok(()) };
    let name = names.get(&looked.prediction.input).map_or("picture", String::as_str);
    let picture = report::annotated(photo, &looked.prediction.faces);
    report::save_picture(&folder.join(format!("{name}.jpg")), &picture)
        .with_context(|| format!("cannot write {name}.jpg to {}", folder.display()))
}

/// What is drawn beside the answers.
struct Drawn {
    explainer: Option<(Explainer, PathBuf, Method)>,
    classes: Vec<String>,
    input: [usize; 3],
}

impl Drawn {
    fn new(args: &PredictArgs, model: Model) -> anyhow::Result<Self> {
        for folder in [&args.annotate, &args.explain].into_iter().flatten() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let method = match args.explain_method {
            ExplainMethod::GradCam => Method::GradCam,
            ExplainMethod::Occlusion => Method::Occlusion,
        };
        let (classes, input) = (model.classes.clone(), model.architecture.input);
        let explainer = args.explain.clone().map(|folder| (Explainer::new(model), folder, method));
        Ok(Self { explainer, classes, input })
    }

    /// Writes each face with what its answer rests on.
    fn explain(&mut self, looked: &Looked, names: &HashMap<String, String>) -> anyhow::Result<()> {
        let Some((explainer, folder, method)) = &mut self.explainer else { return Ok(()) };
        let name = names.get(&looked.prediction.input).map_or("picture", String::as_str);
        for (number, (face, crop)) in looked.prediction.faces.iter().zip(&looked.crops).enumerate() {
            let class = self.classes.iter().position(|class| *class == face.label).unwrap_or(0);
            let picture = report::explained(crop, self.input, &explainer.explain(crop, class, *method));
            let path = folder.join(format!("{name}-face{}-{}.png", number + 1, face.label));
            report::save_picture(&path, &picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn tell(prediction: &Prediction, format: Format, alone: bool, progress: &Progress) -> anyhow::Result<()> {
    if let Some(error) = prediction.error.as_ref().filter(|_| format != Format::Json) {
        progress.line_always(&format!("moue: {}: {error}", prediction.input));
    }
    progress.suspend(|| match format {
        Format::Json => print(&format!("{}\n", serde_json::to_string(prediction)?)),
        Format::Csv => csv_rows(prediction).try_for_each(|row| print(&csv_line(row)?)),
        Format::Table => print(&table_text(prediction, alone)),
    })
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
