//! The arguments of `moue data`.

use super::values::{TrainingPrecision, image_size, score, setting};
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

#[derive(Args)]
pub struct AuditArgs {
    /// Dataset as downloaded: CSV or image folders, compressed or not
    pub path: PathBuf,
    /// Number of folds: each part of the images is predicted by a network that is trained on the others
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=100))]
    pub folds: u16,
    /// Preset name (see `moue arch list`) or TOML file of the network to train [default: small]
    #[arg(long)]
    pub arch: Option<String>,
    /// Number of passes over the training images of each fold [default: the architecture file's]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Train nothing and predict with this model, which must not have seen the images
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["arch", "epochs", "folds", "set", "precision"])]
    pub model: Option<PathBuf>,
    /// Split whose labels are audited: train, validation, test, a name in the dataset, or all. Near-duplicates and pictures are
    /// examined in all splits [default: train, with the images that would be set aside for validation]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Apply the corrections of an earlier audit first; the page shows them
    #[arg(long, value_name = "FILE")]
    pub fixes: Option<PathBuf>,
    /// Folder for the results [default: runs/audit, or runs/audit-N if there is another audit]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Override an option of the architecture file, e.g. train.batch_size=32; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Precision of the trainings [default: the architecture file's]
    #[arg(long, value_enum)]
    pub precision: Option<TrainingPrecision>,
    #[command(flatten)]
    pub split_of: SplitArgs,
}

#[derive(Args)]
pub struct SimilarArgs {
    /// Dataset as downloaded: CSV or image folders, compressed or not
    pub path: PathBuf,
    /// Image file with a face that fills it, or an image of the dataset: its row number, its path or the end of its path
    pub image: PathBuf,
    /// Model whose features are compared: a file, run folder, or bundled model (`default`, `fer2013`, `tiny`)
    #[arg(long, value_name = "MODEL", default_value = "default")]
    pub model: PathBuf,
    /// Number of similar images
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
    /// Also write the images to this page: .html
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub split_of: SplitArgs,
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
    /// Find wrong labels, conflicting and leaking near-duplicates, outliers and poor pictures
    #[command(
        after_long_help = "Each label is compared with the prediction of a network that was trained without this image and its\n\
        near-duplicates (confident learning, Northcutt et al. 2021). The folder of results contains issues.csv (worst\n\
        first), scores.csv (every image), audit.json, and audit.html, a page to keep, relabel or drop images and to\n\
        export these decisions as fixes.csv. Repeat the command to continue after an interruption.\n\n\
        Examples:\n  moue data audit archive.zip\n  moue data audit my-photos/ --arch small --epochs 30 --out audit/\n  \
        moue data audit fer2013.csv.gz --split all"
    )]
    Audit(AuditArgs),
    /// Find the images of a dataset that are most similar to an image, by the features of a model
    #[command(
        after_long_help = "Features are what a network computes before its last layer; similar ones have a cosine similarity near 1.\n\
        Copies of the image come first, then images that look the same to the model.\n\n\
        Examples:\n  moue data similar fer2013.csv 12\n  \
        moue data similar fer2013.csv face.png --model tiny --count 20 --out similar.html"
    )]
    Similar(SimilarArgs),
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
