//! Inputs: files, folders, glob patterns and standard input, listed while they are predicted.

use crate::image::{ImageError, is_image, read_image_file, read_opened_image};
use crate::message::{at_path, io_reason};
use crate::walk::{Item, walk};
use std::io;
use std::path::{Path, PathBuf};

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
    /// A file, folder or pattern that gives no picture; its prediction has an error.
    Unreadable {
        /// Name in predictions.
        name: String,
        /// The error.
        reason: String,
    },
}

impl Input {
    /// Name in predictions. Bytes of a path that are not UTF-8 are replaced by U+FFFD.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes { name, .. } | Self::Unreadable { name, .. } => name.clone(),
        }
    }

    fn unreadable(path: &Path, reason: impl Into<String>) -> Self {
        Self::Unreadable { name: path.display().to_string(), reason: reason.into() }
    }
}

/// What an argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// An input.
    Input(Input),
    /// Something else in a folder: another file, a pipe or device, or a link that leads nowhere or
    /// to a folder that contains it.
    Other(PathBuf),
}

/// The inputs of an argument: `-` for standard input, a file, the image files of a folder in order
/// of their names (including subfolders, if `recursive`), or those that a glob pattern
/// (`photos/*.jpg`, `**/*.png`) matches. What cannot be read is an input whose prediction has an
/// error, and so is a folder or pattern without images.
///
/// Folders are read one at a time, when their turn comes: the memory in use is that of the names in
/// the current folder and the folders above it.
pub fn expand(argument: impl Into<PathBuf>, recursive: bool) -> Box<dyn Iterator<Item = Listed>> {
    let argument = argument.into();
    let single = |input| Box::new(std::iter::once(Listed::Input(input)));
    if argument == Path::new("-") {
        return Box::new(std::iter::once_with(|| Listed::Input(standard_input())));
    }
    match std::fs::metadata(&argument) {
        Ok(found) if found.is_dir() => Box::new(folder(argument, recursive)),
        Ok(_) => single(Input::File(argument)),
        Err(_) if argument.to_string_lossy().contains(['*', '?', '[']) => match glob::glob(&argument.to_string_lossy())
        {
            Ok(paths) => Box::new(or_unreadable(argument, "no file matches this pattern", paths.filter_map(matched))),
            Err(error) => single(Input::unreadable(&argument, format!("not a valid glob pattern: {error}"))),
        },
        Err(error) => single(Input::unreadable(&argument, io_reason(&at_path(&argument, error)))),
    }
}

fn standard_input() -> Input {
    let name = "-".to_owned();
    match read_image_file(io::stdin()) {
        Ok(bytes) => Input::Bytes { name, bytes },
        Err(error) => Input::Unreadable { name, reason: error.to_string() },
    }
}

fn folder(folder: PathBuf, recursive: bool) -> impl Iterator<Item = Listed> {
    let depth = if recursive { usize::MAX } else { 1 };
    let none = match recursive {
        true => "there are no images in this folder or its subfolders",
        false => "there are no images in this folder; use --recursive to include subfolders",
    };
    let items = walk(&folder, depth).map(found);
    or_unreadable(folder, none, items)
}

/// What is listed, and an input with the error `none` where that contains no input.
fn or_unreadable(
    argument: PathBuf,
    none: &'static str,
    mut listed: impl Iterator<Item = Listed>,
) -> impl Iterator<Item = Listed> {
    let mut is_empty = true;
    std::iter::from_fn(move || {
        let next = listed.next();
        is_empty &= !matches!(next, Some(Listed::Input(_)));
        let ends_empty = next.is_none() && std::mem::take(&mut is_empty);
        next.or_else(|| ends_empty.then(|| Listed::Input(Input::unreadable(&argument, none))))
    })
}

/// What an item of a folder is.
fn found(item: Item) -> Listed {
    match item {
        Item::File(path) if is_picture(&path) => Listed::Input(Input::File(path)),
        Item::Unreadable(path, error) if is_picture(&path) || !path.is_symlink() => {
            Listed::Input(Input::unreadable(&path, of_link(&path, io_reason(&error))))
        }
        Item::File(path) | Item::Other(path) | Item::Unreadable(path, _) => Listed::Other(path),
    }
}

/// What a pattern matches; nothing for a folder.
fn matched(path: glob::GlobResult) -> Option<Listed> {
    let path = match path {
        Ok(path) => path,
        Err(error) => return Some(Listed::Input(Input::unreadable(error.path(), io_reason(error.error())))),
    };
    Some(match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => return None,
        Ok(found) if found.is_file() => Listed::Input(Input::File(path)),
        Ok(_) => Listed::Other(path),
        Err(error) => Listed::Input(Input::unreadable(&path, of_link(&path, io_reason(&error)))),
    })
}

fn of_link(path: &Path, reason: String) -> String {
    if path.is_symlink() { format!("the link leads to no file: {reason}") } else { reason }
}

/// Whether a file is named like an image. `._photo.jpg` contains what macOS stores about `photo.jpg`.
fn is_picture(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        is_image(&name) && !name.starts_with("._")
    })
}

/// The bytes of an input's file; the error does not suggest another name, because the file was
/// listed.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    read_opened_image(std::fs::File::open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last part of each input's name and its error, and the names of other files.
    fn listed(argument: &Path, recursive: bool) -> (Vec<(String, String)>, Vec<String>) {
        let last = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let (mut inputs, mut others) = (Vec::new(), Vec::new());
        for listed in expand(argument, recursive) {
            match listed {
                Listed::Input(Input::Unreadable { name, reason }) => inputs.push((last(Path::new(&name)), reason)),
                Listed::Input(input) => inputs.push((last(Path::new(&input.name())), String::new())),
                Listed::Other(path) => others.push(last(&path)),
            }
        }
        (inputs, others)
    }

    fn names(argument: &Path, recursive: bool) -> Vec<String> {
        let (inputs, _) = listed(argument, recursive);
        assert!(inputs.iter().all(|(_, error)| error.is_empty()), "{inputs:?}");
        inputs.into_iter().map(|(name, _)| name).collect()
    }

    fn error(argument: &Path) -> String {
        let (inputs, _) = listed(argument, false);
        assert_eq!(inputs.len(), 1, "{inputs:?}");
        inputs[0].1.clone()
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
        assert_eq!(names(place.path(), false), ["[odd].png", "a.png", "b.JPG"]);
        assert_eq!(names(place.path(), true), ["[odd].png", "a.png", "b.JPG", "c.webp"]);
        [".DS_Store", "._a.png", "Thumbs.db", "desktop.ini"].into_iter().for_each(put);
        let (_, others) = listed(place.path(), false);
        assert_eq!(others, [".DS_Store", "._a.png", "Thumbs.db", "desktop.ini", "notes.txt"]);
        assert_eq!(names(&place.path().join("[ab].*"), false), ["a.png", "b.JPG"]);
        assert_eq!(names(&place.path().join("**/*.webp"), false), ["c.webp"]);
        // A file whose name looks like a pattern is a file.
        assert_eq!(names(&place.path().join("[odd].png"), false), ["[odd].png"]);
        assert!(error(&place.path().join("c.png")).contains("did you mean"));
        assert_eq!(error(&place.path().join("*.gif")), "no file matches this pattern");
        assert!(error(&place.path().join("***")).contains("not a valid glob pattern"));
        std::fs::create_dir(place.path().join("empty")).unwrap();
        assert!(error(&place.path().join("empty")).contains("--recursive"));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_or_back_are_listed_once() {
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a.png"), b"x").unwrap();
        for (target, link) in
            [(".", "back"), ("none", "lost.png"), ("none", "lost"), ("self", "self"), ("a.png", "b.png")]
        {
            symlink(target, place.path().join(link)).unwrap();
        }
        let (inputs, others) = listed(place.path(), true);
        assert_eq!(others, ["back", "lost", "self"]);
        let names: Vec<&str> = inputs.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a.png", "b.png", "lost.png"]);
        assert_eq!(inputs[2].1, "the link leads to no file: No such file or directory");
        assert_eq!(error(&place.path().join("l*.png")), inputs[2].1);
    }
}
