//! Checks that no output of `predict` replaces an input.

use super::inputs::{is_video, listed, output_folders};
use crate::args::PredictArgs;
use crate::error::UsageError;
use moue::image::is_image;
use moue::predict::{Input, Listed};
use moue::video::Source;
use std::path::{Path, PathBuf};

/// Refuses files of outputs that are inputs or have an extension of one, and folders that contain
/// inputs: annotated pictures have the names of their inputs. The inputs are listed only where an
/// output exists already.
pub fn check(args: &PredictArgs, photos: &[PathBuf], videos: &[Source]) -> Result<(), UsageError> {
    let inputs = Inputs { photos, videos, recursive: args.recursive, outputs: &output_folders(args) };
    for (option, file, example) in
        [("out", &args.out, "predictions.csv"), ("timeline", &args.timeline, "timeline.html")]
    {
        let Some(file) = file else { continue };
        let reason = if file.canonicalize().is_ok_and(|file| inputs.contain(&file)) {
            "this file is one of the inputs"
        } else if is_image(&file.to_string_lossy()) || is_video(file) {
            "this output is no picture or video (--annotate DIR writes annotated ones)"
        } else {
            continue;
        };
        return Err(UsageError(format!(
            "--{option} {}: {reason}; name another file, for example {example}",
            file.display()
        )));
    }
    for (option, folder, example) in [("annotate", &args.annotate, "annotated"), ("explain", &args.explain, "maps")] {
        let Some(folder) = folder else { continue };
        if folder.canonicalize().is_ok_and(|folder| inputs.are_in(&folder)) {
            let reason = "this folder contains inputs, which could be replaced; name another folder, for example";
            return Err(UsageError(format!("--{option} {}: {reason} {example}", folder.display())));
        }
    }
    Ok(())
}

struct Inputs<'a> {
    photos: &'a [PathBuf],
    videos: &'a [Source],
    recursive: bool,
    outputs: &'a [PathBuf],
}

impl Inputs<'_> {
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        // Listing standard input would read it.
        let photos = self.photos.iter().filter(|argument| *argument != Path::new("-"));
        let files = photos.flat_map(|argument| listed(std::slice::from_ref(argument), self.recursive, self.outputs));
        let files = files.filter_map(|(_, listed)| match listed {
            Listed::Input(Input::File(path)) => Some(path),
            _ => None,
        });
        files.chain(self.videos.iter().map(|video| PathBuf::from(&video.input)))
    }

    /// Whether a canonical path is one of the inputs. Only inputs of the same name, and links, are
    /// resolved: there may be a hundred thousand.
    fn contain(&self, file: &Path) -> bool {
        let name = file.file_name().unwrap_or_default();
        let is_named_so = |path: &Path| path.file_name().is_some_and(|own| own.eq_ignore_ascii_case(name));
        self.paths()
            .filter(|path| is_named_so(path) || path.is_symlink())
            .any(|path| path.canonicalize().is_ok_and(|path| path == file))
    }

    /// Whether a canonical folder contains an input.
    fn are_in(&self, folder: &Path) -> bool {
        // Most inputs are in the folder of the one before.
        let mut last: Option<(PathBuf, bool)> = None;
        self.paths().any(|path| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if last.as_ref().is_none_or(|(last, _)| last != parent) {
                last = Some((parent.to_owned(), parent.canonicalize().is_ok_and(|parent| parent == folder)));
            }
            let links_there = || path.canonicalize().is_ok_and(|path| path.parent() == Some(folder));
            last.as_ref().is_some_and(|(_, is_there)| *is_there) || path.is_symlink() && links_there()
        })
    }
}
