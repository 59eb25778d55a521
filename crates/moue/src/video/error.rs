//! Why a video cannot be read or written.

/// Why a video cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The program is not there.
    #[error(
        "video needs the program `{program}`, which is not here; install it with `apt install ffmpeg`, \
         `brew install ffmpeg` or `winget install ffmpeg`"
    )]
    Missing {
        /// `ffmpeg` or `ffprobe`.
        program: &'static str,
    },
    /// The video cannot be read.
    #[error("{input}: {reason}")]
    Open {
        /// As it was given.
        input: String,
        /// What `ffmpeg` says.
        reason: String,
    },
    /// The video cannot be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file.
        path: String,
        /// What `ffmpeg` says.
        reason: String,
    },
    /// The connection to the program broke.
    #[error("the connection to ffmpeg broke")]
    Pipe(#[source] std::io::Error),
}
