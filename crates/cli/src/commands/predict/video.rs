//! Predicts videos and camera streams.

use super::output::{Moment, PredictionWriter};
use crate::args::{Common, Format, PredictArgs};
use crate::progress::Progress;
use anyhow::Context;
use moue::fs::AtomicFile;
use moue::message::on_one_line;
use moue::predict::Predictor;
use moue::prediction::Face;
use moue::render::{annotated, draw_landmarks};
use moue::video::{self, FramePrediction, Source, TrackedFace, Video, VideoFrame, Writer};
use moue_train::report::Timeline;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Number of faces whose last label is kept, to print changes only.
const REMEMBERED: usize = 100;

/// Predicts a video to its end, or until `stop` is set.
pub fn watch(
    predictor: &Predictor,
    source: &Source,
    args: &PredictArgs,
    common: &Common,
    out: &mut PredictionWriter,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let video = video::probe(source)?;
    let progress = Progress::new(common.quiet, video.frames.unwrap_or(0), "frames/s");
    let mut watched = Watched {
        source,
        video,
        annotated: args.annotate.as_deref().map(|folder| annotated_path(folder, source)),
        landmarks: args.landmarks,
        writer: None,
        timeline: Timeline::new(predictor.classifier().classes(), f64::from(args.every) / video.rate),
        labels: BTreeMap::new(),
    };
    let (mut done, mut has_face) = (0, false);
    let ended = video::watch(predictor, source, &video, args.every as usize, &mut |seen| {
        done += 1;
        progress.set(done, &source.input);
        watched.draw(&seen)?;
        if seen.is_predicted {
            has_face |= !seen.answer.faces.is_empty();
            watched.remember(seen.answer);
            progress.suspend(|| watched.write(seen.answer, out))?;
        }
        anyhow::Ok(!stop.load(Ordering::Relaxed))
    });
    progress.done();
    // A recording from a device has no other end.
    let complete = ended.is_ok() && (source.format.is_some() || !stop.load(Ordering::Relaxed));
    // The frames before an error are kept.
    watched.finish(args.timeline.as_deref(), complete, &progress)?;
    ended?;
    // The rest of an interrupted video may show a face.
    if !has_face && stop.load(Ordering::Relaxed) {
        return Ok(());
    }
    out.end_video(&source.input, has_face)
}

fn annotated_path(folder: &Path, source: &Source) -> PathBuf {
    let stem = Path::new(&source.input).file_stem().filter(|_| source.format.is_none());
    folder.join(format!("{}.mp4", stem.map_or("camera".into(), |stem| stem.to_string_lossy())))
}

/// The outputs for a video.
struct Watched<'a> {
    source: &'a Source,
    video: Video,
    annotated: Option<PathBuf>,
    landmarks: bool,
    writer: Option<Writer>,
    timeline: Timeline,
    /// The label that was printed last for each of the newest faces.
    labels: BTreeMap<u32, String>,
}

impl Watched<'_> {
    fn draw(&mut self, seen: &VideoFrame<'_>) -> anyhow::Result<()> {
        let Some(path) = &self.annotated else { return Ok(()) };
        let faces: Vec<Face> = seen.answer.faces.iter().map(|face| face.face.clone()).collect();
        let mut picture = seen.picture.clone();
        if self.landmarks {
            draw_landmarks(&mut picture, &faces);
        }
        let picture = annotated(picture, &faces);
        if self.writer.is_none() {
            let size = [picture.width(), picture.height()];
            self.writer = Some(Writer::create(path, size, &self.video, self.source)?);
        }
        self.writer.as_mut().map_or(Ok(()), |writer| writer.write(&picture))?;
        Ok(())
    }

    fn remember(&mut self, prediction: &FramePrediction) {
        for face in &prediction.faces {
            self.timeline.add(prediction.time_s, face.face.probabilities.values().copied());
        }
    }

    fn write(&mut self, prediction: &FramePrediction, out: &mut PredictionWriter) -> anyhow::Result<()> {
        match out.format {
            Format::Json => out.put(&format!("{}\n", serde_json::to_string(prediction)?)),
            Format::Csv => prediction.faces.iter().try_for_each(|TrackedFace { track, face }| {
                let moment = Moment {
                    frame: Some(prediction.frame),
                    time_s: Some(format!("{:.3}", prediction.time_s)),
                    track: Some(*track),
                };
                out.put_row(&prediction.input, moment, Some(face), "")
            }),
            Format::Table => self.changes(prediction, out),
        }
    }

    /// Prints a line for each face that is new or whose predicted class has changed.
    fn changes(&mut self, prediction: &FramePrediction, out: &mut PredictionWriter) -> anyhow::Result<()> {
        for TrackedFace { track, face } in &prediction.faces {
            if self.labels.get(track) != Some(&face.label) {
                let uncertain = if face.uncertain { " (uncertain)" } else { "" };
                out.put(&format!(
                    "{}  {:>8.2} s  face {track}  {} {:.1} %{uncertain}\n",
                    on_one_line(&prediction.input),
                    prediction.time_s,
                    face.label,
                    face.confidence * 100.0
                ))?;
            }
            self.labels.insert(*track, face.label.clone());
        }
        while self.labels.len() > REMEMBERED {
            self.labels.pop_first();
        }
        Ok(())
    }

    /// Writes the outputs; those of an incomplete video replace no file, and have `.partial` at the end of their names.
    fn finish(&mut self, timeline: Option<&Path>, complete: bool, progress: &Progress) -> anyhow::Result<()> {
        if let Some(writer) = self.writer.take() {
            let path = if complete { writer.finish()? } else { writer.finish_partial()? };
            progress.line(&format!("Annotated video: {}", path.display()));
        }
        if let Some(path) = timeline {
            let page = self.timeline.page(&format!("Expressions in {}", self.source.input));
            let finish = if complete { AtomicFile::finish } else { AtomicFile::finish_partial };
            let written = AtomicFile::create(path).and_then(|mut file| {
                file.write_all(page.as_bytes())?;
                finish(file)
            });
            let path = written.with_context(|| format!("cannot write {}", path.display()))?;
            progress.line(&format!("Timeline: {}", path.display()));
        }
        Ok(())
    }
}
