//! Decodes and encodes video with the `ffmpeg` program.
//!
//! Frames arrive as portable pixmaps, whose headers contain their size, at a constant rate, so that
//! the number of a frame gives its time.

use super::error::VideoError;
use crate::fs::AtomicFile;
use crate::message::io_reason;
use image::RgbImage;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Frames per second where the source does not state a rate.
const USUAL_RATE: f64 = 25.0;

/// Maximum size of a frame, in pixels.
const MAX_PIXELS: usize = 1 << 26;

/// A flag of Windows' `CreateProcess`.
#[cfg(windows)]
const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;

/// The source that `ffmpeg` opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A file, an address or a device, as after `-i`.
    pub input: String,
    /// As after `-f`, for devices: `v4l2`, `avfoundation`, `dshow`, `lavfi`.
    pub format: Option<String>,
}

impl Source {
    /// The default camera of this computer, or the named one.
    #[must_use]
    pub fn webcam(device: Option<&str>) -> Self {
        let (format, usual) = match std::env::consts::OS {
            "macos" => ("avfoundation", "0"),
            "windows" => ("dshow", "video=Integrated Camera"),
            _ => ("v4l2", "/dev/video0"),
        };
        Self { input: device.unwrap_or(usual).to_owned(), format: Some(format.to_owned()) }
    }

    fn arguments(&self) -> Vec<&str> {
        let mut arguments = Vec::new();
        if let Some(format) = &self.format {
            arguments.extend(["-f", format]);
        }
        arguments.extend(["-i", &self.input]);
        arguments
    }
}

/// The properties of a video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Video {
    /// Frames per second.
    pub rate: f64,
    /// Number of frames, where the container states it.
    pub frames: Option<usize>,
}

/// Reads the properties of a source with `ffprobe`.
///
/// # Errors
/// When the program is missing or cannot open the source.
pub fn probe(source: &Source) -> Result<Video, VideoError> {
    let entries = "stream=avg_frame_rate,r_frame_rate,nb_frames,duration:format=duration";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "json"])
        .args(source.arguments())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing("ffprobe", error))?;
    if !output.status.success() {
        return Err(unopened(&source.input, last_line(&output.stderr)));
    }
    let stated: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let stream = &stated["streams"][0];
    if stream.is_null() {
        return Err(VideoError::Open { input: source.input.clone(), reason: "it contains no video stream".into() });
    }
    let rate = ["avg_frame_rate", "r_frame_rate"].iter().find_map(|key| ratio(stream[key].as_str()?));
    let number = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let rate = rate.unwrap_or(USUAL_RATE);
    let seconds = number(&stream["duration"]).or_else(|| number(&stated["format"]["duration"]));
    let frames = number(&stream["nb_frames"]).or_else(|| seconds.map(|seconds| seconds * rate));
    Ok(Video { rate, frames: frames.map(|frames| frames.round() as usize) })
}

/// `30000/1001` as a number; `None` for `0/0`.
fn ratio(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let value = above.parse::<f64>().ok()? / below.parse::<f64>().ok()?;
    (value.is_finite() && value > 0.0).then_some(value)
}

fn missing(program: &'static str, error: std::io::Error) -> VideoError {
    if error.kind() == ErrorKind::NotFound { VideoError::Missing { program } } else { VideoError::Pipe(error) }
}

/// The error of an input that `ffmpeg` cannot read; its message may begin with the name of the input.
fn unopened(input: &str, message: String) -> VideoError {
    let is_missing = !input.contains("://") && !Path::new(input).exists();
    let missing = crate::fs::open(input).err().filter(|_| is_missing && message.ends_with("No such file or directory"));
    let reason = missing.map(|error| io_reason(&error)).unwrap_or(message);
    let reason = reason.strip_prefix(&format!("{input}: ")).unwrap_or(&reason).to_owned();
    VideoError::Open { input: input.to_owned(), reason }
}

/// A running `ffmpeg`. Its error output goes to a file: an unread pipe would block it.
struct Program {
    child: Child,
    complaints: File,
}

impl Program {
    fn start(mut command: Command) -> Result<Self, VideoError> {
        let complaints = tempfile::tempfile().map_err(VideoError::Pipe)?;
        command.stderr(complaints.try_clone().map_err(VideoError::Pipe)?);
        // Ctrl-C in a terminal is sent to all processes of a group: this one decides when the program ends.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(windows)]
        std::os::windows::process::CommandExt::creation_flags(&mut command, CREATE_NEW_PROCESS_GROUP);
        let child = command.spawn().map_err(|error| missing("ffmpeg", error))?;
        Ok(Self { child, complaints })
    }

    /// Waits for the program to end; returns its last error message, if it failed.
    fn end(&mut self) -> Result<Option<String>, VideoError> {
        let status = self.child.wait().map_err(VideoError::Pipe)?;
        let mut said = Vec::new();
        self.complaints.seek(SeekFrom::Start(0)).map_err(VideoError::Pipe)?;
        (&mut self.complaints).take(1 << 20).read_to_end(&mut said).map_err(VideoError::Pipe)?;
        Ok((!status.success() || is_cut_off(&said)).then(|| last_line(&said)))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the end of a file could not be written, where older versions of `ffmpeg` exit as after a success.
fn is_cut_off(errors: &[u8]) -> bool {
    let unwritten = ["Error writing trailer of ", "Error closing file "];
    String::from_utf8_lossy(errors).lines().any(|line| unwritten.iter().any(|start| line.starts_with(start)))
}

/// The last line that gives a reason: `Error initializing output stream 0:0 --` has none after the dashes.
fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.ends_with("--"));
    line.unwrap_or("ffmpeg printed no error message").to_owned()
}

/// The frames of a video in order.
pub struct Frames {
    program: Program,
    pixmaps: BufReader<ChildStdout>,
    input: String,
}

impl Frames {
    /// Starts to decode a video.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn open(source: &Source, video: &Video) -> Result<Self, VideoError> {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-v", "error", "-nostdin"])
            .args(source.arguments())
            .args(["-map", "0:v:0", "-vf", &format!("fps={}", video.rate), "-f", "image2pipe", "-c:v", "ppm", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut program = Program::start(command)?;
        let pixmaps =
            program.child.stdout.take().ok_or_else(|| VideoError::Pipe(std::io::Error::other("no output")))?;
        Ok(Self { program, pixmaps: BufReader::with_capacity(1 << 20, pixmaps), input: source.input.clone() })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// When the video cannot be decoded, or contains no frame.
    pub fn next_frame(&mut self) -> Result<Option<RgbImage>, VideoError> {
        match read_pixmap(&mut self.pixmaps) {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => self.end().map(|()| None),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                // It would wait until the rest of the frame is read.
                let _ = self.program.child.kill();
                Err(VideoError::Pipe(error))
            }
            Err(error) => Err(self.end().err().unwrap_or(VideoError::Pipe(error))),
        }
    }

    /// The exit status of the program.
    fn end(&mut self) -> Result<(), VideoError> {
        match self.program.end()? {
            None => Ok(()),
            Some(reason) => Err(unopened(&self.input, reason)),
        }
    }
}

/// A binary pixmap (`P6`); `None` where the stream ends before it.
fn read_pixmap(reader: &mut impl Read) -> std::io::Result<Option<RgbImage>> {
    let broken = |what: &str| std::io::Error::new(ErrorKind::InvalidData, format!("not a frame: {what}"));
    let mut byte = [0];
    if reader.read(&mut byte)? == 0 {
        return Ok(None);
    }
    let mut second = [0];
    reader.read_exact(&mut second)?;
    if [byte[0], second[0]] != *b"P6" {
        return Err(broken("it does not begin with P6"));
    }
    let mut numbers = [0usize; 3];
    for number in &mut numbers {
        let mut digits = String::new();
        loop {
            reader.read_exact(&mut byte)?;
            match byte[0] {
                digit @ b'0'..=b'9' if digits.len() < 9 => digits.push(char::from(digit)),
                space if space.is_ascii_whitespace() && digits.is_empty() => {}
                space if space.is_ascii_whitespace() => break,
                _ => return Err(broken("its header is not a number")),
            }
        }
        *number = digits.parse().map_err(|_| broken("its header is not a number"))?;
    }
    let [width, height, depth] = numbers;
    if depth != 255 || width == 0 || height == 0 || width.saturating_mul(height) > MAX_PIXELS {
        return Err(broken(&format!("{width} x {height}, {depth}")));
    }
    let mut pixels = vec![0; width * height * 3];
    reader.read_exact(&mut pixels)?;
    Ok(RgbImage::from_raw(width as u32, height as u32, pixels))
}

/// An MP4 video that is being encoded. It replaces a file when it is complete.
pub struct Writer {
    program: Program,
    pixels: Option<BufWriter<ChildStdin>>,
    file: AtomicFile,
    path: PathBuf,
}

impl Writer {
    /// Starts to encode a video with frames of this size; the audio is copied from `source`, where
    /// it has any.
    ///
    /// # Errors
    /// When the file cannot be created, or the program is missing.
    pub fn create(
        path: impl AsRef<Path>,
        [width, height]: [u32; 2],
        video: &Video,
        source: &Source,
    ) -> Result<Self, VideoError> {
        let path = path.as_ref();
        let file = AtomicFile::create(path).map_err(|error| unwritten(path, io_reason(&error)))?;
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
        command.args(["-s", &format!("{width}x{height}"), "-r", &video.rate.to_string(), "-i", "-"]);
        // A device cannot be opened twice.
        if source.format.is_none() {
            command.args(["-i", &source.input, "-map", "0:v", "-map", "1:a?", "-shortest"]);
        }
        command.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]);
        command.args(["-f", "mp4"]).arg(file.temporary_path()).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut program = Program::start(command)?;
        let pixels = program.child.stdin.take().map(|pixels| BufWriter::with_capacity(1 << 20, pixels));
        Ok(Self { program, pixels, file, path: path.to_owned() })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// When the program has failed.
    pub fn write(&mut self, frame: &RgbImage) -> Result<(), VideoError> {
        match self.pixels.as_mut().map_or(Ok(()), |pixels| pixels.write_all(frame.as_raw())) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.end().err().unwrap_or(VideoError::Pipe(error))),
        }
    }

    /// Completes the video, and returns its path.
    ///
    /// # Errors
    /// When the video cannot be written.
    pub fn finish(mut self) -> Result<PathBuf, VideoError> {
        self.end()?;
        self.file.finish().map_err(|error| unwritten(&self.path, io_reason(&error)))
    }

    /// Ends an incomplete video, and returns its path, which ends in `.partial`. The file itself does not change.
    ///
    /// # Errors
    /// When the video cannot be written.
    pub fn finish_partial(mut self) -> Result<PathBuf, VideoError> {
        self.end()?;
        self.file.finish_partial().map_err(|error| unwritten(&self.path, io_reason(&error)))
    }

    fn end(&mut self) -> Result<(), VideoError> {
        // A write error is ignored here: the exit status below explains it.
        let _ = self.pixels.take().map(|mut pixels| pixels.flush());
        match self.program.end()? {
            None => Ok(()),
            Some(reason) => {
                let (temporary, path) = (self.file.temporary_path().display(), self.path.display());
                Err(unwritten(&self.path, reason.replace(&temporary.to_string(), &path.to_string())))
            }
        }
    }
}

fn unwritten(path: &Path, reason: String) -> VideoError {
    VideoError::Write { path: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn consecutive_pixmaps_are_read() {
        let mut stream: &[u8] = b"P6\n2 1\n255\nabcdefP6 1 1 255 xyz";
        let first = read_pixmap(&mut stream).unwrap().unwrap();
        assert_eq!((first.dimensions(), first.as_raw().as_slice()), ((2, 1), &b"abcdef"[..]));
        assert_eq!(read_pixmap(&mut stream).unwrap().unwrap().as_raw(), b"xyz");
        assert!(read_pixmap(&mut stream).unwrap().is_none());
        for broken in
            [&b"P5 1 1 255 x"[..], b"P6 1 1 65535 xyz", b"P6 99999 99999 255 ", b"P6 1 1 255 x", b"P6 a", b"P"]
        {
            assert!(read_pixmap(&mut &*broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_reason_of_an_error_is_its_last_line_with_a_reason() {
        let header = "Could not write header: No space left on device\nError initializing output stream 0:0 -- \n";
        assert_eq!(last_line(header.as_bytes()), "Could not write header: No space left on device");
        assert_eq!(last_line(b"\n"), "ffmpeg printed no error message");
        assert!(is_cut_off(b"Error writing trailer of clip.mp4: No space left on device\n"));
        assert!(!is_cut_off(header.as_bytes()));
    }

    #[test]
    fn rates_are_ratios() {
        assert_eq!((ratio("25/1"), ratio("0/0"), ratio("x")), (Some(25.0), None, None));
        assert!((ratio("30000/1001").unwrap() - 29.97).abs() < 0.001);
    }

    proptest! {
        #[test]
        fn no_stream_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), begin: bool) {
            let stream = [if begin { &b"P6 "[..] } else { b"" }, &bytes].concat();
            let _ = read_pixmap(&mut stream.as_slice());
        }
    }
}
