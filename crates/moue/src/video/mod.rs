//! Facial expressions in videos and from cameras, for all sources that the `ffmpeg` program reads.
//! Faces are detected in each frame as in a photo, tracked from frame to frame (`track`), and their
//! predictions are smoothed over time (`watch`). Only a few frames are in memory at any time.

mod error;
mod ffmpeg;
mod track;
mod watch;

pub use error::VideoError;
pub use ffmpeg::{Frames, Source, Video, Writer, probe};
pub use track::Tracker;
pub use watch::{FramePrediction, TrackedFace, VideoFrame, watch};
