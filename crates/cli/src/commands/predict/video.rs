//! Films and cameras.

use super::output::{CsvRow, Moment, PredictionWriter, csv_line};
use crate::args::{Common, Format, PredictArgs};
use crate::commands::print;
use crate::progress::Progress;
use anyhow::Context;
use moue::fs::write_atomically;
use moue::predict::Predictor;
use moue::prediction::Face;
use moue::render::annotated;
use moue::video::{self, FramePrediction, Source, TrackedFace, Video, VideoFrame, Writer};
use moue_train::report::Timeline;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Faces whose label is remembered, to tell changes only.
const REMEMBERED: usize = 100;

/// Predictions for a video from its beginning to its end, or until `stop` is set.
pub fn watch(
    predictor: &Predictor,
    source: &Source,
    args: &PredictArgs,
    common: &Common,
    out: &PredictionWriter,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let video = video::probe(source)?;
    let progress = Progress::new(common.quiet, video.frames.unwrap_or(0), "frames/s");
    let mut watched = Watched {
        source,
        video,
        annotated: args.annotate.as_deref().map(|folder| annotated_path(folder, source)),
        writer: None,
        timeline: Timeline::new(predictor.classifier().classes()),
        labels: BTreeMap::new(),
    };
    let mut done = 0;
    let ended = video::watch(predictor, source, &video, args.every as usize, &mut |seen| {
        done += 1;
        progress.set(done, &source.input);
        watched.draw(&seen)?;
        if seen.is_predicted {
            watched.remember(seen.answer);
            progress.suspend(|| watched.write(seen.answer, out))?;
        }
        anyhow::Ok(!stop.load(Ordering::Relaxed))
    });
    progress.done();
    // Frames before a video broke off are kept.
    watched.finish(args.timeline.as_deref(), &progress)?;
    ended.map(|_| ())
}

fn annotated_path(folder: &Path, source: &Source) -> PathBuf {
    let stem = Path::new(&source.input).file_stem().filter(|_| source.format.is_none());
    folder.join(format!("{}.mp4", stem.map_or("camera".into(), |stem| stem.to_string_lossy())))
}

/// What is written for a video in addition to its predictions.
struct Watched<'a> {
    source: &'a Source,
    video: Video,
    annotated: Option<PathBuf>,
    writer: Option<Writer>,
    timeline: Timeline,
    /// The label that was told last of each of the newest faces.
    labels: BTreeMap<u32, String>,
}

impl Watched<'_> {
    fn draw(&mut self, seen: &VideoFrame<'_>) -> anyhow::Result<()> {
        let Some(path) = &self.annotated else { return Ok(()) };
        let faces: Vec<Face> = seen.answer.faces.iter().map(|face| face.face.clone()).collect();
        let picture = annotated(seen.picture.clone(), &faces);
        if self.writer.is_none() {
            let size = [picture.width(), picture.height()];
            self.writer = Some(Writer::create(path, size, &self.video, self.source)?);
        }
        self.writer.as_mut().map_or(Ok(()), |writer| writer.write(&picture))?;
        Ok(())
    }

    fn remember(&mut self, answer: &FramePrediction) {
        for face in &answer.faces {
            self.timeline.add(answer.time_s, face.face.probabilities.values().copied());
        }
    }

    fn write(&mut self, answer: &FramePrediction, out: &PredictionWriter) -> anyhow::Result<()> {
        match out.format {
            Format::Json => print(&format!("{}\n", serde_json::to_string(answer)?)),
            Format::Csv => answer.faces.iter().try_for_each(|TrackedFace { track, face }| {
                let moment = Moment {
                    frame: Some(answer.frame),
                    time_s: Some(format!("{:.3}", answer.time_s)),
                    track: Some(*track),
                };
                print(&csv_line(CsvRow::new(&answer.input, Some(moment), face))?)
            }),
            Format::Table => self.changes(answer),
        }
    }

    /// A line for each face whose expression has changed, or that has come.
    fn changes(&mut self, answer: &FramePrediction) -> anyhow::Result<()> {
        for TrackedFace { track, face } in &answer.faces {
            if self.labels.get(track) != Some(&face.label) {
                let uncertain = if face.uncertain { " (uncertain)" } else { "" };
                print(&format!(
                    "{}  {:>8.2} s  face {track}  {} {:.1} %{uncertain}\n",
                    answer.input,
                    answer.time_s,
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

    fn finish(&mut self, timeline: Option<&Path>, progress: &Progress) -> anyhow::Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.finish()?;
        }
        if let Some(path) = timeline {
            let page = self.timeline.page(&format!("Expressions in {}", self.source.input));
            write_atomically(path, page.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
            progress.line(&format!("timeline: {}", path.display()));
        }
        Ok(())
    }
}
