//! `moue doctor`: facts about this installation that a bug report needs, and a self-test.

use super::print;
use crate::args::Common;
use crate::output::table::table_with_text;
use crate::version::{VERSION, features, features_text};
use moue::device::{Gpu, gpus};
use moue::model::{EMBEDDED, Embedded};
use moue::video::VideoError;
use moue::{Classifier, Int8Instructions, Isa, Kernels};
use moue_train::data::{Cache, ImageSpec, synthetic};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The bundled model of the self-test, and its prediction for a synthetic face on any machine.
const MODEL: &str = "tiny";
const EXPECTED: (&str, f32) = ("happy", 0.949_244);

/// Number of the synthetic face of the self-test, with seed 0.
const FACE: usize = 3;

/// Largest difference from the expected probability.
const TOLERANCE: f32 = 1e-3;

pub fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let report = Report::collect();
    print(&if common.json { format!("{}\n", serde_json::to_string(&report)?) } else { report.text() })?;
    Ok(if report.self_test.status == Status::Ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The installation, as `moue doctor --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of moue.
    version: &'static str,
    /// Optional features of this build, in alphabetical order.
    features: Vec<&'static str>,
    /// Operating system and processor architecture, for example `linux-x86_64`.
    platform: String,
    /// Name of the processor; null where the system does not report it (Linux does).
    processor: Option<String>,
    /// Instruction set in use: `avx512`, `avx2`, `neon` or `scalar`.
    isa: &'static str,
    /// Value of the environment variable `MOUE_ISA`; null if it is not set.
    isa_requested: Option<String>,
    /// Instruction sets that this machine supports, the fastest first.
    isa_available: Vec<&'static str>,
    /// Kernels of bf16 in use: `amx` or `portable`.
    kernels: &'static str,
    /// Value of the environment variable `MOUE_KERNELS`; null if it is not set.
    kernels_requested: Option<String>,
    /// Kernels of bf16 that this machine supports.
    kernels_available: Vec<&'static str>,
    /// Kernels of int8 in use: `avx512-vnni`, `avx2` or `portable`.
    int8: &'static str,
    /// Number of threads in use.
    threads: usize,
    /// Number of threads that the system offers; null where it does not report it.
    threads_available: Option<usize>,
    /// GPUs for `--device`, and programs in their place; empty in a build without the feature `gpu`.
    gpus: Vec<Gpu>,
    /// Size of the memory in bytes; null where the system does not report it (Linux does).
    memory_bytes: Option<u64>,
    /// Folder of decoded images; null if it is off.
    cache: Option<CacheFolder>,
    /// Version of ffmpeg; null if it is not installed.
    ffmpeg: Option<String>,
    /// The bundled models.
    models: Vec<Bundled>,
    /// Result of the self-test: a prediction for a synthetic face.
    self_test: SelfTest,
}

/// The cache of decoded images.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CacheFolder {
    /// The folder.
    folder: PathBuf,
    /// Size of its files in bytes; 0 if it does not exist.
    bytes: u64,
}

/// A bundled model.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Bundled {
    /// Name on the command line.
    name: &'static str,
    /// SHA-256 of its file, in hexadecimal.
    sha256: String,
    /// Size of its file in bytes.
    bytes: usize,
}

/// Result of the self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum Status {
    /// The prediction is as expected.
    Ok,
    /// The prediction differs, or failed.
    Failed,
}

/// A prediction for a synthetic face, and the expected one.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SelfTest {
    /// Whether label and probability are as expected.
    status: Status,
    /// The predicted class; null if the prediction failed.
    label: Option<String>,
    /// Its probability; null if the prediction failed.
    probability: Option<f32>,
    /// The expected class.
    expected_label: &'static str,
    /// Its expected probability, on any machine within 0.001.
    expected_probability: f32,
    /// Why the prediction failed; null on success.
    error: Option<String>,
}

impl Report {
    fn collect() -> Self {
        Self {
            version: VERSION,
            features: features(),
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            processor: proc_value("/proc/cpuinfo", "model name"),
            isa: Isa::in_use().name(),
            isa_requested: variable("MOUE_ISA"),
            isa_available: Isa::available().map(Isa::name).collect(),
            kernels: Kernels::in_use().name(),
            kernels_requested: variable("MOUE_KERNELS"),
            kernels_available: Kernels::available().map(Kernels::name).collect(),
            int8: Int8Instructions::in_use().name(),
            threads: rayon::current_num_threads(),
            threads_available: std::thread::available_parallelism().ok().map(NonZero::get),
            gpus: gpus(),
            memory_bytes: proc_value("/proc/meminfo", "MemTotal").as_deref().and_then(kibibytes),
            cache: Cache::standard()
                .folder()
                .map(|folder| CacheFolder { folder: folder.to_owned(), bytes: folder_bytes(folder) }),
            ffmpeg: ffmpeg_version(),
            models: EMBEDDED.iter().filter_map(Bundled::of).collect(),
            self_test: SelfTest::of(predict()),
        }
    }

    fn text(&self) -> String {
        let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        let choice = |used: &str, requested: &Option<String>, variable: &str, available: &[&str]| {
            let set_by = requested.as_ref().map(|_| format!("set by {variable}; ")).unwrap_or_default();
            format!("{used} ({set_by}available: {})", available.join(", "))
        };
        let available = self.threads_available.map(|count| format!(" of {count}")).unwrap_or_default();
        let cache = self.cache.as_ref().map_or("off".to_owned(), |cache| {
            format!("{} ({:.1} MB)", cache.folder.display(), cache.bytes as f64 / 1e6)
        });
        let no_ffmpeg = || format!("not found: {}", VideoError::Missing { program: "ffmpeg" });
        let mut rows = vec![
            ("version", format!("{} (features: {})", self.version, features_text())),
            ("platform", self.platform.clone()),
            ("processor", known(self.processor.clone())),
            ("instruction set", choice(self.isa, &self.isa_requested, "MOUE_ISA", &self.isa_available)),
            ("kernels of bf16", choice(self.kernels, &self.kernels_requested, "MOUE_KERNELS", &self.kernels_available)),
            ("kernels of int8", self.int8.to_owned()),
            ("threads", format!("{}{available}", self.threads)),
            ("memory", known(self.memory_bytes.map(|bytes| format!("{:.1} GB", bytes as f64 / 1e9)))),
            ("cache", cache),
            ("ffmpeg", self.ffmpeg.clone().unwrap_or_else(no_ffmpeg)),
        ];
        if self.gpus.is_empty() {
            let reason = if cfg!(feature = "gpu") { "none found" } else { "not used: this build has no feature `gpu`" };
            rows.push(("GPU", reason.to_owned()));
        }
        rows.extend(self.gpus.iter().map(|Gpu { index, name, backend, kind, driver }| {
            ("GPU", format!("gpu:{index}: {name} ({backend}, {kind}), driver {driver}"))
        }));
        rows.extend(self.models.iter().map(|Bundled { name, sha256, bytes }| {
            ("bundled model", format!("{name}, {bytes} bytes, SHA-256 {sha256}"))
        }));
        rows.push(("self-test", self.self_test.text()));
        table_with_text(&rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>())
    }
}

/// The value of an environment variable that is set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Bundled {
    fn of(model: &Embedded) -> Option<Self> {
        let bytes = model.bytes?;
        let sha256 = base16ct::lower::encode_string(&Sha256::digest(bytes));
        Some(Self { name: model.name, sha256, bytes: bytes.len() })
    }
}

impl SelfTest {
    fn of(predicted: anyhow::Result<(String, f32)>) -> Self {
        let (expected_label, expected_probability) = EXPECTED;
        let matches = |(label, probability): &(String, f32)| {
            label == expected_label && (probability - expected_probability).abs() <= TOLERANCE
        };
        let status = if predicted.as_ref().is_ok_and(matches) { Status::Ok } else { Status::Failed };
        let (predicted, error) = match predicted {
            Ok(predicted) => (Some(predicted), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let (label, probability) = predicted.unzip();
        Self { status, label, probability, expected_label, expected_probability, error }
    }

    fn text(&self) -> String {
        let status = if self.status == Status::Ok { "ok" } else { "failed" };
        let found = match (&self.label, self.probability, &self.error) {
            (Some(label), Some(probability), _) => format!("{MODEL} predicts {label} {probability:.4}"),
            (.., error) => error.clone().unwrap_or_default(),
        };
        let expected = format!("expected {} {:.4} ± {TOLERANCE}", self.expected_label, self.expected_probability);
        format!("{status}: {found} ({expected})")
    }
}

/// Predicts the class of a synthetic face, and its probability.
fn predict() -> anyhow::Result<(String, f32)> {
    let classifier = Classifier::open(MODEL)?;
    let faces = synthetic::dataset(FACE + 1, ImageSpec::of_input(classifier.input()), 0);
    let probabilities = classifier.face_probabilities(faces.image(FACE))?;
    let best = probabilities.into_iter().zip(classifier.classes()).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(probability, label)| (label.clone(), probability)).ok_or_else(|| anyhow::anyhow!("no prediction"))
}

/// Returns the value of the first line `KEY : VALUE` of a file in `/proc`.
fn proc_value(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

/// Converts `16384 kB` to bytes.
fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the total size of the files in a folder, 0 if it does not exist.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Returns the third word of `ffmpeg version 7.1 Copyright …`.
fn ffmpeg_version() -> Option<String> {
    let output = Command::new("ffmpeg").arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.strip_prefix("ffmpeg version ")?.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_test_compares_label_and_probability() {
        let (label, probability) = EXPECTED;
        let status = |label: &str, probability| SelfTest::of(Ok((label.to_owned(), probability))).status;
        assert_eq!(status(label, probability + 0.0009), Status::Ok);
        assert_eq!(status(label, probability + 0.0011), Status::Failed);
        assert_eq!(status(label, f32::NAN), Status::Failed);
        assert_eq!(status("other", probability), Status::Failed);
        let broken = SelfTest::of(Err(anyhow::anyhow!("no model")));
        assert_eq!((broken.status, broken.error.as_deref()), (Status::Failed, Some("no model")));
        assert!(broken.text().starts_with("failed: no model (expected "), "{}", broken.text());
    }

    #[test]
    fn memory_is_read_from_proc() {
        assert_eq!(kibibytes("16384 kB"), Some(16_777_216));
        assert_eq!(kibibytes("many kB"), None);
        assert_eq!(proc_value("/nowhere", "MemTotal"), None);
    }
}
