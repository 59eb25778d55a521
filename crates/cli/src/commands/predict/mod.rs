//! `moue predict`: photos, videos and cameras.
//!
//! `inputs` expands the arguments, `photos` and `video` predict, `output` prints.

mod inputs;
mod output;
mod photos;
mod video;

use super::{INTERRUPTED, SOME_FAILED, stop_on_interrupt};
use crate::args::{Common, Format, PredictArgs};
use crate::error::UsageError;
use crate::progress::Progress;
use anyhow::Context;
use moue::detect::{DetectOptions, Detector};
use moue::predict::{PredictOptions, Predictor};
use moue::prediction::Prediction;
use output::PredictionWriter;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

pub fn run(args: &PredictArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let format = if common.json { Format::Json } else { args.format };
    let detect_options =
        DetectOptions { min_face: args.min_face.unwrap_or(0), min_score: args.min_score.unwrap_or(0.0) };
    let options = PredictOptions { detect: !args.no_detect, detect_options, ..PredictOptions::default() };
    let mut predictor = Predictor::open(&args.model)?.with_options(options);
    if let Some(path) = &args.detector {
        predictor = predictor.with_detector(Detector::load(path)?);
    }
    let (photos, videos, unmatched) = inputs::expand(args)?;
    if args.timeline.is_some() && videos.len() != 1 {
        return Err(UsageError(format!("--timeline requires exactly one video, found {}", videos.len())).into());
    }
    for folder in [&args.annotate, &args.explain].into_iter().flatten() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let stop = stop_on_interrupt()?;
    let out = PredictionWriter { format, videos: !videos.is_empty(), alone: photos.len() == 1 };
    out.begin(predictor.classifier().classes())?;
    let mut failed = unmatched + photos::run(&predictor, &photos, args, common, &out, &stop)?;
    for video in &videos {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Err(error) = video::watch(&predictor, video, args, common, &out, &stop) {
            failed += 1;
            let error = format!("{error:#}");
            // The prediction names the video itself.
            let reason = error.strip_prefix(&format!("{}: ", video.input)).unwrap_or(&error).to_owned();
            out.write(&Prediction::failed(video.input.clone(), reason), &Progress::new(true, 0, ""))?;
        }
    }
    Ok(match failed {
        _ if stop.load(Ordering::Relaxed) => ExitCode::from(INTERRUPTED),
        0 => ExitCode::SUCCESS,
        all if all == unmatched + photos.len() + videos.len() => ExitCode::FAILURE,
        _ => ExitCode::from(SOME_FAILED),
    })
}
