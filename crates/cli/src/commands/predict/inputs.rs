//! Which pictures and films are meant.

use crate::args::PredictArgs;
use moue::predict::{Input, inputs};
use moue::video::Source;
use std::path::Path;

const EXTENSIONS: [&str; 14] =
    ["3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "webm", "wmv"];

/// Whether a file is a film, by its name.
fn is_film(path: &Path) -> bool {
    path.extension().is_some_and(|own| EXTENSIONS.iter().any(|known| own.eq_ignore_ascii_case(known)))
}

/// The pictures and the films that the arguments stand for, and how many
/// arguments stand for nothing, which is told.
pub fn expand(args: &PredictArgs) -> anyhow::Result<(Vec<Input>, Vec<Source>, usize)> {
    let (mut pictures, mut films, mut nothing) = (Vec::new(), Vec::new(), 0);
    films.extend(args.webcam.as_ref().map(|device| Source::webcam(device.as_deref())));
    for argument in &args.inputs {
        if args.device_format.is_some() || is_film(argument) {
            films.push(Source { input: argument.display().to_string(), format: args.device_format.clone() });
            continue;
        }
        match inputs::expand(argument, args.recursive) {
            Ok(found) => pictures.extend(found),
            Err(reason) => {
                eprintln!("moue: {}: {reason}", argument.display());
                nothing += 1;
            }
        }
    }
    anyhow::ensure!(!pictures.is_empty() || !films.is_empty(), "there is nothing to predict");
    Ok((pictures, films, nothing))
}
