//! Why a data set cannot be used.

use std::path::PathBuf;

/// Why a data set cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A damaged archive.
    #[error("{} is damaged or not what its first bytes say: {reason}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing in it looks like a data set.
    #[error(
        "{} holds no data set: {found}.\n\
         Expected a CSV with the columns emotion, pixels and (if it is split) Usage, or images in folders named \
         after their classes (angry/1.jpg, train/angry/1.jpg, …), as a folder, .zip, .tar.gz or .csv.gz", .path.display()
    )]
    Unrecognized {
        /// File or folder.
        path: PathBuf,
        /// What was there instead.
        found: String,
    },
    /// So many items are broken that it is probably the wrong file.
    #[error("{}: {count} of {total} items cannot be used, for instance\n  {examples}", .path.display())]
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
    #[error("{} has only the class `{class}`; a classifier needs at least two", .path.display())]
    OneClass {
        /// File or folder.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// An image of [`Dataset::from_images`](super::Dataset::from_images) does not fit the others.
    #[error("image `{id}` cannot be used: {reason}")]
    Image {
        /// Its id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The source has no such split.
    #[error("there is no split `{name}` here; there are {available}")]
    NoSplit {
        /// What was asked for.
        name: String,
        /// What there is.
        available: String,
    },
    /// `--official-split` on files that are not numbered as Kaggle's.
    #[error(
        "the official split cannot be rebuilt: {0}; it needs Kaggle's numbered files (images/train/angry/123.jpg …), \
         where the number is the row in fer2013.csv"
    )]
    NotNumbered(String),
}
