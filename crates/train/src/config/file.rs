//! An architecture file: `[model]`, `[data]`, `[augment]` and `[train]` in one TOML
//! document.

use super::augment::Augmentation;
use super::data::DataOptions;
use super::range::Bounded;
use super::robust::Robust;
use super::suggestion::suggestion;
use super::train::TrainOptions;
use moue::message::did_you_mean;
use moue::model::architecture::LayerSpec;
use moue::model::{Architecture, ArchitectureError, build_blank};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Number of classes for checking a network. Any number is valid: only the head depends on it.
const CLASSES: usize = 7;

/// A complete architecture file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Options of loading and splitting the data.
    #[serde(default)]
    pub data: DataOptions,
    /// Augmentation of training images.
    #[serde(default)]
    pub augment: Augmentation,
    /// Training options.
    #[serde(default)]
    pub train: TrainOptions,
    /// The network.
    pub model: Architecture,
}

/// Errors of architecture files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name is neither a preset nor a file.
    #[error("there is no preset or file `{name}`; the presets are {presets}{}", did_you_mean(.similar.as_deref()))]
    Unknown {
        /// The given name.
        name: String,
        /// The available presets.
        presets: String,
        /// The nearest preset or file.
        similar: Option<String>,
    },
    /// The path is the folder of a run.
    #[error("{0} is a run folder, not an architecture file; its configuration is {0}/config.toml")]
    Run(String),
    /// The path is the folder of a comparison.
    #[error("{0} is the folder of a comparison, not an architecture file; its runs are in {0}/runs")]
    Comparison(String),
    /// The path is another folder.
    #[error("{0} is a folder, not an architecture file")]
    Folder(String),
    /// The path is a file that contains a dataset.
    #[error("{0} is a dataset, not an architecture file")]
    Dataset(String),
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML, or has unknown or missing fields.
    #[error("{name}: {message}")]
    Syntax {
        /// Preset or file.
        name: String,
        /// Line, excerpt and error.
        message: String,
    },
    /// A layer cannot be built on the output of the previous one.
    #[error("{name}{}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Architecture {
        /// Preset or file.
        name: String,
        /// Line of the layer, from 1.
        line: Option<usize>,
        /// The cause.
        source: ArchitectureError,
    },
    /// A value is outside its range.
    #[error("{name}: {message}")]
    Range {
        /// Preset or file.
        name: String,
        /// Field, value and range.
        message: String,
    },
}

impl Config {
    /// A configuration of this network, with default options.
    ///
    /// # Errors
    /// When a layer cannot be built on the output of the previous one.
    pub fn new(model: Architecture) -> Result<Self, ConfigError> {
        let config = Self {
            data: DataOptions::default(),
            augment: Augmentation::default(),
            train: TrainOptions::default(),
            model,
        };
        match build_blank(&config.model, CLASSES) {
            Ok(_) | Err(ArchitectureError::Classes { .. }) => Ok(config),
            Err(source) => Err(ConfigError::Architecture { name: config.model.name.clone(), line: None, source }),
        }
    }

    /// Parses a document and validates all of it; `name` is used in error messages.
    ///
    /// # Errors
    /// When the document is not valid, or a layer cannot be built on the output of the previous
    /// one.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let mut message = broken_layer(text).unwrap_or_else(|| error.to_string().trim().to_owned());
            for (rust, plain) in TYPES {
                message = message.replace(&format!("expected {rust}"), &format!("expected {plain}"));
            }
            message += &did_you_mean(suggestion(&message).as_deref());
            ConfigError::Syntax { name: name.to_owned(), message }
        })?;
        config.check(name)?;
        match build_blank(&config.model, CLASSES) {
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

    /// The document with all defaults.
    ///
    /// # Errors
    /// When a value cannot be represented in TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Validates all ranges; `name` is used in error messages.
    ///
    /// # Errors
    /// When a value is outside its range.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let ranges = self.bounded().into_iter().try_for_each(Bounded::check);
        ranges
            .and_then(|()| self.train.check_phases())
            .and_then(|()| self.check_freeze())
            .and_then(|()| self.check_prior())
            .and_then(|()| self.augment.robust.as_ref().map_or(Ok(()), Robust::check))
            .map_err(|message| ConfigError::Range { name: name.to_owned(), message })
    }

    fn check_freeze(&self) -> Result<(), String> {
        let (freeze, layers) = (self.train.freeze, self.model.layers.len());
        if freeze == 0 || freeze < layers {
            return Ok(());
        }
        Err(format!("train.freeze = {freeze} must be less than the number of layers, {layers}"))
    }

    fn check_prior(&self) -> Result<(), String> {
        if self.model.prior_adjustment > 0.0 && self.train.logit_adjustment > 0.0 {
            return Err(
                "model.prior_adjustment and train.logit_adjustment both remove the prior; use one of them".into()
            );
        }
        Ok(())
    }

    /// The numeric options with their ranges.
    #[must_use]
    pub fn bounded(&self) -> Vec<Bounded> {
        let model = Bounded::new("model.prior_adjustment", self.model.prior_adjustment, 0.0, 4.0);
        std::iter::once(model)
            .chain(self.data.bounded())
            .chain(self.augment.bounded())
            .chain(self.train.bounded())
            .collect()
    }
}

/// Types in the parser's messages, and what a person calls them.
const TYPES: [(&str, &str); 5] = [
    ("usize", "a whole number, 0 or more"),
    ("u64", "a whole number, 0 or more"),
    ("u32", "a whole number, 0 or more"),
    ("f32", "a number"),
    ("f64", "a number"),
];

type Value<'a> = toml::Spanned<toml::de::DeValue<'a>>;

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The layers of a sequence.
fn chain<'a>(layers: Option<&'a Value<'a>>) -> impl Iterator<Item = &'a Value<'a>> {
    layers.and_then(|layers| layers.get_ref().as_array()).into_iter().flatten()
}

/// The layers inside a layer, in counting order.
fn inside<'a>(layer: &'a Value<'a>) -> Vec<&'a Value<'a>> {
    let of = |key| chain(layer.get_ref().get(key));
    of("layers").chain(of("shortcut")).chain(of("branches").flat_map(|branch| chain(Some(branch)))).collect()
}

/// The line of a layer in the file.
fn line_of_layer(text: &str, path: &[usize]) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut layers: Vec<_> = chain(document.get_ref().get("model")?.get_ref().get("layers")).collect();
    let mut at = None;
    for &index in path {
        let layer = layers.get(index)?;
        at = Some(layer.span().start);
        layers = inside(layer);
        // Layers inside a layer without layers of its own have no line in the file.
        if layers.is_empty() {
            break;
        }
    }
    Some(line_at(text, at?))
}

/// Line, number, kind and error of the first layer that cannot be parsed. The parser reports only
/// the position of the whole array, because the type of a layer depends on its `kind`.
fn broken_layer(text: &str) -> Option<String> {
    fn search<'a>(text: &str, layers: impl IntoIterator<Item = &'a Value<'a>>, within: &str) -> Option<String> {
        layers.into_iter().enumerate().find_map(|(i, layer)| {
            let number = format!("{within}{}", i + 1);
            if let Some(found) = search(text, inside(layer), &format!("{number}.")) {
                return Some(found);
            }
            let error = LayerSpec::deserialize(toml::de::ValueDeserializer::from(layer.clone())).err()?;
            let kind = layer.get_ref().get("kind").and_then(|kind| kind.get_ref().as_str()).unwrap_or("without kind");
            let line = line_at(text, layer.span().start);
            Some(format!("line {line}, layer {number} ({kind}): {}", error.message()))
        })
    }
    let document = toml::de::DeTable::parse(text).ok()?;
    search(text, chain(document.get_ref().get("model")?.get_ref().get("layers")), "")
}
