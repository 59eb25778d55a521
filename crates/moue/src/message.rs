//! Parts of error messages: causes of errors, and names similar to a wrong one.
//!
//! All messages of the libraries and of the front ends take them from here, so that every mistake
//! of one kind is reported in the same way.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Similarity (Jaro 1989) from which a name is suggested; 1 is equal.
const SIMILAR: f64 = 0.8;

/// The known name that is most similar to `name`, if one is similar. A name without `.` and `/` is
/// compared with the last part of known names as well: `batch_size` with `train.batch_size`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let is_separator = |c| c == '.' || c == '/';
    let similarity = |known: &str| {
        let known = known.to_lowercase();
        let part = known.rsplit(is_separator).next().filter(|_| !name.contains(is_separator));
        strsim::jaro(&name, &known).max(part.map_or(0.0, |part| strsim::jaro(&name, part)))
    };
    let similar = known.into_iter().map(|known| (known, similarity(known))).filter(|(_, own)| *own >= SIMILAR);
    similar.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(known, _)| known)
}

/// An existing path that is most similar to a missing one: it differs in the first part that does
/// not exist, and ends there. Of numbered files, none is similar to another.
#[must_use]
pub fn nearest_path(path: &Path) -> Option<String> {
    let mut known = PathBuf::new();
    for part in path.components() {
        let next = known.join(part);
        if next.exists() {
            known = next;
            continue;
        }
        let folder = if known.as_os_str().is_empty() { Path::new(".") } else { &known };
        let entries = std::fs::read_dir(folder).ok()?.flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        let part = part.as_os_str().to_string_lossy();
        let without_digits = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
        let others = names.iter().map(String::as_str).filter(|name| without_digits(name) != without_digits(&part));
        let name = nearest(&part, others)?;
        return Some(known.join(name).display().to_string());
    }
    None
}

/// The name or path that is most similar to `name`, which is neither one of `known` nor an existing
/// path.
#[must_use]
pub fn nearest_name_or_path(name: &str, known: &[&str]) -> Option<String> {
    let path = nearest_path(Path::new(name));
    // The path ends at its wrong part, and may be much shorter than the name.
    let similar = nearest(name, known.iter().copied().chain(path.as_deref())).map(str::to_owned);
    similar.or(path)
}

/// The end of a message that suggests a name; empty without one.
#[must_use]
pub fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The text of an I/O error, without the number that the operating system gives it.
#[must_use]
pub fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.rfind(" (os error ").map_or(text.as_str(), |end| &text[..end]).to_owned()
}

/// The error of an operation on `path`; where `path` does not exist, it suggests a similar one.
#[must_use]
pub fn at_path(path: &Path, error: io::Error) -> io::Error {
    match nearest_path(path).filter(|_| error.kind() == io::ErrorKind::NotFound) {
        Some(similar) => io::Error::new(error.kind(), io_reason(&error) + &did_you_mean(Some(&similar))),
        None => error,
    }
}

/// A text for a terminal: control characters of file names, which could move the cursor or change
/// colors, are escaped. Line breaks and tabs are kept.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// A name for a line of text: as [`printable`], with line breaks and tabs escaped.
#[must_use]
pub fn on_one_line(name: &str) -> Cow<'_, str> {
    escaped(name, char::is_control)
}

fn escaped(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unwanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for c in text.chars() {
        if unwanted(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// An error and its causes on one line, without repetitions.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.downcast_ref().map_or_else(|| error.to_string(), io_reason);
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let keys = ["train.epochs", "train.batch_size", "data.train_fraction", "pairs"];
        assert_eq!(nearest("train.batchsize", keys), Some("train.batch_size"));
        assert_eq!(nearest("batch_size", keys), Some("train.batch_size"));
        assert_eq!(nearest("Epoch", keys), Some("train.epochs"));
        assert_eq!(nearest("model-6", ["small", "seed/model-5", "seed/model-6"]), Some("seed/model-6"));
        assert_eq!(nearest("nonsense", keys), None);
        assert_eq!(nearest("", keys), None);
        // The extension of a file is no name of its own.
        assert_eq!(nearest("a.csv", ["archive.csv"]), None);
    }

    #[test]
    fn a_missing_path_is_suggested_up_to_its_wrong_part() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("runs/small-1")).unwrap();
        std::fs::write(place.path().join("fer2013.csv"), "").unwrap();
        let suggested = |name: &str| nearest_path(&place.path().join(name));
        let at = |name: &str| Some(place.path().join(name).display().to_string());
        assert_eq!(suggested("fer2013.cvs"), at("fer2013.csv"));
        assert_eq!(suggested("runs/smal-1/checkpoints/last.safetensors"), at("runs/small-1"));
        assert_eq!(suggested("photos"), None);
        std::fs::write(place.path().join("0001.png"), "").unwrap();
        assert_eq!(suggested("0002.png"), None);
        assert_eq!(suggested("0001.pgn"), at("0001.png"));
        assert_eq!(nearest_name_or_path("tny", &["tiny"]).as_deref(), Some("tiny"));
        let deep = place.path().join("runs/smal-1/model.safetensors");
        assert_eq!(nearest_name_or_path(&deep.to_string_lossy(), &["tiny"]), at("runs/small-1"));
        assert_eq!(suggested("fer2013.csv"), None);
        let error = std::fs::read(place.path().join("fer2013.cvs")).unwrap_err();
        let text = with_causes(&at_path(&place.path().join("fer2013.cvs"), error));
        assert!(text.ends_with(&format!("; did you mean `{}`?", at("fer2013.csv").unwrap())), "{text}");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[2J\rb\u{9b}\n\tc é"), "a\\u{1b}[2J\\rb\\u{9b}\n\tc é");
        assert_eq!(on_one_line("a\nb\tc"), "a\\nb\\tc");
        assert!(matches!(printable("photo é.jpg"), Cow::Borrowed(_)));
    }

    #[test]
    fn causes_are_not_repeated_and_have_no_error_numbers() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read x: {source}")]
        struct Outer {
            source: io::Error,
        }
        let missing = || io::Error::from_raw_os_error(2);
        assert!(!with_causes(&missing()).contains("os error"));
        let said = with_causes(&Outer { source: io::Error::other("it is odd") });
        assert_eq!(said, "cannot read x: it is odd");
    }
}
