//! Inputs: files, folders, glob patterns and standard input.

use crate::image::{ImageError, is_image, read_image_file};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// An input picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// The bytes of an image file.
    Bytes {
        /// Name in predictions.
        name: String,
        /// The file's content.
        bytes: Vec<u8>,
    },
}

impl Input {
    /// Name in predictions.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes { name, .. } => name.clone(),
        }
    }
}

/// Why an argument gives no inputs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Standard input cannot be read.
    #[error(transparent)]
    Read(#[from] ImageError),
    /// Neither the folder nor its subfolders contain image files.
    #[error("there are no images in this folder or its subfolders")]
    EmptyTree {
        /// The other files.
        others: Vec<PathBuf>,
    },
    /// The folder contains no image files.
    #[error("there are no images in this folder; use --recursive to include subfolders")]
    EmptyFolder {
        /// The other files.
        others: Vec<PathBuf>,
    },
    /// The glob pattern is malformed.
    #[error("not a valid glob pattern: {0}")]
    Pattern(#[from] glob::PatternError),
    /// No file matches the pattern.
    #[error("no file matches this pattern")]
    NoMatch,
}

/// What an argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The other files of a folder, without hidden ones.
    pub others: Vec<PathBuf>,
}

/// The inputs of an argument: `-` for standard input, a file, the image files of a folder in order
/// of their names (including subfolders, if `recursive`), or those that a glob pattern
/// (`photos/*.jpg`, `**/*.png`) matches. A file that cannot be read is an input whose prediction
/// has an error.
///
/// # Errors
/// When a folder or pattern contains no image.
pub fn expand(argument: impl AsRef<Path>, recursive: bool) -> Result<Expanded, InputError> {
    let argument = argument.as_ref();
    if argument == Path::new("-") {
        let bytes = read_image_file(std::io::stdin())?;
        return Ok(vec![Input::Bytes { name: "-".to_owned(), bytes }].into());
    }
    if argument.is_dir() {
        let depth = if recursive { usize::MAX } else { 1 };
        let walk = WalkDir::new(argument).max_depth(depth).follow_links(true).sort_by_file_name();
        let entries = walk.into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
        let files = entries.map(walkdir::DirEntry::into_path);
        let (images, mut others): (Vec<_>, Vec<_>) = files.partition(|path| is_image(&path.to_string_lossy()));
        others.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
        return match (images.is_empty(), recursive) {
            (false, _) => Ok(Expanded { inputs: images.into_iter().map(Input::File).collect(), others }),
            (true, true) => Err(InputError::EmptyTree { others }),
            (true, false) => Err(InputError::EmptyFolder { others }),
        };
    }
    let pattern = argument.to_string_lossy();
    if !argument.exists() && pattern.contains(['*', '?', '[']) {
        let paths = glob::glob(&pattern)?;
        let inputs: Vec<Input> = paths.filter_map(Result::ok).filter(|path| path.is_file()).map(Input::File).collect();
        return if inputs.is_empty() { Err(InputError::NoMatch) } else { Ok(inputs.into()) };
    }
    Ok(vec![Input::File(argument.to_owned())].into())
}

impl From<Vec<Input>> for Expanded {
    fn from(inputs: Vec<Input>) -> Self {
        Self { inputs, others: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(argument: &Path, recursive: bool) -> Result<Vec<String>, String> {
        let inputs = expand(argument, recursive).map_err(|error| error.to_string())?.inputs;
        Ok(inputs.iter().map(|input| Path::new(&input.name()).file_name().unwrap().display().to_string()).collect())
    }

    #[test]
    fn folders_and_patterns() {
        let place = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        };
        ["b.JPG", "a.png", "notes.txt", "deeper/c.webp", "[odd].png"].into_iter().for_each(put);
        assert_eq!(names(place.path(), false).unwrap(), ["[odd].png", "a.png", "b.JPG"]);
        assert_eq!(names(place.path(), true).unwrap(), ["[odd].png", "a.png", "b.JPG", "c.webp"]);
        put(".hidden");
        let others = expand(place.path(), false).unwrap().others;
        assert_eq!(others, [place.path().join("notes.txt")]);
        assert_eq!(names(&place.path().join("*.png"), false).unwrap(), ["[odd].png", "a.png"]);
        assert_eq!(names(&place.path().join("**/*.webp"), false).unwrap(), ["c.webp"]);
        // A file whose name looks like a pattern is a file; a missing file is reported later.
        assert_eq!(names(&place.path().join("[odd].png"), false).unwrap(), ["[odd].png"]);
        assert_eq!(names(&place.path().join("missing.png"), false).unwrap(), ["missing.png"]);
        assert!(names(&place.path().join("*.gif"), false).is_err());
        assert!(names(&place.path().join("***"), false).unwrap_err().contains("not a valid glob pattern"));
        std::fs::create_dir(place.path().join("empty")).unwrap();
        assert!(names(&place.path().join("empty"), false).unwrap_err().contains("--recursive"));
    }
}
