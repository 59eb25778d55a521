//! Predicts a video from beginning to end.

use super::error::VideoError;
use super::ffmpeg::{Frames, Source, Video};
use super::track::Tracker;
use crate::predict::{PhotoError, Predictor};
use crate::prediction::{Face, Prediction};
use image::{DynamicImage, RgbImage};
use rayon::prelude::*;
use serde::Serialize;

/// Frames that each thread processes at a time.
const FRAMES_A_THREAD: usize = 4;

/// A face in a video.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrackedFace {
    /// Number of the tracked face, from 1.
    pub track: u32,
    /// The face, smoothed over time.
    #[serde(flatten)]
    pub face: Face,
}

/// The prediction for a frame, with the same fields as for a photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FramePrediction {
    /// The name of the video as given.
    pub input: String,
    /// Number of the frame, from 0.
    pub frame: usize,
    /// Time of the frame, in seconds.
    pub time_s: f64,
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// The faces from left to right.
    pub faces: Vec<TrackedFace>,
    /// Why the faces may be wrong; `None` usually.
    pub warning: Option<String>,
    /// Always `None`: a video that cannot be decoded to its end gives an error of its own.
    pub error: Option<String>,
}

/// A processed frame.
pub struct VideoFrame<'a> {
    /// The prediction for this frame, or for the last frame that was predicted.
    pub answer: &'a FramePrediction,
    /// Whether this frame was predicted.
    pub is_predicted: bool,
    /// The picture of the frame.
    pub picture: &'a RgbImage,
}

/// Predicts every `every`-th frame of a video and emits all frames in order; `each` returns whether
/// to continue. Returns the number of frames.
///
/// # Errors
/// When the video cannot be read, or `each` fails.
pub fn watch<E: From<VideoError>>(
    predictor: &Predictor,
    source: &Source,
    video: &Video,
    every: usize,
    each: &mut dyn FnMut(VideoFrame<'_>) -> Result<bool, E>,
) -> Result<usize, E> {
    let mut frames = Frames::open(source, video)?;
    let mut tracker = Tracker::default();
    let mut last: Option<FramePrediction> = None;
    let mut number = 0;
    loop {
        let mut pictures = Vec::new();
        while pictures.len() < FRAMES_A_THREAD * rayon::current_num_threads() {
            let Some(picture) = frames.next_frame()? else { break };
            pictures.push(picture);
        }
        if pictures.is_empty() {
            return Ok(number);
        }
        let found: Vec<Option<Prediction>> = pictures
            .par_iter()
            .enumerate()
            .with_max_len(1)
            .map(|(i, picture)| ((number + i) % every.max(1) == 0).then(|| inspect(predictor, picture)))
            .collect();
        for (picture, found) in pictures.iter().zip(found) {
            let is_predicted = found.is_some();
            if let Some(Prediction { faces, warning, .. }) = found {
                let time_s = number as f64 / video.rate;
                last = Some(FramePrediction {
                    input: source.input.clone(),
                    frame: number,
                    time_s,
                    width: picture.width(),
                    height: picture.height(),
                    faces: tracked(predictor, tracker.follow(time_s, faces)),
                    warning,
                    error: None,
                });
            }
            number += 1;
            let Some(answer) = &last else { continue };
            if !each(VideoFrame { answer, is_predicted, picture })? {
                return Ok(number);
            }
        }
    }
}

fn inspect(predictor: &Predictor, picture: &RgbImage) -> Prediction {
    let failed = |error: PhotoError| Prediction::failed(String::new(), error.to_string());
    predictor.predict(&DynamicImage::ImageRgb8(picture.clone())).unwrap_or_else(failed)
}

fn tracked(predictor: &Predictor, faces: Vec<(u32, Face)>) -> Vec<TrackedFace> {
    let uncertain = |face: &Face| face.confidence < predictor.classifier().uncertain_below();
    faces
        .into_iter()
        .map(|(track, face)| TrackedFace { track, face: Face { uncertain: uncertain(&face), ..face } })
        .collect()
}
