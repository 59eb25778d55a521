//! Errors of reading and writing video.

/// Errors of reading and writing video.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The program is not installed.
    #[error(
        "video needs the program `{program}`, which was not found; install it with `apt install ffmpeg`, \
         `brew install ffmpeg` or `winget install ffmpeg`"
    )]
    Missing {
        /// `ffmpeg` or `ffprobe`.
        program: &'static str,
    },
    /// The video cannot be read.
    #[error("{input}: {reason}")]
    Open {
        /// The input as given.
        input: String,
        /// The error message of `ffmpeg`.
        reason: String,
    },
    /// The video cannot be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file.
        path: String,
        /// The error message of `ffmpeg`.
        reason: String,
    },
    /// The pipe to the program is broken.
    #[error("the connection to ffmpeg broke")]
    Pipe(#[source] std::io::Error),
}
