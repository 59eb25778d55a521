//! The command line as typed.

mod data;
mod device;
mod training;
mod values;

pub use data::{AuditArgs, DataCommand, FacesArgs, SimilarArgs, SplitArgs};
pub use device::DeviceArgs;
pub use training::{CompareArgs, TrainArgs, TuneArgs, WatchArgs};
pub use values::{BatchSize, CorruptionChoice, PredictionPrecision, TrainingPrecision, TtaChoice};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use values::{score, seconds, strength};

/// Train, evaluate, explain and serve classifiers for facial expressions.
///
/// An expression is an appearance: it does not determine what a person feels.
#[derive(Parser)]
#[command(
    name = "moue",
    version,
    max_term_width = 100,
    after_long_help = "Examples:\n  moue predict photo.jpg\n  moue train --data fer2013.csv.gz\n  \
        moue evaluate runs/small-1/model.safetensors --data fer2013.csv.gz"
)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// The heading of [`Common`] in help texts.
const GLOBAL: &str = "Global options";

/// Options that every command accepts.
#[derive(Args, Clone)]
pub struct Common {
    /// Print the result as JSON on stdout; progress and logs go to stderr
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Print only results and errors
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    /// Number of CPU threads [default: all]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Seed for all random numbers [default: the architecture file's, else 0]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "N")]
    pub seed: Option<u64>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Train a network and write a run folder
    #[command(
        after_long_help = "Examples:\n  moue train\n  moue train seed/kaggle-notebook --data fer2013.csv.gz --epochs 30\n  \
        moue train default --data my-photos/ --init default --epochs 20\n  \
        moue train --data fer2013.csv --votes fer2013new.csv --set data.targets=mixed\n  moue train --watch --epochs 30\n  moue train --resume runs/small-1"
    )]
    Train(TrainArgs),
    /// Show the curves of runs in the browser, while they train or afterwards
    #[command(
        after_long_help = "The page reads the files of the runs each second while it is visible; several runs are drawn into the same\n\
        charts. It can only be opened on this machine. Ctrl-C ends the command.\n\n\
        Examples:\n  moue watch runs/small-1 --out curves.html\n  moue watch runs --addr 127.0.0.1:8080"
    )]
    Watch(WatchArgs),
    /// Compare several networks trained on the same data
    #[command(
        after_long_help = "KEY is an option of the architecture file (train.epochs, augment.flip, model.layers.3.rate), an\n\
        option of all layers of one kind (dropout.rate, conv2d.filters), or one of\n  \
        image_size=48x48,96x96   height and width of the input, in pixels\n  \
        pairs=2,3,4              number of convolution-pooling pairs\n  \
        dense_layers=0,1,2       number of hidden dense layers\n\
        Several --vary options form a grid. Finished runs are reused: repeat the command to resume.\n\n\
        Examples:\n  moue compare seed/model-6 seed/model-8 --data fer2013.csv.gz\n  \
        moue compare seed/model-9 --vary dropout.rate=0.1,0.3,0.5 --vary train.batch_size=32,128\n  \
        moue compare small --vary data.train_fraction=0.25,0.5,1 --seeds 3"
    )]
    Compare(CompareArgs),
    /// Search for a good network and training, under a budget of time or trials
    #[command(
        after_long_help = "A search space is a TOML file: [space] has the parameters, the rest is an architecture file in which \"$name\" is\n\
        the value of a parameter. With a preset or an architecture file, training options are searched for that network.\n\
        Weak trials are stopped early. Trials are compared on the validation split; the best configuration is trained\n\
        again with other seeds. Repeat the command to continue after an interruption.\n\n\
        Examples:\n  moue tune --budget 2m\n  moue tune tutorial --data fer2013.csv.gz --budget 1h\n  \
        moue tune my-space.toml --data my-photos/ --trials 40 --workers 4 --metric macro_f1\n  \
        moue train runs/tune/best.toml --data fer2013.csv.gz --epochs 60"
    )]
    Tune(TuneArgs),
    /// Evaluate a model on a dataset
    #[command(after_long_help = "Examples:\n  moue evaluate runs/small-1/model.safetensors\n  \
        moue evaluate --data archive.zip --split validation --tta --report out/\n  \
        moue evaluate model.safetensors --data fer2013.csv --compare default --corruptions\n  \
        moue evaluate --data fer2013.csv --split PublicTest --votes fer2013new.csv")]
    Evaluate(EvaluateArgs),
    /// Export a model to safetensors or ONNX, optionally with lower precision
    #[command(
        after_long_help = "f16 halves the file size; int8 quarters it, with one scale per filter. Biases and batch-normalization\n\
        statistics remain f32. A file contains the ranges of activations that int8 predictions need: those of the model,\n\
        or of 512 training images of --data. An int8 ONNX file quantizes weights and activations (QDQ).\n\
        After the export, the model and the file predict the same images, and the differences are printed.\n\n\
        Examples:\n  moue export default.safetensors\n  \
        moue export runs/small-1/model.safetensors small.safetensors --precision f16\n  \
        moue export runs/small-1 int8.safetensors --precision int8 --data fer2013.csv\n  \
        moue export default expressions.onnx\n  \
        moue export runs/small-1 balanced.safetensors --prior-adjustment 0.5",
        allow_missing_positional = true
    )]
    Export(ExportArgs),
    /// Predict facial expressions in photos, videos and camera streams
    #[command(
        after_long_help = "Predictions are printed in the order of the inputs, videos after photos. An image without a face\n\
        is not an error.\n\
        Exit code 3: some inputs could not be read; predictions for the others were printed.\n\n\
        Examples:\n  moue predict photo.jpg --annotate annotated/ --explain saliency/\n  \
        moue predict photos/ --recursive --out predictions.csv\n  \
        moue predict --model runs/small-1/model.safetensors --no-detect face.png\n  \
        moue predict clip.mp4 --every 5 --annotate annotated/ --timeline clip.html"
    )]
    Predict(PredictArgs),
    /// Serve predictions over HTTP
    #[command(
        after_long_help = "The web page at / runs the model in the browser. Clients POST an image file to /v1/predict;\n\
        the API is documented at /docs. Requests beyond a limit are rejected immediately: 413 (body too\n\
        large), 429 (queue full), 503 (timed out). SIGTERM and Ctrl-C shut down after running requests.\n\n\
        Examples:\n  moue serve\n  moue serve --addr 0.0.0.0:8080 --log json\n  \
        moue serve --model runs/small-1/model.safetensors --export page/\n  \
        curl --data-binary @photo.jpg http://127.0.0.1:8080/v1/predict"
    )]
    Serve(ServeArgs),
    /// Inspect datasets, or generate synthetic faces
    #[command(subcommand)]
    Data(DataCommand),
    /// List network architectures, or show one layer by layer
    #[command(subcommand)]
    Arch(ArchCommand),
    /// Measure the training and prediction speed of a network
    #[command(after_long_help = "The images are random noise in memory: decoding and augmentation are not measured.\n\
        MOUE_ISA=avx2 (or scalar) restricts the engine to a lower instruction set, MOUE_KERNELS selects the kernels of bf16.\n\n\
        Examples:\n  moue bench\n  moue bench bench/vgg --batch-size 64 --layers\n  \
        moue bench --precision bf16\n  moue bench my-net.toml --json --threads 1")]
    Bench(BenchArgs),
    /// Check this installation: hardware, ffmpeg, bundled models and a self-test prediction
    #[command(after_long_help = "Exit code 1: the self-test failed.\n\nExamples:\n  moue doctor\n  moue doctor --json")]
    Doctor,
    /// Print a completion script for a shell
    #[command(after_long_help = "zsh finds the script if `fpath+=~/.zfunc` precedes `compinit` in ~/.zshrc.\n\n\
        Examples:\n  moue completions bash > ~/.local/share/bash-completion/completions/moue\n  \
        moue completions zsh > ~/.zfunc/_moue\n  \
        moue completions fish > ~/.config/fish/completions/moue.fish\n  \
        moue completions powershell >> $PROFILE")]
    Completions {
        /// Shell to complete commands in
        shell: Shell,
    },
    /// Write man pages: moue.1 and one page per subcommand
    #[command(after_long_help = "Example:\n  moue man ~/.local/share/man/man1 && man moue-train")]
    Man {
        /// Folder to write; created if missing
        dir: PathBuf,
    },
    /// Print the licenses of moue and of all its dependencies
    #[command(after_long_help = "Example:\n  moue licenses | less")]
    Licenses,
}

#[derive(Args)]
pub struct EvaluateArgs {
    /// Model file, run folder, or bundled model (`default`, `fer2013`, `tiny`)
    #[arg(default_value = "default")]
    pub model: PathBuf,
    /// Dataset as downloaded [default: synthetic faces, if the model was trained on them]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Split to evaluate on: train, validation, test, or a name in the dataset such as PublicTest [default: test if
    /// there is one, else validation]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Use test-time augmentation: average the predictions for several views of each image [default without a value:
    /// flip]
    #[arg(long, value_name = "METHOD", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "flip")]
    pub tta: Option<TtaChoice>,
    /// Also compare the predictions with people's votes on the images, by FER+'s protocol: a CSV such as FER+'s
    /// fer2013new.csv
    #[arg(long, value_name = "FILE")]
    pub votes: Option<PathBuf>,
    /// CSV of corrections to apply to labels and images, as the page of `moue data audit` exports them
    #[arg(long, value_name = "FILE")]
    pub fixes: Option<PathBuf>,
    /// Compare with another model on the same images, with McNemar's test; can be repeated
    #[arg(long, value_name = "MODEL")]
    pub compare: Vec<PathBuf>,
    /// Also evaluate on corrupted images [default without a value: all]
    #[arg(long, value_name = "SET", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub corruptions: Option<CorruptionChoice>,
    /// Write evaluation.json and report.html, a page to explore the errors, to this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Write a model card in Markdown to this file
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// Number of training recipes that were compared on this split, to be stated in the model card
    #[arg(long, value_name = "N", requires = "card")]
    pub recipes: Option<usize>,
    /// Precision of the predictions, also for the models of --compare
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: PredictionPrecision,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub split_of: SplitArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line per face, and per input without one, for reading
    Table,
    /// One JSON object per line and input
    Json,
    /// One row per face, and per input without one, with a header
    Csv,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoredPrecision {
    /// 4 bytes per weight, exact
    F32,
    /// 2 bytes per weight
    F16,
    /// 1 byte per weight, and the ranges of activations, with which `--precision int8` predicts
    #[value(name = "int8", alias = "i8")]
    I8,
}

#[derive(Args)]
pub struct ExportArgs {
    /// Model file, run folder, or bundled model (`default`, `fer2013`, `tiny`)
    #[arg(default_value = "default")]
    pub model: PathBuf,
    /// File to write: .safetensors or .onnx
    pub file: PathBuf,
    /// Precision of the weights; an ONNX file is f32 or int8
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: StoredPrecision,
    /// Data whose training images give the ranges of activations, and whose validation images verify the file
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Number of images that the file and the model predict for comparison; without --data, of synthetic faces; 0 for none
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub verify: usize,
    /// Store fixed biases for rare classes with this strength τ in the file, as `model.prior_adjustment` does in a
    /// training; 0 removes them
    #[arg(long, value_name = "X", value_parser = strength)]
    pub prior_adjustment: Option<f32>,
}

#[derive(Args)]
pub struct PredictArgs {
    /// Images (PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI, ICO), videos, folders of images, glob patterns ('*.jpg'), or - for an
    /// image on stdin
    #[arg(required_unless_present = "webcam")]
    pub inputs: Vec<PathBuf>,
    /// Model file, run folder, or bundled model (`default`, `fer2013`, `tiny`)
    #[arg(long, value_name = "MODEL", default_value = "default")]
    pub model: PathBuf,
    /// Precision of the classifier; faces are detected in f32
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: PredictionPrecision,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Use test-time augmentation: average the predictions for several views of each face [default without a value:
    /// flip]
    #[arg(long, value_name = "METHOD", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "flip")]
    pub tta: Option<TtaChoice>,
    /// Skip face detection: treat each whole image as one face
    #[arg(long)]
    pub no_detect: bool,
    /// Search folders recursively
    #[arg(long, short)]
    pub recursive: bool,
    /// Predict the available part of a truncated image, with a warning; otherwise it is an error
    #[arg(long)]
    pub allow_truncated: bool,
    /// Minimum size of a detected face, √(width × height), in pixels of the image; smaller values search large images
    /// in more detail [default: 16 pixels where the image is scaled to 640 pixels, 1280 from 1920]
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(8..=100_000), conflicts_with = "no_detect")]
    pub min_face: Option<u32>,
    /// Face detector in place of the bundled one: a YuNet model (.safetensors) written by `convert_yunet.py`
    #[arg(long, value_name = "FILE", conflicts_with = "no_detect")]
    pub detector: Option<PathBuf>,
    /// Minimum detector score of a face, 0–1; higher values find fewer, more certain faces [default: 0.7]
    #[arg(long, value_name = "X", value_parser = score, conflicts_with = "no_detect")]
    pub min_score: Option<f32>,
    /// Write each image or video to this folder, annotated with boxes, labels and probabilities
    #[arg(long, value_name = "DIR")]
    pub annotate: Option<PathBuf>,
    /// Also draw the eyes, the nose and the corners of the mouth into annotated images
    #[arg(long, requires = "annotate")]
    pub landmarks: bool,
    /// Write each face to this folder, overlaid with a saliency map of its prediction
    #[arg(long, value_name = "DIR")]
    pub explain: Option<PathBuf>,
    /// Method that computes the saliency map
    #[arg(long, value_enum, default_value = "grad-cam", requires = "explain")]
    pub explain_method: ExplainMethod,
    /// Output format of the predictions [default: by the extension of --out (.csv, .json, .jsonl), else table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Write the predictions to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// List the files of folders that are not predicted
    #[arg(long, short)]
    pub verbose: bool,
    /// Predict every N-th frame of a video
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub every: u32,
    /// Write a chart of the expressions in one video over time to this file (.html)
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Predict from a camera: the first one, or the device with this ffmpeg name
    #[arg(long, value_name = "DEVICE", num_args = 0..=1, require_equals = true)]
    pub webcam: Option<Option<String>>,
    /// Treat the inputs as devices of this ffmpeg format, e.g. lavfi or v4l2
    #[arg(long, value_name = "FORMAT")]
    pub device_format: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainMethod {
    /// Gradients at a deep feature map (Grad-CAM)
    GradCam,
    /// Decrease in probability where a gray square covers the face
    Occlusion,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Args)]
pub struct ServeArgs {
    /// Address to listen on, with or without a port; 0.0.0.0 accepts requests from other machines
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub addr: String,
    /// Port to listen on; 0 selects a free port [default: that of --addr, else 8080]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Model file or bundled model (`default`, `fer2013`, `tiny`) [default: default; with --export: tiny, as in the browser]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Precision of the classifier; faces are detected in f32
    #[arg(long, value_enum, default_value = "f32", conflicts_with = "export")]
    pub precision: PredictionPrecision,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Require `Authorization: Bearer TOKEN` for predictions and metrics
    #[arg(long, value_name = "TOKEN", env = "MOUE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Allow cross-origin requests from this origin (`https://example.org`, or `*` for any); can be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub cors: Vec<String>,
    /// Maximum size of a request body, in MiB
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub max_body: u16,
    /// Maximum size of the bodies of all requests together, in MiB; at least --max-body
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub max_buffer: u32,
    /// Maximum size of an image, in megapixels
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_pixels: u16,
    /// Maximum number of images per request
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_images: u16,
    /// Maximum number of requests processed at the same time [default: the number of threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Maximum number of requests waiting in the queue
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub queue: u16,
    /// Maximum number of connections
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_connections: u16,
    /// Timeout of a request in seconds, including the time to receive it
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub timeout: f64,
    /// Close a connection on which neither side sends anything for this many seconds; at least one more than --timeout
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub idle_timeout: f64,
    /// Format of the log on stderr
    #[arg(long, value_enum, default_value = "text")]
    pub log: LogFormat,
    /// Write the web page with the model to this folder, for any static web host, and exit
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
    /// Request /healthz of the service that runs at this address, and exit: code 0 if it responds, else 1
    #[arg(long, conflicts_with = "export")]
    pub check: bool,
}

#[derive(Args)]
pub struct BenchArgs {
    /// Preset name (see `moue arch list`) or TOML file [default: small]
    pub arch: Option<String>,
    /// Number of images per step [default: the architecture file's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub batch_size: Option<u16>,
    /// Precision of training and prediction; int8 is that of the prediction, and auto is f32 or bf16 [default: the
    /// architecture file's]
    #[arg(long, value_enum)]
    pub precision: Option<PredictionPrecision>,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Seconds to spend on each measurement
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// Also measure the time of each layer
    #[arg(long)]
    pub layers: bool,
}

#[derive(Subcommand)]
pub enum ArchCommand {
    /// List the preset architectures with their parameters and multiply-adds
    #[command(after_long_help = "Example:\n  moue arch list --json")]
    List,
    /// Show a network layer by layer
    #[command(
        after_long_help = "Examples:\n  moue arch show seed/kaggle-notebook\n  moue arch show my-net.toml --json"
    )]
    Show {
        /// Preset name or TOML file [default: small]
        arch: Option<String>,
        /// Print the architecture file (TOML) instead of a table
        #[arg(long)]
        toml: bool,
    },
}
