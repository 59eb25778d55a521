//! Expressions in videos and from cameras: anything that the `ffmpeg` program
//! reads. Faces are found in each frame as in a photo, followed from frame to
//! frame (`track`), and their predictions smoothed over time (`watch`). Only a few frames are
//! in memory at any moment.

mod error;
mod ffmpeg;
mod track;
mod watch;

pub use error::VideoError;
pub use ffmpeg::{Frames, Source, Video, Writer, probe};
pub use track::Tracker;
pub use watch::{FramePrediction, TrackedFace, VideoFrame, watch};
