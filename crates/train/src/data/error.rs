//! Errors of loading a data set.

use moue::message::did_you_mean;
use std::path::PathBuf;

/// The layouts of a data set.
const LAYOUTS: &str = "\
    Expected images in folders named after their classes, with or without split folders,\n  \
      angry/1.jpg\n  \
      happy/2.jpg\n  \
      train/angry/1.jpg\n\
    or a CSV with the columns emotion, pixels and (if it is split) Usage; as a folder, .zip, .tar.gz, .csv or .csv.gz";

/// Errors of loading a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The archive is damaged.
    #[error("cannot read the archive {}: {reason}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The source contains no data set.
    #[error("{} contains no data set: {found}.\n{LAYOUTS}", .path.display())]
    Unrecognized {
        /// File or folder.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// Too many items cannot be read: it is probably the wrong file.
    #[error("{}: {count} of {total} items cannot be read, for example\n  {examples}", .path.display())]
    TooManyBroken {
        /// File or folder.
        path: PathBuf,
        /// Broken items.
        count: usize,
        /// All items.
        total: usize,
        /// The first of them.
        examples: String,
    },
    /// Fewer than two classes.
    #[error(
        "{} has only the class `{class}`, but a classifier needs at least two classes.\n{LAYOUTS}", .path.display()
    )]
    OneClass {
        /// File or folder.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// An image of [`Dataset::from_images`](super::Dataset::from_images) differs from the others in
    /// its shape, or has an unknown class.
    #[error("image `{id}` cannot be used: {reason}")]
    Image {
        /// Its id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Options of votes that do not fit together.
    #[error("{0}")]
    VoteOptions(String),
    /// A file of votes is not valid, or does not fit the data.
    #[error("cannot use the votes {}: {reason}", .path.display())]
    Votes {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of fixes is not valid, or does not fit the data.
    #[error("cannot use the fixes {}: {reason}", .path.display())]
    Fixes {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The source has no such split.
    #[error("this data has no split `{name}`; select one of its splits: {available}{}", did_you_mean(.similar.as_deref()))]
    NoSplit {
        /// The given name.
        name: String,
        /// The available splits.
        available: String,
        /// The nearest name of a split.
        similar: Option<String>,
    },
    /// `--official-split` on files that do not have Kaggle's numbers.
    #[error(
        "cannot restore the official split: {0}; it requires Kaggle's numbered files (images/train/angry/123.jpg …), \
         where the number is the row in fer2013.csv"
    )]
    NotNumbered(String),
}
