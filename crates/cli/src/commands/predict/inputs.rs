//! What the arguments name: videos, photos, and other files, which are only counted.

use crate::args::PredictArgs;
use crate::progress::Progress;
use moue::message::on_one_line;
use moue::predict::inputs::expand;
use moue::predict::{Input, Listed};
use moue::video::Source;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 14] =
    ["3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "webm", "wmv"];

/// Extensions of pictures that are not decoded.
const UNDECODED: [&str; 12] = ["heic", "heif", "avif", "jxl", "cr2", "cr3", "nef", "arw", "dng", "raf", "orf", "rw2"];

/// Whether a file is a video, by its extension.
pub fn is_video(path: &Path) -> bool {
    has_extension(path, &EXTENSIONS)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|own| extensions.iter().any(|known| own.eq_ignore_ascii_case(known)))
}

/// The camera and the videos, in the order of the arguments.
pub fn videos(args: &PredictArgs) -> Vec<Source> {
    let format = &args.device_format;
    let named = args.inputs.iter().filter(|argument| format.is_some() || is_video(argument));
    let named = named.map(|argument| Source { input: argument.display().to_string(), format: format.clone() });
    args.webcam.iter().map(|device| Source::webcam(device.as_deref())).chain(named).collect()
}

/// The arguments that are no videos.
pub fn photo_arguments(args: &PredictArgs) -> Vec<PathBuf> {
    let arguments = args.inputs.iter().filter(|argument| args.device_format.is_none() && !is_video(argument));
    arguments.cloned().collect()
}

/// The folders of outputs that exist.
pub fn output_folders(args: &PredictArgs) -> Vec<PathBuf> {
    [&args.annotate, &args.explain].into_iter().flatten().filter_map(|folder| folder.canonicalize().ok()).collect()
}

/// What each argument names, listed while it is predicted, without the files in `outputs` below a folder that is named.
pub fn listed<'a>(
    arguments: &'a [PathBuf],
    recursive: bool,
    outputs: &[PathBuf],
) -> impl Iterator<Item = (&'a Path, Listed)> {
    arguments.iter().flat_map(move |argument| {
        let own = if outputs.is_empty() { None } else { argument.canonicalize().ok() };
        let is_below = |folder: &&PathBuf| own.as_ref().is_some_and(|own| folder.starts_with(own) && *folder != own);
        let below: Vec<PathBuf> = outputs.iter().filter(is_below).cloned().collect();
        let is_output = move |path: &Path| {
            !below.is_empty()
                && path.parent().is_some_and(|parent| parent.canonicalize().is_ok_and(|parent| below.contains(&parent)))
        };
        let listed = expand(argument, recursive).filter(move |listed| match listed {
            Listed::Input(Input::File(path)) | Listed::Other(path) => !is_output(path),
            Listed::Input(_) => true,
        });
        listed.map(move |listed| (argument.as_path(), listed))
    })
}

/// The files that are not predicted, by argument.
#[derive(Default)]
pub struct Skipped<'a>(Vec<Others<'a>>);

struct Others<'a> {
    argument: &'a Path,
    first_video: Option<PathBuf>,
    videos: usize,
    /// Pictures that are not decoded, by format.
    pictures: BTreeMap<String, usize>,
    files: usize,
}

impl<'a> Skipped<'a> {
    /// Counts a file that the argument lists.
    pub fn add(&mut self, argument: &'a Path, path: PathBuf) {
        if self.0.last().is_none_or(|last| last.argument != argument) {
            self.0.push(Others { argument, first_video: None, videos: 0, pictures: BTreeMap::new(), files: 0 });
        }
        let Some(others) = self.0.last_mut() else { return };
        if is_video(&path) {
            others.videos += 1;
            others.first_video.get_or_insert(path);
        } else if has_extension(&path, &UNDECODED) {
            let format = path.extension().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
            *others.pictures.entry(format).or_default() += 1;
        } else {
            others.files += 1;
        }
    }

    /// Prints the counts.
    pub fn report(&self, verbose: bool, progress: &Progress) {
        for Others { argument, first_video, videos, pictures, files } in &self.0 {
            let folder = argument.display();
            if let Some(first) = first_video {
                progress.line(&format!(
                    "note: not predicted in {folder}: {}; name videos to predict them: moue predict {}",
                    count(*videos, "video"),
                    on_one_line(&first.to_string_lossy())
                ));
            }
            if !pictures.is_empty() {
                let counts = pictures.iter().map(|(format, number)| count(*number, &format!("{format} picture")));
                progress.line(&format!(
                    "note: not predicted in {folder}: {}; convert them to JPEG or PNG",
                    counts.collect::<Vec<_>>().join(", ")
                ));
            }
            if *files > 0 {
                let hint = if verbose { "" } else { "; -v lists them" };
                progress.line(&format!("note: not predicted in {folder}: {}{hint}", count(*files, "other file")));
            }
        }
    }
}

/// `1 video`, `2 videos`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
