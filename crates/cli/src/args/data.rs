//! The arguments of `moue data`.

use super::values::{image_size, score};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// How Kaggle's numbered files are split.
#[derive(Args)]
pub struct SplitArgs {
    /// Use FER2013's official split for Kaggle's numbered files (the default, unless a model was trained with --as-given), and refuse data without one
    #[arg(long, conflicts_with = "as_given")]
    pub official_split: bool,
    /// Use Kaggle's numbered files in their folders, which are a random split
    #[arg(long)]
    pub as_given: bool,
}

#[derive(Args)]
pub struct FacesArgs {
    /// Folder of photos, searched recursively
    pub photos: PathBuf,
    /// Folder to write the faces to; created if missing
    #[arg(long, value_name = "FACES")]
    pub out: PathBuf,
    /// Height and width of a face in pixels: those of the input of the network to train
    #[arg(long, value_name = "HxW", default_value = "48x48", value_parser = image_size)]
    pub image_size: [usize; 2],
    /// Write color images, for networks with an input of 3 channels
    #[arg(long)]
    pub color: bool,
    /// Minimum size of a face, √(width × height), in pixels of the photo [default: as for `predict`]
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(8..=100_000))]
    pub min_face: Option<u32>,
    /// Minimum detector score of a face, 0–1 [default: 0.7]
    #[arg(long, value_name = "X", value_parser = score)]
    pub min_score: Option<f32>,
    /// Face detector in place of the bundled one: a YuNet model (.safetensors) written by `convert_yunet.py`
    #[arg(long, value_name = "FILE")]
    pub detector: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// Count images per class and split, blank images, and exact and near duplicates
    #[command(
        after_long_help = "Examples:\n  moue data info fer2013.csv.gz\n  moue data info archive.zip --as-given --json\n  \
        moue data info fer2013.csv.gz --votes fer2013new.csv"
    )]
    Info {
        /// Dataset as downloaded
        path: PathBuf,
        /// Compare the labels with people's votes on the images: a CSV such as FER+'s fer2013new.csv
        #[arg(long, value_name = "FILE")]
        votes: Option<PathBuf>,
        #[command(flatten)]
        split_of: SplitArgs,
    },
    /// Write a table with one row per image: path or row, label, split, size, mean, standard deviation, hash and
    /// near-duplicates
    #[command(
        after_long_help = "Near-duplicates of each other have the same number in the column near_duplicates.\n\n\
        Example:\n  moue data table fer2013.csv.gz --out fer2013-table.csv"
    )]
    Table {
        /// Dataset as downloaded
        path: PathBuf,
        /// File to write: .csv, or .parquet in a build with `--features parquet`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        split_of: SplitArgs,
    },
    /// Preview a dataset: sample images, mean image and count of each class, and augmented images
    #[command(after_long_help = "Examples:\n  moue data preview archive.zip --out preview.png\n  \
        moue data preview fer2013.csv.gz --out preview.html --arch my-net.toml --seed 3")]
    Preview {
        /// Dataset as downloaded [default: synthetic faces]
        path: Option<PathBuf>,
        /// File to write: .png or .html
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Preset name or TOML file whose augmentation is shown [default: small]
        #[arg(long)]
        arch: Option<String>,
        #[command(flatten)]
        split_of: SplitArgs,
    },
    /// Cut the faces out of photos, exactly as `predict` does, to train on them
    #[command(
        after_long_help = "Folders below PHOTOS are kept, so class folders stay class folders. FACES/faces.csv lists the photo,\n\
        box, landmarks and score of each face, photos without a face, and photos that could not be read.\n\
        The same command resumes after an interruption. Exit codes: 0 success, 1 no photo could be read,\n\
        3 some photos could not be read.\n\n\
        Examples:\n  moue data faces my-photos/ --out my-faces/\n  \
        moue train default --data my-faces/ --init default"
    )]
    Faces(FacesArgs),
    /// Generate synthetic faces (drawings) as a dataset with class folders
    #[command(after_long_help = "Example:\n  moue data draw faces/ --count 700")]
    Draw {
        /// Folder to write; created if missing, must be empty
        dir: PathBuf,
        /// Number of faces, distributed over classes and splits
        #[arg(long, default_value_t = 700, value_name = "N", value_parser = clap::value_parser!(u32).range(21..=1_000_000))]
        count: u32,
    },
}
