//! Architecture files: `[model]`, `[data]`, `[augment]` and `[train]` in one
//! TOML document, and the presets that travel inside the program.

use crate::augment::Augmentation;
use crate::data::DataOptions;
use crate::model::architecture::LayerSpec;
use crate::model::{Architecture, ArchitectureError, build_blank};
use crate::train::TrainOptions;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A whole architecture file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Options of reading and splitting the data.
    #[serde(default)]
    pub data: DataOptions,
    /// What is done to training images.
    #[serde(default)]
    pub augment: Augmentation,
    /// How the network is trained.
    #[serde(default)]
    pub train: TrainOptions,
    /// The network.
    pub model: Architecture,
}

/// Why an architecture file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither a preset nor a file.
    #[error("there is no preset or file `{name}`; presets are {presets}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The presets there are.
        presets: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not TOML, or not of this form.
    #[error("{name}: {message}")]
    Syntax {
        /// Preset or file.
        name: String,
        /// Line, excerpt and what is wrong.
        message: String,
    },
    /// A layer does not fit the one before it.
    #[error("{name}{}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Architecture {
        /// Preset or file.
        name: String,
        /// Line of the layer, from 1.
        line: Option<usize>,
        /// What is wrong.
        source: ArchitectureError,
    },
    /// A number lies outside its range.
    #[error("{name}: {message}")]
    Range {
        /// Preset or file.
        name: String,
        /// Field, value and range.
        message: String,
    },
}

/// A preset: an architecture file that travels inside the program.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Name on the command line.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        &[$(Preset { name: $name, text: include_str!(concat!("../../../presets/", $name, ".toml")) }),*]
    };
}

/// All presets, in the order they are listed.
pub const PRESETS: &[Preset] = presets![
    "small",
    "default",
    "tiny",
    "seed/basic-efficientnet",
    "seed/model-3",
    "seed/model-5",
    "seed/model-6",
    "seed/model-8",
    "seed/model-9",
    "seed/kaggle-notebook",
    "search/first",
    "bench/vgg",
    "bench/resnet",
];

impl Preset {
    /// The first sentence of the comment that opens the file.
    #[must_use]
    pub fn about(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with('#'));
        let text = lines.map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join(" ");
        match text.split_once(". ") {
            Some((first, _)) => format!("{first}."),
            None => text,
        }
    }
}

impl Config {
    /// A preset by its name, or a file by its path.
    ///
    /// # Errors
    /// When there is neither, or it cannot be used.
    pub fn open(name: &str) -> Result<Self, ConfigError> {
        if let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) {
            return Self::parse(preset.name, preset.text);
        }
        let path = Path::new(name);
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(name, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(ConfigError::Unknown {
                name: name.to_owned(),
                presets: PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", "),
            }),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    /// Reads a document and checks all of it; `name` is for messages.
    ///
    /// # Errors
    /// When it is not of this form, or a layer does not fit the one before it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            name: name.to_owned(),
            message: broken_layer(text).unwrap_or_else(|| error.to_string().trim().to_owned()),
        })?;
        config.check(name)?;
        // Seven classes stand for any number: only the head depends on it.
        match build_blank(&config.model, 7) {
            Ok(_) | Err(ArchitectureError::Classes { .. }) => Ok(config),
            Err(source) => Err(ConfigError::Architecture {
                name: name.to_owned(),
                line: match &source {
                    ArchitectureError::Layer { path, .. } => line_of_layer(text, path),
                    _ => None,
                },
                source,
            }),
        }
    }

    /// The document, every default written out.
    ///
    /// # Errors
    /// When a number cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Checks all ranges; `name` is for messages.
    ///
    /// # Errors
    /// When a number lies outside its range.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let checks = [self.data.check(), self.augment.check(), self.train.check()];
        match checks.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(message) => Err(ConfigError::Range { name: name.to_owned(), message }),
        }
    }
}

/// `Err` with field, value and range when `value` is not in `low..=high`.
pub(crate) fn within(field: &str, value: f32, low: f32, high: f32) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("`{field}` is {value}; it must lie between {low} and {high}"))
}

type Value<'a> = toml::Spanned<toml::de::DeValue<'a>>;

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The layers of a chain.
fn chain<'a>(layers: Option<&'a Value<'a>>) -> impl Iterator<Item = &'a Value<'a>> {
    layers.and_then(|layers| layers.get_ref().as_array()).into_iter().flatten()
}

/// The layers inside a layer, in the order in which they are counted.
fn inside<'a>(layer: &'a Value<'a>) -> Vec<&'a Value<'a>> {
    let of = |key| chain(layer.get_ref().get(key));
    of("layers").chain(of("shortcut")).chain(of("branches").flat_map(|branch| chain(Some(branch)))).collect()
}

/// The line on which a layer is written.
fn line_of_layer(text: &str, path: &[usize]) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut layers: Vec<_> = chain(document.get_ref().get("model")?.get_ref().get("layers")).collect();
    let mut at = None;
    for &index in path {
        let layer = layers.get(index)?;
        at = Some(layer.span().start);
        layers = inside(layer);
        // What lies inside a layer without layers of its own is not written down.
        if layers.is_empty() {
            break;
        }
    }
    Some(line_at(text, at?))
}

/// Line, number, kind and complaint of the first layer that cannot be read: a
/// layer is told by its `kind`, so the parser itself only knows the array.
fn broken_layer(text: &str) -> Option<String> {
    fn search<'a>(text: &str, layers: impl IntoIterator<Item = &'a Value<'a>>, within: &str) -> Option<String> {
        layers.into_iter().enumerate().find_map(|(i, layer)| {
            let number = format!("{within}{}", i + 1);
            if let Some(found) = search(text, inside(layer), &format!("{number}.")) {
                return Some(found);
            }
            let error = LayerSpec::deserialize(toml::de::ValueDeserializer::from(layer.clone())).err()?;
            let kind = layer.get_ref().get("kind").and_then(|kind| kind.get_ref().as_str()).unwrap_or("no kind");
            let line = line_at(text, layer.span().start);
            Some(format!("line {line}, layer {number} ({kind}): {}", error.message()))
        })
    }
    let document = toml::de::DeTable::parse(text).ok()?;
    search(text, chain(document.get_ref().get("model")?.get_ref().get("layers")), "")
}
