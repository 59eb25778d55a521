//! `moue predict`.

use super::{INTERRUPTED, film, print, stop_on_interrupt, table};
use crate::UsageError;
use crate::args::{Common, ExplainMethod, Format, PredictArgs};
use crate::progress::Progress;
use anyhow::Context;
use moue::model::Model;
use moue::predict::explain::{Explainer, Method};
use moue::predict::{DetectOptions, Detector, Face, Input, Looked, PredictOptions, Prediction, Predictor, inputs};
use moue::report;
use moue::video::Source;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Some inputs could not be read.
const SOME_FAILED: u8 = 3;

pub fn run(args: &PredictArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let model = Model::open(&args.model)?;
    let format = if common.json { Format::Json } else { args.format };
    let detect_options =
        DetectOptions { min_face: args.min_face.unwrap_or(0), min_score: args.min_score.unwrap_or(0.0) };
    let options = PredictOptions { detect: !args.no_detect, detect_options };
    let predictor = Predictor::new(&model, options).with_detector(detector(args.detector.as_deref())?);
    let (pictures, films, nothing) = expand(args)?;
    if args.timeline.is_some() && films.len() != 1 {
        return Err(UsageError(format!("--timeline takes one film, not {}", films.len())).into());
    }
    let mut drawn = Drawn::new(args, model)?;
    let stop = stop_on_interrupt()?;
    let out = Out { format, films: !films.is_empty(), alone: pictures.len() == 1 };
    out.begin(predictor.classes())?;
    let mut failed = nothing + photos(&predictor, &pictures, args, common, &mut drawn, &out, &stop)?;
    for film in &films {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Err(error) = film::watch(&predictor, film, args, common, &out, &stop) {
            failed += 1;
            let error = format!("{error:#}");
            // The answer names the film itself.
            let reason = error.strip_prefix(&format!("{}: ", film.input)).unwrap_or(&error).to_owned();
            out.tell(&Prediction::failed(film.input.clone(), reason), &Progress::new(true, 0, ""))?;
        }
    }
    Ok(match failed {
        _ if stop.load(Ordering::Relaxed) => ExitCode::from(INTERRUPTED),
        0 => ExitCode::SUCCESS,
        all if all == nothing + pictures.len() + films.len() => ExitCode::FAILURE,
        _ => ExitCode::from(SOME_FAILED),
    })
}

#[cfg(feature = "yunet")]
fn detector(path: Option<&Path>) -> anyhow::Result<Detector> {
    let yunet = path.map(moue::predict::YuNet::load).transpose()?;
    Ok(yunet.map_or(Detector::SeetaFace, |yunet| Detector::YuNet(Box::new(yunet))))
}

#[cfg(not(feature = "yunet"))]
fn detector(path: Option<&Path>) -> anyhow::Result<Detector> {
    match path {
        None => Ok(Detector::SeetaFace),
        Some(_) => Err(UsageError("this build has no YuNet: build it with `--features yunet`".into()).into()),
    }
}

/// Answers for the pictures; how many of them could not be read.
fn photos(
    predictor: &Predictor,
    pictures: &[Input],
    args: &PredictArgs,
    common: &Common,
    drawn: &mut Drawn,
    out: &Out,
    stop: &AtomicBool,
) -> anyhow::Result<usize> {
    let progress = Progress::new(common.quiet, pictures.len(), "pictures/s");
    let (mut done, mut failed, mut trouble) = (0, 0, Ok(()));
    let names = names(pictures, args.annotate.is_some() || args.explain.is_some());
    let annotate = args.annotate.as_deref();
    predictor.predict_all(
        pictures,
        |looked| {
            let drawn = annotate.map_or(Ok(()), |folder| annotated(&looked, folder, &names));
            // A photo can be large; only the faces are needed from here on.
            (Looked { photo: None, ..looked }, drawn)
        },
        |(looked, annotation)| {
            done += 1;
            failed += usize::from(looked.prediction.error.is_some());
            trouble = annotation
                .and_then(|()| drawn.explain(&looked, &names))
                .and_then(|()| out.tell(&looked.prediction, &progress));
            progress.set(done, "predicting");
            trouble.is_ok() && !stop.load(Ordering::Relaxed)
        },
    );
    progress.done();
    trouble.map(|()| failed)
}

/// The pictures and the films that the arguments stand for, and how many
/// arguments stand for nothing, which is told.
fn expand(args: &PredictArgs) -> anyhow::Result<(Vec<Input>, Vec<Source>, usize)> {
    let (mut pictures, mut films, mut nothing) = (Vec::new(), Vec::new(), 0);
    films.extend(args.webcam.as_ref().map(|device| Source::webcam(device.as_deref())));
    for argument in &args.inputs {
        if args.device_format.is_some() || film::is_film(argument) {
            films.push(Source { input: argument.display().to_string(), format: args.device_format.clone() });
            continue;
        }
        match inputs::expand(argument, args.recursive) {
            Ok(found) => pictures.extend(found),
            Err(reason) => {
                eprintln!("moue: {}: {reason}", argument.display());
                nothing += 1;
            }
        }
    }
    anyhow::ensure!(!pictures.is_empty() || !films.is_empty(), "there is nothing to predict");
    Ok((pictures, films, nothing))
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
    let picture = report::annotated(photo.to_rgb8(), &looked.prediction.faces);
    report::save_picture(&folder.join(format!("{name}.jpg")), &picture)
        .with_context(|| format!("cannot write {name}.jpg to {}", folder.display()))
}

/// What is drawn beside the answers.
struct Drawn {
    explainer: Option<(Explainer, PathBuf, Method)>,
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
        let explainer = args.explain.clone().map(|folder| (Explainer::new(model), folder, method));
        Ok(Self { explainer })
    }

    /// Writes each face with what its answer rests on.
    fn explain(&mut self, looked: &Looked, names: &HashMap<String, String>) -> anyhow::Result<()> {
        let Some((explainer, folder, method)) = &mut self.explainer else { return Ok(()) };
        let name = names.get(&looked.prediction.input).map_or("picture", String::as_str);
        for (number, (face, crop)) in looked.prediction.faces.iter().zip(&looked.crops).enumerate() {
            let explanation = explainer.explain(crop, &face.label, *method);
            let picture = report::explained(crop, explainer.input(), &explanation);
            let path = folder.join(format!("{name}-face{}-{}.png", number + 1, face.label));
            report::save_picture(&path, &picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// The form in which answers are told.
pub struct Out {
    pub format: Format,
    /// Whether rows say frame, time and track.
    pub films: bool,
    /// Whether there is one picture only.
    alone: bool,
}

impl Out {
    fn begin(&self, classes: &[String]) -> anyhow::Result<()> {
        if self.format == Format::Csv {
            print(&csv_line(csv_header(classes, self.films))?)?;
        }
        Ok(())
    }

    fn tell(&self, prediction: &Prediction, progress: &Progress) -> anyhow::Result<()> {
        if let Some(error) = prediction.error.as_ref().filter(|_| self.format != Format::Json) {
            progress.line_always(&format!("moue: {}: {error}", prediction.input));
        }
        progress.suspend(|| match self.format {
            Format::Json => print(&format!("{}\n", serde_json::to_string(prediction)?)),
            Format::Csv => prediction.faces.iter().try_for_each(|face| {
                let frame = if self.films { vec![String::new(); 3] } else { Vec::new() };
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

fn csv_header(classes: &[String], films: bool) -> Vec<String> {
    let frame: &[&str] = if films { &["frame", "time_s", "track"] } else { &[] };
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
