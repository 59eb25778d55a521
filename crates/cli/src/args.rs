//! The command line as typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Train, compare and explain classifiers for facial expressions.
///
/// An expression is an appearance: it does not determine what a person feels.
#[derive(Parser)]
#[command(name = "moue", version, max_term_width = 100, after_help = "Start here: moue train")]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone)]
pub struct Common {
    /// Print one JSON document to stdout and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Threads to use [default: all]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Seed of everything random [default: 0, or the one in the architecture file]
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Train a network and write a run folder
    #[command(
        after_help = "Examples:\n  moue train\n  moue train seed/kaggle-notebook --data fer2013.csv.gz --epochs 30\n  \
        moue train default --data my-photos/ --init default --set 'train.teachers=[]' --epochs 20\n  moue train --resume runs/small-1"
    )]
    Train(TrainArgs),
    /// Train several networks on the same data and put them side by side
    #[command(
        after_help = "KEY is a place in the architecture file (train.epochs, augment.flip, model.layers.3.rate), an\n\
        option of all layers of a kind (dropout.rate, conv2d.filters), or one of\n  \
        image_size=48x48,96x96   pairs=2,3,4 (convolution-pooling pairs)   dense_layers=0,1,2 (hidden ones)\n\
        Several --vary make a grid. What is finished is not trained again: repeat the command to go on.\n\n\
        Examples:\n  moue compare seed/model-6 seed/model-8 --data fer2013.csv.gz\n  \
        moue compare seed/model-9 --data archive.zip --vary dropout.rate=0.1,0.3,0.5 --vary train.batch_size=32,128\n  \
        moue compare small --vary data.train_fraction=0.25,0.5,1 --seeds 3"
    )]
    Compare(CompareArgs),
    /// Judge a model on a data set
    #[command(after_help = "Examples:\n  moue evaluate runs/small-1/model.safetensors\n  \
        moue evaluate --data archive.zip --split validation --tta --report out/\n  \
        moue evaluate model.safetensors --data fer2013.csv --compare default --corruptions")]
    Evaluate(EvaluateArgs),
    /// Write a model's weights for other programs, or with less precision
    #[command(
        after_help = "f16 halves the file; i8 quarters it (a factor for each filter). Biases and statistics stay f32.\n\n\
        Examples:\n  moue export default.safetensors\n  \
        moue export runs/small-1/model.safetensors small.safetensors --precision f16\n  \
        moue export default expressions.onnx",
        allow_missing_positional = true
    )]
    Export(ExportArgs),
    /// Tell the expression of faces in pictures
    #[command(after_help = "Answers come in the order of the inputs; a picture without a face is a normal answer.\n\
        Exit code 3: some inputs could not be read, the others are answered.\n\n\
        Examples:\n  moue predict photo.jpg --annotate out/ --explain why/\n  \
        moue predict photos/ --recursive --format csv > answers.csv\n  \
        moue predict --model runs/small-1/model.safetensors --no-detect face.png\n  \
        moue predict clip.mp4 --every 5 --annotate out/ --timeline clip.html")]
    Predict(PredictArgs),
    /// Answer over HTTP
    #[command(
        after_help = "The page at / computes in the visitor's browser. Programs POST an image file to /v1/predict; /docs\n\
        describes all of it. Requests beyond a limit are refused at once: 413 too large, 429 too many waiting,\n\
        503 too slow. SIGTERM and Ctrl-C let running requests finish.\n\n\
        Examples:\n  moue serve\n  moue serve --addr 0.0.0.0:8080 --log json\n  \
        moue serve --export page/\n  \
        curl --data-binary @photo.jpg http://127.0.0.1:8080/v1/predict"
    )]
    Serve(ServeArgs),
    /// Look at data sets, or draw one
    #[command(subcommand)]
    Data(DataCommand),
    /// List and show network architectures
    #[command(subcommand)]
    Arch(ArchCommand),
    /// Measure how fast a network trains and predicts on this machine
    #[command(after_help = "Images are noise in memory: reading and augmentation are not counted.\n\
        MOUE_ISA=avx2 (or scalar) holds the engine to a lower instruction set.\n\n\
        Examples:\n  moue bench\n  moue bench bench/vgg --batch-size 64 --layers\n  moue bench my-net.toml --json --threads 1")]
    Bench(BenchArgs),
    /// Print the licences of everything that is in this program
    #[command(after_help = "Example:\n  moue licenses | less")]
    Licenses,
}

#[derive(Args)]
pub struct TrainArgs {
    /// A preset's name (see `moue arch list`) or a TOML file [default: small]
    pub arch: Option<String>,
    /// Data set as downloaded: CSV or image folders, compressed or not [default: faces drawn by the program]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Folder for the run [default: runs/ARCH-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Passes over the training images
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Images in a step
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Size that images are brought to, e.g. 48x48
    #[arg(long, value_name = "HxW", value_parser = image_size)]
    pub image_size: Option<[usize; 2]>,
    /// Size of a step; the schedule's highest
    #[arg(long, value_name = "X")]
    pub learning_rate: Option<f32>,
    /// Start from a model's weights; a head for other classes is new
    #[arg(long, value_name = "MODEL")]
    pub init: Option<PathBuf>,
    /// Set any option of the architecture file, e.g. dropout.rate=0.5; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Go on with an interrupted run, to the same bits as without the interruption
    #[arg(long, value_name = "DIR", conflicts_with_all = ["arch", "out", "epochs", "batch_size", "image_size", "learning_rate", "init", "set", "seed"])]
    pub resume: Option<PathBuf>,
    /// Restore FER2013's official split for Kaggle's numbered files
    #[arg(long)]
    pub official_split: bool,
}

#[derive(Args)]
pub struct CompareArgs {
    /// Presets (see `moue arch list`) or TOML files
    #[arg(required = true, value_name = "ARCH")]
    pub archs: Vec<String>,
    /// Data set as downloaded: CSV or image folders, compressed or not [default: faces drawn by the program]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Folder for the runs and the report [default: runs/compare]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Train once with each of these values; may be given several times
    #[arg(long, value_name = "KEY=A,B,C")]
    pub vary: Vec<String>,
    /// Repeat each training with so many seeds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Passes over the training images, for all of them
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Restore FER2013's official split for Kaggle's numbered files
    #[arg(long)]
    pub official_split: bool,
}

#[derive(Args)]
pub struct EvaluateArgs {
    /// A model's file, or `default` or `tiny` for those in the box
    #[arg(default_value = "default")]
    pub model: PathBuf,
    /// Data set as downloaded [default: drawn faces, for a model trained on them]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// train, validation, test, or the source's own name [default: test where there is one, else validation]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Average each image's answer with its mirror image's
    #[arg(long)]
    pub tta: bool,
    /// Put another model beside this one, with McNemar's test; may be given several times
    #[arg(long, value_name = "MODEL")]
    pub compare: Vec<PathBuf>,
    /// Judge it on blurred, noisy, compressed, dark, turned and coarse pictures too
    #[arg(long)]
    pub corruptions: bool,
    /// Write report.html and evaluation.json to this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Write a model card in Markdown to this file
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// How many recipes were compared on this split, for the card to say
    #[arg(long, value_name = "N", requires = "card")]
    pub recipes: Option<usize>,
    /// Restore FER2013's official split for Kaggle's numbered files
    #[arg(long)]
    pub official_split: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for each face, for people
    Table,
    /// One JSON object a line for each input
    Json,
    /// A line for each face, for spreadsheets
    Csv,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 4 bytes a weight, exact
    F32,
    /// 2 bytes a weight
    F16,
    /// 1 byte a weight
    I8,
}

#[derive(Args)]
pub struct ExportArgs {
    /// A model's file, or `default` or `tiny` for those in the box
    #[arg(default_value = "default")]
    pub model: PathBuf,
    /// File to write: .safetensors or .onnx
    pub file: PathBuf,
    /// How a .safetensors file stores weights
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: Precision,
}

#[derive(Args)]
pub struct PredictArgs {
    /// Pictures (PNG, JPEG, WebP, BMP, GIF, TIFF), folders of them, patterns ('*.jpg'), - for standard input, or videos
    #[arg(required_unless_present = "webcam")]
    pub inputs: Vec<PathBuf>,
    /// A model's file, or `default` or `tiny` for those in the box
    #[arg(long, value_name = "MODEL", default_value = "default")]
    pub model: PathBuf,
    /// Take the whole picture for the face
    #[arg(long)]
    pub no_detect: bool,
    /// Look into the folders inside folders too
    #[arg(long, short)]
    pub recursive: bool,
    /// Side of the smallest face to look for, in pixels [default: a 24th of the picture's longer side, at least 40]
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(8..=100_000), conflicts_with = "no_detect")]
    pub min_face: Option<u32>,
    /// Find faces with this YuNet model (.onnx) and level their eyes; needs a build with `--features yunet`
    #[arg(long, value_name = "FILE", conflicts_with = "no_detect")]
    pub detector: Option<PathBuf>,
    /// Least score of a face; higher finds fewer, surer ones [default: 2; with YuNet 0.7]
    #[arg(long, value_name = "X", value_parser = score, conflicts_with = "no_detect")]
    pub min_score: Option<f32>,
    /// Write each picture or video to this folder, with faces framed, labelled and charted
    #[arg(long, value_name = "DIR")]
    pub annotate: Option<PathBuf>,
    /// Write each face to this folder, with what the answer rests on laid over it
    #[arg(long, value_name = "DIR")]
    pub explain: Option<PathBuf>,
    /// How that is found out
    #[arg(long, value_enum, default_value = "grad-cam", requires = "explain")]
    pub explain_method: ExplainMethod,
    /// Form of the predictions
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Videos: predict every N-th frame
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub every: u32,
    /// Films: write a page with the expressions over time to this file, .html
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Look through a camera: the first one, or the one named as ffmpeg names it
    #[arg(long, value_name = "DEVICE", num_args = 0..=1, require_equals = true)]
    pub webcam: Option<Option<String>>,
    /// Take the inputs for devices of this ffmpeg format, e.g. lavfi or v4l2
    #[arg(long, value_name = "FORMAT")]
    pub device_format: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainMethod {
    /// Gradients at a deep feature map
    GradCam,
    /// What is lost where a gray square covers the face
    Occlusion,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

#[derive(Args)]
pub struct ServeArgs {
    /// Address and port to listen on; port 0 for any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub addr: String,
    /// A model's file, or `default` or `tiny` for those in the box
    #[arg(long, value_name = "MODEL", default_value = "default")]
    pub model: PathBuf,
    /// Wanted as `Authorization: Bearer TOKEN` for predictions and metrics
    #[arg(long, value_name = "TOKEN", env = "MOUE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Let pages of this origin read predictions (`https://example.org`, or `*` for any); may be given several times
    #[arg(long, value_name = "ORIGIN")]
    pub cors: Vec<String>,
    /// Largest body of a request, in MiB
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub max_body: u16,
    /// Largest picture, in millions of pixels
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_pixels: u16,
    /// Most pictures in a request
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_images: u16,
    /// Requests worked on at the same time [default: one for each thread]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Requests that may wait
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub queue: u16,
    /// Seconds for a request, reading it included
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub timeout: f64,
    /// Form of the log on stderr
    #[arg(long, value_enum, default_value = "text")]
    pub log: LogFormat,
    /// Serve nothing: write the page, which computes in the browser, into this folder, for any static host
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// Count images per class and split, blank ones, exact and near duplicates
    #[command(
        after_help = "Examples:\n  moue data info fer2013.csv.gz\n  moue data info archive.zip --official-split --json"
    )]
    Info {
        /// Data set as downloaded
        path: PathBuf,
        /// Restore FER2013's official split for Kaggle's numbered files
        #[arg(long)]
        official_split: bool,
    },
    /// Write one row for each image: path or row, label, split, size, mean, deviation, hash, near-duplicates
    #[command(after_help = "Images with the same number in near_duplicates show the same picture.\n\n\
        Example:\n  moue data table fer2013.csv.gz --out fer2013-table.csv")]
    Table {
        /// Data set as downloaded
        path: PathBuf,
        /// File to write, .csv, or .parquet where moue was built with `--features parquet`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Restore FER2013's official split for Kaggle's numbered files
        #[arg(long)]
        official_split: bool,
    },
    /// Picture a data set: samples and the mean of each class, counts, what augmentation does
    #[command(after_help = "Examples:\n  moue data preview archive.zip --out preview.png\n  \
        moue data preview fer2013.csv.gz --out preview.html --arch my-net.toml --seed 3")]
    Preview {
        /// Data set as downloaded [default: faces drawn by the program]
        path: Option<PathBuf>,
        /// File to write, .png or .html
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Preset or TOML file whose augmentation is shown [default: small]
        #[arg(long)]
        arch: Option<String>,
        /// Restore FER2013's official split for Kaggle's numbered files
        #[arg(long)]
        official_split: bool,
    },
    /// Draw cartoon faces into a folder, as a data set with class folders
    #[command(after_help = "Example:\n  moue data draw faces/ --count 700")]
    Draw {
        /// Folder to write; made if missing, must be empty
        dir: PathBuf,
        /// Number of faces, divided among classes and splits
        #[arg(long, default_value_t = 700, value_name = "N", value_parser = clap::value_parser!(u32).range(21..=1_000_000))]
        count: u32,
    },
}

#[derive(Args)]
pub struct BenchArgs {
    /// A preset's name (see `moue arch list`) or a TOML file [default: small]
    pub arch: Option<String>,
    /// Images in a step [default: the one in the architecture file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub batch_size: Option<u16>,
    /// Time to spend on each figure
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// Show where the time goes, layer by layer
    #[arg(long)]
    pub layers: bool,
}

#[derive(Subcommand)]
pub enum ArchCommand {
    /// List the presets
    #[command(after_help = "Example:\n  moue arch list --json")]
    List,
    /// Show a network layer by layer
    #[command(after_help = "Examples:\n  moue arch show seed/kaggle-notebook\n  moue arch show my-net.toml --json")]
    Show {
        /// A preset's name or a TOML file [default: small]
        arch: Option<String>,
        /// Print the architecture file instead
        #[arg(long)]
        toml: bool,
    },
}

/// `key=value`.
fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn image_size(text: &str) -> Result<[usize; 2], String> {
    let parse = || {
        let (height, width) = text.split_once(['x', 'X'])?;
        Some([height.trim().parse().ok()?, width.trim().parse().ok()?])
    };
    parse()
        .filter(|size| size.iter().all(|extent| (1..=4096).contains(extent)))
        .ok_or_else(|| "expected HEIGHTxWIDTH with 1 to 4096 each, for instance 48x48".into())
}

fn score(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|score| (0.001..=1000.0).contains(score))
        .ok_or_else(|| "expected a number from 0.001 to 1000".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.0..=3600.0).contains(seconds))
        .ok_or_else(|| "expected a number of seconds from 0 to 3600".into())
}
