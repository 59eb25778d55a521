//! Option values: their parsers, and those that several commands have.

use clap::ValueEnum;
use moue::{Device, PrecisionChoice, Tta};
use moue_train::config::PrecisionName;
use moue_train::evaluate::CorruptionSet;
use moue_train::tune::{Metric, SamplerName, parse_time};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The precision of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrainingPrecision {
    /// 32-bit floating point
    #[value(alias = "fp32")]
    F32,
    /// Maps between layers and factors of products in bfloat16; sums and weights in f32
    Bf16,
    /// The fastest on this machine: bf16 if the AMX kernels are in use, else f32
    Auto,
}

impl TrainingPrecision {
    /// The precision on this machine, and for a training on this device: a GPU computes in f32.
    pub fn resolve(self, device: &Device) -> PrecisionName {
        match self {
            Self::F32 => PrecisionName::F32,
            Self::Bf16 => PrecisionName::Bf16,
            Self::Auto if device.is_cpu() => PrecisionName::fastest(),
            Self::Auto => PrecisionName::F32,
        }
    }
}

/// The precision of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PredictionPrecision {
    /// 32-bit floating point
    #[value(alias = "fp32")]
    F32,
    /// Maps between layers and factors of products in bfloat16; sums and weights in f32
    Bf16,
    /// 8-bit integers, except for the first and the last layer; the model needs the ranges of its activations
    Int8,
    /// The fastest on this machine: int8 with AMX or AVX-512 VNNI if the model loses at most 0.3 points of accuracy
    /// with it, bf16 if the AMX kernels are in use, else f32
    Auto,
}

impl From<PredictionPrecision> for PrecisionChoice {
    fn from(precision: PredictionPrecision) -> Self {
        match precision {
            PredictionPrecision::F32 => Self::F32,
            PredictionPrecision::Bf16 => Self::Bf16,
            PredictionPrecision::Int8 => Self::Int8,
            PredictionPrecision::Auto => Self::Auto,
        }
    }
}

/// The views of an image over which predictions are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TtaChoice {
    /// The image and its mirror image
    Flip,
    /// Ten views: crops of 44 of 48 pixels at the corners and in the center, and their mirror images
    Crops,
}

impl TtaChoice {
    /// The views; the image alone if there is no choice.
    pub fn resolve(choice: Option<Self>) -> Tta {
        match choice {
            None => Tta::None,
            Some(Self::Flip) => Tta::Flip,
            Some(Self::Crops) => Tta::Crops,
        }
    }
}

/// The corruptions to evaluate on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CorruptionChoice {
    /// Blur, noise, JPEG compression, low light, rotation and low resolution, with three severities each
    All,
    /// Blur, noise, low resolution, low light, low contrast and rotation: ten corruptions and their mean
    Robust10,
}

impl CorruptionChoice {
    /// The set of corruptions.
    pub fn resolve(self) -> CorruptionSet {
        match self {
            Self::All => CorruptionSet::All,
            Self::Robust10 => CorruptionSet::Robust10,
        }
    }
}

/// The metric of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum MetricChoice {
    /// Accuracy
    Accuracy,
    /// Mean of the F1 scores of all classes
    MacroF1,
    /// Cross-entropy
    Loss,
}

impl From<MetricChoice> for Metric {
    fn from(choice: MetricChoice) -> Self {
        match choice {
            MetricChoice::Accuracy => Self::Accuracy,
            MetricChoice::MacroF1 => Self::MacroF1,
            MetricChoice::Loss => Self::Loss,
        }
    }
}

/// How a search proposes configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SamplerChoice {
    /// Tree-structured Parzen estimators: like the best earlier trials; one in three at random
    Tpe,
    /// At random
    Random,
}

impl From<SamplerChoice> for SamplerName {
    fn from(choice: SamplerChoice) -> Self {
        match choice {
            SamplerChoice::Tpe => Self::Tpe,
            SamplerChoice::Random => Self::Random,
        }
    }
}

/// Parses a time such as `90s`, `30m` or `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_time(text).ok_or_else(|| "expected a time of at least a second, with its unit: 90s, 30m or 2h".into())
}

/// Parses an address of this machine: `IP:PORT`, `localhost:PORT`, or one of both.
pub fn local_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost").map(|rest| format!("{}{rest}", Ipv4Addr::LOCALHOST));
    let text = local.as_deref().unwrap_or(text);
    let port = || Some(SocketAddr::from((Ipv4Addr::LOCALHOST, text.parse::<u16>().ok()?)));
    let ip = || Some(SocketAddr::from((text.parse::<IpAddr>().ok()?, 0)));
    let address =
        text.parse().ok().or_else(port).or_else(ip).ok_or("expected a port, or an address such as 127.0.0.1:8090")?;
    if !address.ip().is_loopback() {
        return Err(
            "expected an address that only this machine reaches, such as 127.0.0.1:8090; from another one, use \
            `ssh -L 8090:127.0.0.1:8090 HOST`"
                .into(),
        );
    }
    Ok(address)
}

/// Parses `key=value`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

pub fn image_size(text: &str) -> Result<[usize; 2], String> {
    let parse = || {
        let (height, width) = text.split_once(['x', 'X'])?;
        Some([height.trim().parse().ok()?, width.trim().parse().ok()?])
    };
    parse()
        .filter(|size| size.iter().all(|extent| (1..=4096).contains(extent)))
        .ok_or_else(|| "expected HEIGHTxWIDTH with 1 to 4096 each, e.g. 48x48".into())
}

pub fn score(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|score| (0.001..=1.0).contains(score))
        .ok_or_else(|| "expected a number from 0.001 to 1".into())
}

/// Parses the strength of a prior adjustment.
pub fn strength(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|strength| (0.0..=4.0).contains(strength))
        .ok_or_else(|| "expected a number from 0 to 4".into())
}

pub fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.0..=3600.0).contains(seconds))
        .ok_or_else(|| "expected a number of seconds from 0 to 3600".into())
}

/// The batch size of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// The fastest on this machine.
    Auto,
    /// A number of images.
    Number(usize),
}

pub fn batch_size(text: &str) -> Result<BatchSize, String> {
    if text == "auto" {
        return Ok(BatchSize::Auto);
    }
    text.parse().map(BatchSize::Number).map_err(|_| "expected a whole number or auto".into())
}

/// Parses a size of memory such as `500M` or `2G`.
pub fn memory(text: &str) -> Result<u64, String> {
    let parse = || {
        let (number, unit) = [("M", 1 << 20), ("G", 1_u64 << 30)]
            .into_iter()
            .find_map(|(name, unit)| Some((text.trim().strip_suffix(name)?, unit)))?;
        let number: f64 = number.trim().parse().ok()?;
        Some(number * unit as f64).filter(|bytes| (1e6..1e16).contains(bytes)).map(|bytes| bytes as u64)
    };
    parse().ok_or_else(|| "expected a size with its unit, e.g. 500M or 2G".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_local() {
        let of = |text| local_address(text).map(|address| address.to_string());
        for (text, address) in [
            ("8090", "127.0.0.1:8090"),
            ("127.0.0.1", "127.0.0.1:0"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("localhost", "127.0.0.1:0"),
            ("localhost:8090", "127.0.0.1:8090"),
            ("::1", "[::1]:0"),
            ("[::1]:8090", "[::1]:8090"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(address), "{text}");
        }
        for text in ["", "80000", "localhost:x", "localhosts", "example.org:80"] {
            assert!(of(text).unwrap_err().starts_with("expected a port"), "{text}");
        }
        for text in ["0.0.0.0:80", "10.0.0.1", "[::]:80"] {
            assert!(of(text).unwrap_err().contains("ssh -L"), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(["500M", "2G", "1.5 G"].map(memory), [500 << 20, 2 << 30, 3 << 29].map(Ok));
        for wrong in ["", "2", "G", "-1G", "1T", "0M", "nanG"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
        assert_eq!((batch_size("auto"), batch_size("8")), (Ok(BatchSize::Auto), Ok(BatchSize::Number(8))));
        assert!(batch_size("automatic").is_err());
    }
}
