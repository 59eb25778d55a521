//! `moue predict`: photos, videos and cameras.
//!
//! `inputs` lists what the arguments name, `outputs` checks that no output replaces it, `photos` and
//! `video` predict, `output` writes.

mod inputs;
pub mod output;
mod outputs;
mod photos;
mod video;

use super::{open_classifier, precision_line, print_device, stop_on_interrupt, warn_of_device};
use crate::args::{Common, PredictArgs, PredictionPrecision, TtaChoice};
use crate::environment::{INTERRUPTED, SOME_FAILED};
use crate::error::UsageError;
use crate::progress::Progress;
use anyhow::Context;
use moue::Device;
use moue::detect::{DetectOptions, Detector};
use moue::predict::{PredictOptions, Predictor};
use moue::prediction::Prediction;
use output::{Counts, PredictionWriter};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub fn run(args: &PredictArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let detect_options =
        DetectOptions { min_face: args.min_face.unwrap_or(0), min_score: args.min_score.unwrap_or(0.0), fast: false };
    let options = PredictOptions {
        detect: !args.no_detect,
        detect_options,
        allow_truncated: args.allow_truncated,
        tta: TtaChoice::resolve(args.tta),
        ..PredictOptions::default()
    };
    let device = Device::open(args.device.choice)?;
    let classifier = open_classifier(&args.model, args.precision, &device)?;
    let is_auto = args.precision == PredictionPrecision::Auto;
    let line = precision_line(classifier.precision(), is_auto).filter(|_| !common.quiet);
    let mut predictor = Predictor::new(classifier).with_options(options);
    if let Some(path) = &args.detector {
        predictor = predictor.with_detector(Detector::load(path)?);
    }
    let (photos, videos) = (inputs::photo_arguments(args), inputs::videos(args));
    outputs::check(args, &photos, &videos)?;
    if args.timeline.is_some() && videos.len() != 1 {
        return Err(UsageError(format!("--timeline requires exactly one video, found {}", videos.len())).into());
    }
    for folder in [&args.annotate, &args.explain].into_iter().flatten() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    if let Some(line) = line {
        eprintln!("{line}");
    }
    print_device(&device, &args.device, common);
    let stop = stop_on_interrupt()?;
    let format = output::format(args, common.json);
    let classes = predictor.classifier().classes();
    let mut out = PredictionWriter::new(format, args.out.as_deref(), classes, !videos.is_empty())?;
    let hidden = Progress::new(true, 0, "");
    if let Err(error) = photos::run(&predictor, &photos, args, common, &mut out, &stop) {
        // The predictions so far are kept in FILE.partial; the first error is the one to report.
        let _ = out.finish(false);
        return Err(error);
    }
    let stopped = || stop.load(Ordering::Relaxed);
    let mut complete = !stopped();
    for video in &videos {
        if stopped() {
            complete = false;
            break;
        }
        if let Err(error) = video::watch(&predictor, video, args, common, &mut out, &stop) {
            let error = moue::with_causes(error.as_ref());
            // The prediction names the video itself.
            let reason = error.strip_prefix(&format!("{}: ", video.input)).unwrap_or(&error).to_owned();
            out.write(&Prediction::failed(video.input.clone(), reason), &hidden)?;
        }
        // A recording from a device has no other end.
        complete &= video.format.is_some() || !stopped();
    }
    let written = out.finish(complete)?;
    warn_of_device(&device);
    if !common.quiet {
        conclude(&out.counts, args, written.as_deref(), start.elapsed().as_secs_f64());
        if let (Some(out), false) = (&args.out, complete) {
            eprintln!("Interrupted: {} was not written", out.display());
        }
    }
    Ok(match out.counts.unreadable {
        _ if stopped() => ExitCode::from(INTERRUPTED),
        0 => ExitCode::SUCCESS,
        all if all == out.counts.inputs() => ExitCode::FAILURE,
        _ => ExitCode::from(SOME_FAILED),
    })
}

/// Prints how many inputs were predicted, and where the output is.
fn conclude(counts: &Counts, args: &PredictArgs, written: Option<&Path>, seconds: f64) {
    eprintln!("{}", counts.text(seconds));
    if counts.without_face > 0 && !args.no_detect {
        eprintln!("Without a face: --no-detect predicts the whole picture");
    }
    let (annotated, maps) = (args.annotate.as_deref(), args.explain.as_deref());
    let places = [("Predictions", written), ("Annotated pictures", annotated), ("Saliency maps", maps)];
    for (what, place) in places {
        if let Some(place) = place {
            eprintln!("{what}: {}", place.display());
        }
    }
}
