//! Sets single options of a configuration.
//!
//! A key is a path in the architecture file (`train.epochs`, `model.layers.3.rate`, counted from
//! 1), an option of all layers of a kind (`dropout.rate`), or one of three keys that change the
//! network's structure: `image_size`, `pairs` and `dense_layers`.

use super::file::{Config, ConfigError};
use super::suggestion::option_keys;
use moue::message::{did_you_mean, nearest};
use toml::{Table, Value};

/// Errors of setting options.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// The text is not of the form `key=a,b,c`.
    #[error("`{0}` is not a variation; write key=a,b,c, for example dropout.rate=0.1,0.3,0.5")]
    Form(String),
    /// This architecture does not have the key.
    #[error("cannot vary `{key}` of {architecture}: {reason}")]
    Key {
        /// Name of the architecture.
        architecture: String,
        /// The key.
        key: String,
        /// The reason.
        reason: String,
    },
    /// The value is not valid.
    #[error("{architecture} with {setting}: {reason}")]
    Value {
        /// Name of the architecture.
        architecture: String,
        /// `key=value`.
        setting: String,
        /// The reason.
        reason: String,
    },
    /// The configuration cannot be represented in TOML.
    #[error("the configuration cannot be written as TOML")]
    Toml(#[from] toml::ser::Error),
}

/// The configuration with one option set.
///
/// # Errors
/// When the architecture does not have the key, or the value is not valid.
pub fn with_option(config: &Config, key: &str, text: &str) -> Result<Config, OverrideError> {
    let mut document: Table = toml::from_str(&config.to_toml()?).map_err(|error| OverrideError::Key {
        architecture: config.model.name.clone(),
        key: key.to_owned(),
        reason: error.to_string(),
    })?;
    let value = value_of(text);
    let known = keys(&document);
    let changed = match key {
        "image_size" => set_image_size(&mut document, text),
        "pairs" => set_groups(&mut document, &value, ends_pair, None),
        "dense_layers" => set_dense_layers(&mut document, &value),
        _ => set(&mut document, key, value),
    };
    changed.map_err(|reason| OverrideError::Key {
        architecture: config.model.name.clone(),
        key: key.to_owned(),
        reason: reason + &did_you_mean(nearest(key, known.iter().map(String::as_str).filter(|known| *known != key))),
    })?;
    let setting = format!("{key}={text}");
    let text = toml::to_string(&document)?;
    Config::parse(&config.model.name, &text).map_err(|error| OverrideError::Value {
        architecture: config.model.name.clone(),
        setting,
        reason: reason(error),
    })
}

/// The error without the excerpt of a generated document.
fn reason(error: ConfigError) -> String {
    match error {
        ConfigError::Syntax { message, .. } => message.lines().last().unwrap_or_default().to_owned(),
        ConfigError::Architecture { source, .. } => match std::error::Error::source(&source) {
            Some(cause) => format!("{source}: {cause}"),
            None => source.to_string(),
        },
        ConfigError::Range { message, .. } => message,
        other => other.to_string(),
    }
}

/// The text as a TOML value, or else as a string.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("v = {text}")).ok().and_then(|mut table| table.remove("v"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// The keys that this configuration has.
fn keys(document: &Table) -> Vec<String> {
    fn of_layers(layer: &Value, keys: &mut Vec<String>) {
        if let Value::Table(table) = layer {
            let options =
                table.keys().filter(|option| !["kind", "layers", "shortcut", "branches"].contains(&&***option));
            keys.extend(options.map(|option| format!("{}.{option}", kind(layer))));
            table.values().for_each(|inner| of_layers(inner, keys));
        } else if let Value::Array(layers) = layer {
            layers.iter().for_each(|inner| of_layers(inner, keys));
        }
    }
    let mut keys = option_keys();
    keys.extend(["image_size", "pairs", "dense_layers"].map(str::to_owned));
    if let Some(Value::Table(model)) = document.get("model") {
        keys.extend(model.keys().filter(|key| *key != "layers").map(|key| format!("model.{key}")));
        model.get("layers").into_iter().for_each(|layers| of_layers(layers, &mut keys));
    }
    keys
}

fn layers(document: &mut Table) -> Result<&mut Vec<Value>, String> {
    let layers = document.get_mut("model").and_then(|model| model.get_mut("layers"));
    layers.and_then(Value::as_array_mut).ok_or_else(|| "it has no layers".to_owned())
}

fn kind(layer: &Value) -> &str {
    layer.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn set(document: &mut Table, key: &str, value: Value) -> Result<(), String> {
    let (first, option) = key.split_once('.').ok_or_else(|| {
        format!(
            "write SECTION.KEY ({}), KIND.OPTION (dropout.rate), image_size, pairs or dense_layers",
            sections(document)
        )
    })?;
    if document.contains_key(first) {
        return set_at(document, key, value);
    }
    let count = set_in_kind(layers(document)?, first, option, &value);
    if count == 0 {
        return Err(format!(
            "`{first}` is neither a section ({}) nor the kind of a layer of this network",
            sections(document)
        ));
    }
    Ok(())
}

fn sections(document: &Table) -> String {
    document.keys().cloned().collect::<Vec<_>>().join(", ")
}

fn set_at(document: &mut Table, key: &str, value: Value) -> Result<(), String> {
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let mut at: Option<&mut Value> = None;
    for part in parts {
        let next: Option<&mut Value> = match at {
            None => document.get_mut(part),
            Some(Value::Table(table)) => table.get_mut(part),
            Some(Value::Array(array)) => {
                let number = part.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                number.and_then(|number| array.get_mut(number))
            }
            Some(_) => None,
        };
        at = Some(next.ok_or_else(|| format!("there is no `{part}`"))?);
    }
    match at {
        Some(Value::Table(table)) => {
            table.insert(last.to_owned(), value);
            Ok(())
        }
        _ => Err(format!("there is no `{last}`")),
    }
}

/// Sets an option in all layers of a kind, including those in blocks, except the last dense layer,
/// whose units are the classes.
fn set_in_kind(layers: &mut [Value], wanted: &str, option: &str, value: &Value) -> usize {
    let mut count = 0;
    for layer in layers {
        let head = layer.get("units").and_then(Value::as_str).is_some();
        let fits = kind(layer) == wanted && !head;
        let Some(table) = layer.as_table_mut() else { continue };
        if fits {
            table.insert(option.to_owned(), value.clone());
            count += 1;
        }
        for inner in ["layers", "shortcut"] {
            if let Some(Value::Array(inner)) = table.get_mut(inner) {
                count += set_in_kind(inner, wanted, option, value);
            }
        }
        if let Some(Value::Array(branches)) = table.get_mut("branches") {
            let chains = branches.iter_mut().filter_map(Value::as_array_mut);
            count += chains.map(|chain| set_in_kind(chain, wanted, option, value)).sum::<usize>();
        }
    }
    count
}

fn set_image_size(document: &mut Table, text: &str) -> Result<(), String> {
    let sides: Option<Vec<i64>> = text.split(['x', 'X']).map(|side| side.trim().parse().ok()).collect();
    let input = document.get_mut("model").and_then(|model| model.get_mut("input")).and_then(Value::as_array_mut);
    match (sides.as_deref(), input.map(Vec::as_mut_slice)) {
        (Some(&[height, width]), Some([to_height, to_width, _])) => {
            *to_height = Value::Integer(height);
            *to_width = Value::Integer(width);
            Ok(())
        }
        _ => Err(format!("{text} is not a size; write HEIGHTxWIDTH")),
    }
}

/// Whether a layer ends a convolution–pooling pair.
fn ends_pair(layer: &Value) -> bool {
    ["max_pooling2d", "average_pooling2d"].contains(&kind(layer))
}

/// Whether a layer belongs to the preceding layer.
fn goes_along(layer: &Value) -> bool {
    ["dropout", "batch_normalization", "relu", "leaky_relu", "silu", "tanh", "sigmoid"].contains(&kind(layer))
}

fn is_hidden_dense(layer: &Value) -> bool {
    kind(layer) == "dense" && layer.get("units").and_then(Value::as_integer).is_some()
}

/// Keeps the first `number` groups of layers, or repeats the last one until there are `number`
/// groups. A group ends with a layer that `ends` accepts and the layers that belong to it.
fn set_groups(
    document: &mut Table,
    number: &Value,
    ends: fn(&Value) -> bool,
    first: Option<usize>,
) -> Result<(), String> {
    let number = number.as_integer().and_then(|number| usize::try_from(number).ok());
    let number = number.ok_or("the value must be a whole number")?;
    let layers = layers(document)?;
    let mut bounds = vec![first.unwrap_or(0)];
    let mut at = bounds[0];
    while let Some(end) = (at..layers.len()).find(|&i| ends(&layers[i])) {
        at = end + 1;
        while layers.get(at).is_some_and(goes_along) {
            at += 1;
        }
        bounds.push(at);
    }
    let groups = bounds.len() - 1;
    if groups == 0 {
        return Err("the network has none".to_owned());
    }
    let end = bounds[groups];
    let tail = layers.split_off(end);
    if number < groups {
        layers.truncate(bounds[number]);
    }
    let last: Vec<Value> = layers.get(bounds[groups - 1]..).unwrap_or_default().to_vec();
    for _ in groups..number {
        layers.extend(last.iter().cloned());
    }
    layers.extend(tail);
    Ok(())
}

/// Sets the number of hidden dense layers; 128 units with ReLU where there is none.
fn set_dense_layers(document: &mut Table, number: &Value) -> Result<(), String> {
    let all = layers(document)?;
    let first = match all.iter().position(is_hidden_dense) {
        Some(first) => first,
        None => {
            let head = all.iter().rposition(|layer| kind(layer) == "dense").ok_or("the network has no dense layer")?;
            all.insert(head, value_of(r#"{ kind = "dense", units = 128, activation = "relu" }"#));
            head
        }
    };
    set_groups(document, number, is_hidden_dense, Some(first))
}
