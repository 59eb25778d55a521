//! Predicts photos and writes annotated images and saliency maps.

use super::inputs::{Skipped, listed, output_folders};
use super::output::PredictionWriter;
use crate::args::{Common, ExplainMethod, PredictArgs};
use crate::progress::Progress;
use anyhow::Context;
use moue::explain::{Explainer, Method};
use moue::message::on_one_line;
use moue::predict::{Input, Inspected, Listed, Predictor};
use moue::render;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Predicts the photos that the arguments name, in their order.
pub fn run(
    predictor: &Predictor,
    arguments: &[PathBuf],
    args: &PredictArgs,
    common: &Common,
    out: &mut PredictionWriter,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let progress = Progress::new(common.quiet, 0, "images/s");
    let (recursive, outputs) = (args.recursive, output_folders(args));
    let (counted, written) = (arguments.to_vec(), outputs.clone());
    progress.total_later(move || count(&counted, recursive, &written));
    let (mut skipped, mut stems) = (Skipped::default(), Stems::default());
    let has_stems = args.annotate.is_some() || args.explain.is_some();
    let stopped = || stop.load(Ordering::Relaxed);
    let mut inputs = listed(arguments, recursive, &outputs).take_while(|_| !stopped()).filter_map(
        |(argument, listed)| match listed {
            Listed::Input(input) => {
                let stem = if has_stems { stems.of(&input) } else { String::new() };
                Some(Photo { input, stem })
            }
            Listed::Other(path) => {
                if args.verbose {
                    progress.line(&format!("not predicted: {}", on_one_line(&path.to_string_lossy())));
                }
                skipped.add(argument, path);
                None
            }
        },
    );
    let first: Vec<Photo> = inputs.by_ref().take(2).collect();
    out.alone = first.len() == 1;
    let annotate = args.annotate.as_deref();
    let explain = args.explain.as_deref().map(|folder| Explain::new(predictor, folder, args.explain_method));
    let (mut done, mut trouble) = (0, Ok(()));
    predictor.predict_all(
        first.into_iter().chain(inputs),
        |Photo { stem, .. }, inspected| {
            let annotation_written =
                annotate.map_or(Ok(()), |folder| annotated(&inspected, folder, &stem, args.landmarks));
            // A photo can be large; from here on only the faces are needed.
            (stem, inspected.without_photo(), annotation_written)
        },
        |(stem, inspected, annotation)| {
            trouble = annotation
                .and_then(|()| explain.as_ref().map_or(Ok(()), |explain| explain.write(&inspected, &stem)))
                .and_then(|()| out.write(&inspected.prediction, &progress));
            done += 1;
            progress.set(done, "predicting");
            trouble.is_ok() && !stopped()
        },
    );
    progress.done();
    skipped.report(args.verbose, &progress);
    trouble
}

/// The number of photos that the arguments name.
fn count(arguments: &[PathBuf], recursive: bool, outputs: &[PathBuf]) -> usize {
    let (standard_input, named): (Vec<PathBuf>, _) = arguments.iter().cloned().partition(|own| own == Path::new("-"));
    standard_input.len()
        + listed(&named, recursive, outputs).filter(|(_, listed)| matches!(listed, Listed::Input(_))).count()
}

/// An input with the stem of its output files.
struct Photo {
    input: Input,
    stem: String,
}

impl Borrow<Input> for Photo {
    fn borrow(&self) -> &Input {
        &self.input
    }
}

/// Bytes of a stem: names of files are limited to 255 bytes, and numbers and labels are added.
const LONGEST_STEM: usize = 150;

/// The stems of output files so far, in lower case, each with the number of inputs that have it.
#[derive(Default)]
struct Stems(HashMap<String, usize>);

impl Stems {
    /// The stem of the input's own name, with a number if another input has the same.
    fn of(&mut self, input: &Input) -> String {
        let name = input.name();
        let mut stem = match Path::new(&name).file_stem() {
            Some(stem) if stem != "-" => stem.to_string_lossy().into_owned(),
            _ => "picture".to_owned(),
        };
        stem.truncate(stem.floor_char_boundary(LONGEST_STEM));
        let mut number = self.0.get(&stem.to_lowercase()).copied().unwrap_or(0);
        loop {
            number += 1;
            let name = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            if !self.0.contains_key(&name.to_lowercase()) {
                self.0.insert(name.to_lowercase(), 1);
                self.0.insert(stem.to_lowercase(), number);
                return name;
            }
        }
    }
}

/// Writes the annotated photo.
fn annotated(inspected: &Inspected<'_>, folder: &Path, name: &str, landmarks: bool) -> anyhow::Result<()> {
    let Some(photo) = &inspected.photo else { return Ok(()) };
    let mut picture = photo.to_rgb8();
    if landmarks {
        render::draw_landmarks(&mut picture, &inspected.prediction.faces);
    }
    let picture = render::annotated(picture, &inspected.prediction.faces);
    render::save_picture(folder.join(format!("{name}.jpg")), &picture)
        .with_context(|| format!("cannot write {name}.jpg to {}", folder.display()))
}

/// Writes saliency maps of faces.
struct Explain<'a> {
    explainer: &'a Explainer,
    folder: &'a Path,
    method: Method,
}

impl<'a> Explain<'a> {
    fn new(predictor: &'a Predictor, folder: &'a Path, method: ExplainMethod) -> Self {
        let method = match method {
            ExplainMethod::GradCam => Method::GradCam,
            ExplainMethod::Occlusion => Method::Occlusion,
        };
        Self { explainer: predictor.explainer(), folder, method }
    }

    /// Writes each face with its saliency map.
    fn write(&self, inspected: &Inspected<'_>, name: &str) -> anyhow::Result<()> {
        for (number, (face, crop)) in inspected.prediction.faces.iter().zip(&inspected.crops).enumerate() {
            let explanation = self.explainer.explain(crop, &face.label, self.method);
            let picture = render::explained(crop, self.explainer.input(), &explanation);
            let path = self.folder.join(format!("{name}-face{}-{}.png", number + 1, face.label));
            render::save_picture(&path, &picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_inputs_have_the_same_stem() {
        let mut stems = Stems::default();
        let long = "é".repeat(120);
        let mut of = |name: &str| stems.of(&Input::File(name.into()));
        assert_eq!(
            ["x/a.jpg", "y/A.png", "a-2.jpg", "a.gif", "-"].map(&mut of),
            ["a", "A-2", "a-2-2", "a-3", "picture"]
        );
        assert_eq!([of(&format!("{long}.jpg")), of(&format!("{long}.png"))], ["é".repeat(75), "é".repeat(75) + "-2"]);
    }
}
