//! Expands the arguments into images and videos.

use crate::args::PredictArgs;
use moue::predict::{Input, inputs};
use moue::video::Source;
use std::path::Path;

const EXTENSIONS: [&str; 14] =
    ["3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "webm", "wmv"];

/// Whether a file is a video, by its extension.
fn is_video(path: &Path) -> bool {
    path.extension().is_some_and(|own| EXTENSIONS.iter().any(|known| own.eq_ignore_ascii_case(known)))
}

/// Returns the images and the videos that the arguments name, and the number of arguments
/// that name none; each of those is reported on stderr.
pub fn expand(args: &PredictArgs) -> anyhow::Result<(Vec<Input>, Vec<Source>, usize)> {
    let (mut photos, mut videos, mut unmatched) = (Vec::new(), Vec::new(), 0);
    videos.extend(args.webcam.as_ref().map(|device| Source::webcam(device.as_deref())));
    for argument in &args.inputs {
        if args.device_format.is_some() || is_video(argument) {
            videos.push(Source { input: argument.display().to_string(), format: args.device_format.clone() });
            continue;
        }
        match inputs::expand(argument, args.recursive) {
            Ok(found) => photos.extend(found),
            Err(reason) => {
                eprintln!("moue: {}: {reason}", argument.display());
                unmatched += 1;
            }
        }
    }
    anyhow::ensure!(!photos.is_empty() || !videos.is_empty(), "no images or videos to predict");
    Ok((photos, videos, unmatched))
}
