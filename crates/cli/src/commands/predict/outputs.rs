//! Checks that no output of `predict` replaces an input.

use super::inputs::{Inputs, is_video};
use crate::args::PredictArgs;
use crate::error::UsageError;
use moue::image::is_image;
use moue::predict::Input;
use std::path::{Path, PathBuf};

/// Refuses files of outputs that are inputs or have an extension of one, and folders that contain
/// inputs: annotated pictures have the names of their inputs.
pub fn check(args: &PredictArgs, inputs: &Inputs) -> Result<(), UsageError> {
    let photos = inputs.photos.iter().filter_map(|photo| match photo {
        Input::File(path) => Some(path.as_path()),
        Input::Bytes { .. } => None,
    });
    let paths = photos.chain(inputs.videos.iter().map(|video| Path::new(&video.input)));
    let paths: Vec<PathBuf> = paths.filter_map(|path| path.canonicalize().ok()).collect();
    for (option, file, example) in
        [("out", &args.out, "predictions.csv"), ("timeline", &args.timeline, "timeline.html")]
    {
        let Some(file) = file else { continue };
        let reason = if file.canonicalize().is_ok_and(|file| paths.contains(&file)) {
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
        if folder.canonicalize().is_ok_and(|folder| paths.iter().any(|path| path.parent() == Some(&folder))) {
            let reason = "this folder contains inputs, which could be replaced; name another folder, for example";
            return Err(UsageError(format!("--{option} {}: {reason} {example}", folder.display())));
        }
    }
    Ok(())
}
