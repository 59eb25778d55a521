//! Expands the arguments into images and videos.

use crate::args::{Common, PredictArgs};
use moue::predict::inputs::{self, Expanded, Input, InputError};
use moue::prediction::Prediction;
use moue::video::Source;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 14] =
    ["3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "webm", "wmv"];

/// Whether a file is a video, by its extension.
pub fn is_video(path: &Path) -> bool {
    path.extension().is_some_and(|own| EXTENSIONS.iter().any(|known| own.eq_ignore_ascii_case(known)))
}

/// What the arguments name.
#[derive(Default)]
pub struct Inputs {
    pub photos: Vec<Input>,
    pub videos: Vec<Source>,
    /// Arguments that name neither, with the reason, and the number of photos before them.
    pub unmatched: Vec<(usize, Prediction)>,
}

/// Returns what the arguments name, and reports the other files of folders on stderr.
pub fn expand(args: &PredictArgs, common: &Common) -> Inputs {
    let mut found = Inputs::default();
    found.videos.extend(args.webcam.as_ref().map(|device| Source::webcam(device.as_deref())));
    for argument in &args.inputs {
        if args.device_format.is_some() || is_video(argument) {
            found.videos.push(Source { input: argument.display().to_string(), format: args.device_format.clone() });
            continue;
        }
        let others = match inputs::expand(argument, args.recursive) {
            Ok(Expanded { inputs, others }) => {
                found.photos.extend(inputs);
                others
            }
            Err(error) => {
                let failed = Prediction::failed(argument.display().to_string(), error.to_string());
                found.unmatched.push((found.photos.len(), failed));
                match error {
                    InputError::EmptyTree { others } | InputError::EmptyFolder { others } => others,
                    _ => Vec::new(),
                }
            }
        };
        if !common.quiet {
            report(argument, &others, args.verbose);
        }
    }
    found
}

/// Reports the files of a folder that are not predicted.
fn report(folder: &Path, others: &[PathBuf], verbose: bool) {
    let (videos, others): (Vec<&PathBuf>, Vec<&PathBuf>) = others.iter().partition(|path| is_video(path));
    let folder = folder.display();
    if let Some(first) = videos.first() {
        eprintln!(
            "note: not predicted in {folder}: {}; name videos to predict them: moue predict {}",
            count(videos.len(), "video"),
            first.display()
        );
    }
    if !others.is_empty() {
        let hint = if verbose { "" } else { "; -v lists them" };
        eprintln!("note: not predicted in {folder}: {}{hint}", count(others.len(), "other file"));
    }
    if verbose {
        videos.iter().chain(&others).for_each(|path| eprintln!("  {}", path.display()));
    }
}

/// `1 video`, `2 videos`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
