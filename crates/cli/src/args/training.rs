//! The arguments of the commands that train.

use super::values::{
    BatchSize, MetricChoice, SamplerChoice, TrainingPrecision, batch_size, duration, image_size, local_address, memory,
    setting,
};
use super::{DeviceArgs, SplitArgs};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args)]
pub struct TrainArgs {
    /// Preset name (see `moue arch list`) or TOML file [default: small]
    pub arch: Option<String>,
    /// Dataset as downloaded: CSV or image folders, compressed or not [default: synthetic faces]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// CSV of people's votes on the images, such as FER+'s fer2013new.csv, to train on instead of the labels; the
    /// options `data.targets`, `data.vote_mode`, `data.vote_weight` and `data.contempt` say how
    #[arg(long, value_name = "FILE")]
    pub votes: Option<PathBuf>,
    /// CSV of corrections to apply to labels and images, as the page of `moue data audit` exports them
    #[arg(long, value_name = "FILE")]
    pub fixes: Option<PathBuf>,
    /// Run folder to create [default: runs/ARCH-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Number of passes over the training images [default: the architecture file's]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Set the number of epochs so that everything takes this time, e.g. 90s, 20m or 2h; an epoch is measured first
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "epochs")]
    pub time: Option<Duration>,
    /// Number of images per training step; auto is the fastest that fits --memory [default: the architecture file's]
    #[arg(long, value_name = "N|auto", value_parser = batch_size)]
    pub batch_size: Option<BatchSize>,
    /// Memory of the process for --batch-size auto, e.g. 2G or 500M [default: half of the free memory]
    #[arg(long, value_name = "SIZE", value_parser = memory, requires = "batch_size")]
    pub memory: Option<u64>,
    /// Resize images to this height and width in pixels, e.g. 48x48 [default: the architecture file's]
    #[arg(long, value_name = "HxW", value_parser = image_size)]
    pub image_size: Option<[usize; 2]>,
    /// Maximum learning rate of the schedule [default: the architecture file's]
    #[arg(long, value_name = "X")]
    pub learning_rate: Option<f32>,
    /// Precision of the training; the run folder records it [default: the architecture file's]
    #[arg(long, value_enum)]
    pub precision: Option<TrainingPrecision>,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Initialize the weights from this model; the head is initialized anew for other classes, and missing teachers of
    /// the architecture file are not used
    #[arg(long, value_name = "MODEL")]
    pub init: Option<PathBuf>,
    /// Train no model: raise the learning rate over a few hundred steps, plot the loss, and suggest one (range test)
    #[arg(long, conflicts_with_all = ["time", "resume"])]
    pub find_learning_rate: bool,
    /// Train without the teachers of the architecture file
    #[arg(long)]
    pub no_teachers: bool,
    /// Override an option of the architecture file, e.g. dropout.rate=0.5; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Resume an interrupted run; the model is bit-identical to that of an uninterrupted run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["arch", "votes", "fixes", "out", "epochs", "time", "batch_size", "memory", "image_size", "learning_rate", "precision", "init", "no_teachers", "set", "seed"])]
    pub resume: Option<PathBuf>,
    /// Serve a page with the curves of this run, its last confusion matrix and predictions, until the training ends; the
    /// address is a port or IP:PORT of this machine [default without a value: a free port]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0", value_parser = local_address, conflicts_with = "find_learning_rate")]
    pub watch: Option<SocketAddr>,
    #[command(flatten)]
    pub split_of: SplitArgs,
}

#[derive(Args)]
pub struct WatchArgs {
    /// Folders of runs, finished or not, or folders that contain runs
    #[arg(required = true, value_name = "DIR")]
    pub runs: Vec<PathBuf>,
    /// Address to serve the page on: a port or IP:PORT of this machine [default: a free port]
    #[arg(long, value_name = "ADDRESS", value_parser = local_address)]
    pub addr: Option<SocketAddr>,
    /// Write the page as one file (.html) instead, and exit
    #[arg(long, value_name = "FILE", conflicts_with = "addr")]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct CompareArgs {
    /// Preset names (see `moue arch list`), TOML files, or folders of finished runs
    #[arg(required = true, value_name = "ARCH")]
    pub archs: Vec<String>,
    /// Dataset as downloaded: CSV or image folders, compressed or not [default: that of a finished run, else synthetic
    /// faces]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// CSV of people's votes on the images, for every architecture file, as for `train`
    #[arg(long, value_name = "FILE")]
    pub votes: Option<PathBuf>,
    /// CSV of corrections to apply to labels and images, for every architecture file, as for `train`
    #[arg(long, value_name = "FILE")]
    pub fixes: Option<PathBuf>,
    /// Folder for the runs and the report [default: runs/compare, or runs/compare-N if there is another comparison]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Train with each of these values; can be repeated to form a grid
    #[arg(long, value_name = "KEY=A,B,C")]
    pub vary: Vec<String>,
    /// Override an option in every architecture file, e.g. dropout.rate=0.5; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Train without the teachers of the architecture files
    #[arg(long)]
    pub no_teachers: bool,
    /// Number of seeds to train each network with
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Number of passes over the training images in every run [default: the architecture file's]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Precision of every training [default: the architecture file's]
    #[arg(long, value_enum)]
    pub precision: Option<TrainingPrecision>,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub split_of: SplitArgs,
}

#[derive(Args)]
pub struct TuneArgs {
    /// Search space (`tutorial`, or a TOML file with a table `[space]`), or a preset or architecture file whose training options
    /// are searched
    #[arg(default_value = "tutorial")]
    pub space: String,
    /// Dataset as downloaded: CSV or image folders, compressed or not [default: synthetic faces]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// CSV of people's votes on the images, as for `train`
    #[arg(long, value_name = "FILE")]
    pub votes: Option<PathBuf>,
    /// Folder for the trials and the report [default: runs/tune, or runs/tune-N if there is another search]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Time for everything, e.g. 90s, 30m or 2h, including the trainings of the best configuration [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "trials")]
    pub budget: Option<Duration>,
    /// Number of trials instead of a budget; the table of trials is then equal for any --workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub trials: Option<u32>,
    /// Metric on the validation split that selects the best trial
    #[arg(long, value_enum, default_value = "accuracy")]
    pub metric: MetricChoice,
    /// How configurations are proposed
    #[arg(long, value_enum, default_value = "tpe")]
    pub sampler: SamplerChoice,
    /// Train every trial to its end
    #[arg(long)]
    pub no_early_stopping: bool,
    /// Number of passes over the training images in a whole training [default: the space's, or fewer where the budget
    /// requires it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub epochs: Option<u32>,
    /// Number of trials to train at the same time; they share the threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,
    /// Number of seeds to train the best configuration with
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub seeds: u16,
    /// Also evaluate the best configuration on the test split, once
    #[arg(long)]
    pub test: bool,
    /// Override an option in every trial, e.g. train.optimizer=sgd; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Train without the teachers of the architecture file
    #[arg(long)]
    pub no_teachers: bool,
    /// Precision of every training [default: the architecture file's]
    #[arg(long, value_enum)]
    pub precision: Option<TrainingPrecision>,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub split_of: SplitArgs,
}
