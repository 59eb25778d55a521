//! Predicts photos and writes annotated images and saliency maps.

use super::inputs::Inputs;
use super::output::PredictionWriter;
use crate::args::{Common, ExplainMethod, PredictArgs};
use crate::progress::Progress;
use anyhow::Context;
use moue::explain::{Explainer, Method};
use moue::predict::{Input, Inspected, Predictor};
use moue::render;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Predicts the photos; arguments that name none have their rows between them.
pub fn run(
    predictor: &Predictor,
    Inputs { photos, unmatched, .. }: &Inputs,
    args: &PredictArgs,
    common: &Common,
    out: &mut PredictionWriter,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let progress = Progress::new(common.quiet, photos.len(), "images/s");
    let (mut done, mut trouble) = (0, Ok(()));
    let mut unmatched = unmatched.iter().peekable();
    let mut write_unmatched = |done: usize, out: &mut PredictionWriter| {
        while let Some((_, failed)) = unmatched.next_if(|(before, _)| *before <= done) {
            out.write(failed, &progress)?;
        }
        anyhow::Ok(())
    };
    let names = names(photos, args.annotate.is_some() || args.explain.is_some());
    let annotate = args.annotate.as_deref();
    let explain = args.explain.as_deref().map(|folder| Explain::new(predictor, folder, args.explain_method));
    predictor.predict_all(
        photos,
        |inspected| {
            let annotation_written =
                annotate.map_or(Ok(()), |folder| annotated(&inspected, folder, &names, args.landmarks));
            // A photo can be large; from here on only the faces are needed.
            (inspected.without_photo(), annotation_written)
        },
        |(inspected, annotation)| {
            trouble = write_unmatched(done, out)
                .and(annotation)
                .and_then(|()| explain.as_ref().map_or(Ok(()), |explain| explain.write(&inspected, &names)))
                .and_then(|()| out.write(&inspected.prediction, &progress));
            done += 1;
            progress.set(done, "predicting");
            trouble.is_ok() && !stop.load(Ordering::Relaxed)
        },
    );
    if trouble.is_ok() && !stop.load(Ordering::Relaxed) {
        trouble = write_unmatched(done, out);
    }
    progress.done();
    trouble
}

/// Maps each input to the stem of its output files: the stem of its own name, with a
/// number if several inputs have the same.
fn names(photos: &[Input], wanted: bool) -> HashMap<String, String> {
    let mut names = HashMap::new();
    let mut taken: HashMap<String, usize> = HashMap::new();
    for photo in photos.iter().filter(|_| wanted) {
        let input = photo.name();
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

/// Writes the annotated photo.
fn annotated(
    inspected: &Inspected<'_>,
    folder: &Path,
    names: &HashMap<String, String>,
    landmarks: bool,
) -> anyhow::Result<()> {
    let Some(photo) = &inspected.photo else { return Ok(()) };
    let name = names.get(&inspected.prediction.input).map_or("picture", String::as_str);
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
    fn write(&self, inspected: &Inspected<'_>, names: &HashMap<String, String>) -> anyhow::Result<()> {
        let name = names.get(&inspected.prediction.input).map_or("picture", String::as_str);
        for (number, (face, crop)) in inspected.prediction.faces.iter().zip(&inspected.crops).enumerate() {
            let explanation = self.explainer.explain(crop, &face.label, self.method);
            let picture = render::explained(crop, self.explainer.input(), &explanation);
            let path = self.folder.join(format!("{name}-face{}-{}.png", number + 1, face.label));
            render::save_picture(&path, &picture).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
