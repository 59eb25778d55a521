//! A search space: parameters with their ranges or choices, and the configuration that given values make.
//!
//! In the file, `[space]` has a table for each parameter. A parameter that the rest of the file refers to as `"$name"`
//! is filled in there; any other is an option by its key, as `--set` takes it.

use super::parameter::{Parameter, Values, check_conditions, collect};
use super::template::{expand, names};
use crate::config::{Config, ConfigError, with_option};
use moue::message::{did_you_mean, nearest};
use moue_engine::random::Stream;
use std::path::PathBuf;
use toml::{Table, Value};

/// Errors of search spaces.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// The name is neither a space, a preset nor a file.
    #[error(
        "there is no search space, preset or file `{name}`; the spaces are {spaces}; the presets are {presets}{}",
        did_you_mean(.similar.as_deref())
    )]
    Unknown {
        /// The given name.
        name: String,
        /// The bundled spaces.
        spaces: String,
        /// The presets.
        presets: String,
        /// The nearest name or file.
        similar: Option<String>,
    },
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not a search space.
    #[error("{name}: {message}")]
    Syntax {
        /// Space or file.
        name: String,
        /// The fault, with the key.
        message: String,
    },
    /// An architecture is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A search space.
#[derive(Clone, Debug)]
pub struct Space {
    /// Preset or file.
    pub name: String,
    /// The parameters, in alphabetical order.
    pub parameters: Vec<Parameter>,
    /// The architecture file, in which `"$name"` is the value of a parameter.
    template: Table,
    /// The parameters that the template refers to.
    own: Vec<String>,
}

/// Options that no space varies: the search decides on the number of epochs.
const FIXED: [&str; 2] = ["train.epochs", "train.seed"];

impl Space {
    /// Parses a document with `[space]`. `base` is the architecture where the document has none.
    ///
    /// # Errors
    /// When a parameter is not valid, or none of some random configurations is.
    pub fn parse(name: &str, text: &str, base: Option<&Config>) -> Result<Self, SpaceError> {
        let syntax = |message: String| SpaceError::Syntax { name: name.to_owned(), message };
        let mut template: Table = toml::from_str(text).map_err(|error| syntax(error.to_string().trim().to_owned()))?;
        let Some(Value::Table(described)) = template.remove("space") else {
            return Err(syntax("a search space has a table `[space]`".into()));
        };
        let given = match template.remove("arch") {
            None => None,
            Some(Value::String(arch)) => Some(Config::open(&arch)?),
            Some(other) => return Err(syntax(format!("`arch` is {other}; it must be a preset or a file in quotes"))),
        };
        if let Some(base) = given.as_ref().or(base) {
            if template.contains_key("model") {
                return Err(syntax("a space has either `arch` or `[model]`, not both".into()));
            }
            let text = base.to_toml().map_err(|error| syntax(error.to_string()))?;
            let mut own: Table = toml::from_str(&text).map_err(|error| syntax(error.to_string()))?;
            for (section, options) in std::mem::take(&mut template) {
                match (own.get_mut(&section), options) {
                    (Some(Value::Table(own)), Value::Table(options)) => own.extend(options),
                    (_, options) => drop(own.insert(section, options)),
                }
            }
            template = own;
        }
        if !template.contains_key("model") {
            return Err(syntax(
                "a search space needs a network: `[model]`, or `arch = \"small\"` above `[space]`".into(),
            ));
        }
        let mut parameters = Vec::new();
        collect(&described, "", &mut parameters).map_err(syntax)?;
        if parameters.is_empty() {
            return Err(syntax("`[space]` has no parameters".into()));
        }
        if let Some(fixed) = parameters.iter().find(|parameter| FIXED.contains(&parameter.name.as_str())) {
            return Err(syntax(format!(
                "space.{}: it is the same for all trials; give it in `[train]` or as an option",
                fixed.name
            )));
        }
        let own = names(&Value::Table(template.clone()));
        let known = || parameters.iter().map(|parameter| parameter.name.as_str());
        if let Some(missing) = own.iter().find(|own| !known().any(|known| known == *own)) {
            let hint = did_you_mean(nearest(missing, known()));
            return Err(syntax(format!("`${missing}` is not a parameter of `[space]`{hint}")));
        }
        check_conditions(&parameters).map_err(syntax)?;
        let space = Self { name: name.to_owned(), parameters, template, own };
        space.check()?;
        Ok(space)
    }

    /// The configuration of these values, as they would be written into an architecture file.
    ///
    /// # Errors
    /// When a value is not valid, or a layer cannot be built on the output of the previous one.
    pub fn config(&self, values: &Values) -> Result<Config, SpaceError> {
        let syntax = |message: String| SpaceError::Syntax { name: self.name.clone(), message };
        let mut document = expand(&self.template, values).map_err(syntax)?;
        let mut others = Vec::new();
        for (key, value) in values.iter().filter(|(key, _)| !self.own.contains(key)) {
            match key.split_once('.') {
                Some((section @ ("train" | "augment" | "data"), option)) if !option.contains('.') => {
                    let options = document.entry(section).or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(options) = options {
                        options.insert(option.to_owned(), value.clone());
                    }
                }
                _ => others.push((key, value)),
            }
        }
        let text = toml::to_string(&document).map_err(|error| syntax(error.to_string()))?;
        let mut config = Config::parse(&self.name, &text).map_err(shortened)?;
        for (key, value) in others {
            config = with_option(&config, key, &option_text(value)).map_err(|error| syntax(error.to_string()))?;
        }
        Ok(config)
    }

    /// The parameters that are active with these values, which may have more.
    #[must_use]
    pub fn active(&self, values: &Values) -> Values {
        let mut active = values.clone();
        loop {
            let is_active = |name: &String, active: &Values| {
                let parameter = self.parameters.iter().find(|parameter| parameter.name == *name);
                parameter.is_some_and(|parameter| {
                    parameter
                        .when
                        .iter()
                        .all(|(other, wanted)| active.get(other).is_some_and(|own| wanted.contains(own)))
                })
            };
            let kept: Values = active
                .iter()
                .filter(|(name, _)| is_active(name, &active))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect();
            if kept.len() == active.len() {
                return kept;
            }
            active = kept;
        }
    }

    /// Values at random, each of them equally likely.
    #[must_use]
    pub fn draw(&self, stream: &mut Stream) -> Values {
        self.active(&self.draw_all(stream))
    }

    /// A value for each parameter, active or not.
    fn draw_all(&self, stream: &mut Stream) -> Values {
        let value = |parameter: &Parameter| (parameter.name.clone(), parameter.at(f64::from(stream.uniform())));
        self.parameters.iter().map(value).collect()
    }

    /// Validates the extremes of each parameter, the others at random.
    fn check(&self) -> Result<(), SpaceError> {
        // Whether a network can be built may depend on several parameters.
        let depends = |error: &SpaceError| matches!(error, SpaceError::Config(ConfigError::Architecture { .. }));
        let mut reason: Option<SpaceError> = None;
        let mut stream = Stream::new(0);
        let found = (0..100).find_map(|_| {
            let values = self.draw_all(&mut stream);
            let Err(error) = self.config(&self.active(&values)) else { return Some(values) };
            if reason.as_ref().is_none_or(depends) {
                reason = Some(error);
            }
            None
        });
        let values = match (found, reason) {
            (Some(values), _) => values,
            (None, Some(error)) => return Err(error),
            (None, None) => return Ok(()),
        };
        for parameter in &self.parameters {
            for u in [0.0, 1.0] {
                let mut values = values.clone();
                values.insert(parameter.name.clone(), parameter.at(u));
                match self.config(&self.active(&values)) {
                    Err(error) if !depends(&error) => return Err(self.in_parameter(parameter, u, &error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn in_parameter(&self, parameter: &Parameter, u: f64, error: &SpaceError) -> SpaceError {
        let text = moue::with_causes(error);
        let text = text.strip_prefix(&format!("{}: ", self.name)).unwrap_or(&text).to_owned();
        let message = format!("space.{} = {}: {text}", parameter.name, parameter.at(u));
        SpaceError::Syntax { name: self.name.clone(), message }
    }
}

/// The error without the excerpt of a generated document.
fn shortened(error: ConfigError) -> ConfigError {
    match error {
        ConfigError::Syntax { name, message } => {
            ConfigError::Syntax { name, message: message.lines().last().unwrap_or_default().to_owned() }
        }
        // The lines are those of the generated document.
        ConfigError::Architecture { name, source, .. } => ConfigError::Architecture { name, line: None, source },
        other => other,
    }
}

/// A value as `--set` takes it.
fn option_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: &str = r#"
        [model]
        name = "net"
        input = [16, 16, 1]
        layers = [
          { repeat = "$blocks", layers = [
            { kind = "conv2d", filters = "$filters", padding = "same" },
            { kind = "max_pooling2d" },
            { kind = "dropout", rate = 0.1 },
          ] },
          { kind = "flatten" },
          { kind = "dense", units = "classes", activation = "softmax" },
        ]
    "#;

    fn space(parameters: &str) -> Result<Space, SpaceError> {
        Space::parse("my.toml", &format!("[space]\n{parameters}\n{NET}"), None)
    }

    const OWN: &str = "blocks = { min = 1, max = 6 }\nfilters = { choices = [[4, 8], [2]] }";

    #[test]
    fn values_make_a_configuration() {
        let more = "train.learning_rate = { min = 0.001, max = 0.1, log = true }\ndropout.rate = { choices = [0.3] }";
        let space = space(&format!("{OWN}\n{more}")).unwrap();
        let values: Table =
            toml::from_str("blocks = 3\nfilters = [4, 8]\n\"train.learning_rate\" = 0.02\n\"dropout.rate\" = 0.3")
                .unwrap();
        let config = space.config(&values.into_iter().collect()).unwrap();
        let text = config.to_toml().unwrap();
        assert_eq!(text.matches("filters = 8").count(), 2, "{text}");
        assert!(text.contains("filters = 4") && text.contains("learning_rate = 0.02") && text.contains("rate = 0.3"));
        // Five blocks halve 16 pixels too often.
        let values: Table = toml::from_str("blocks = 6\nfilters = [2]").unwrap();
        let error = space.config(&values.into_iter().collect()).unwrap_err();
        assert!(matches!(error, SpaceError::Config(ConfigError::Architecture { line: None, .. })), "{error}");
    }

    #[test]
    fn inactive_parameters_have_no_value() {
        let conditions = "train.optimizer = { choices = [\"sgd\", \"adam\"] }\n\
            train.momentum = { min = 0.5, max = 0.9, when = { \"train.optimizer\" = \"sgd\" } }\n\
            train.nesterov = { choices = [true], when = { \"train.momentum\" = [0.5, 0.9] } }";
        let space = space(&format!("{OWN}\n{conditions}")).unwrap();
        let mut stream = Stream::new(3);
        for _ in 0..50 {
            let values = space.draw(&mut stream);
            let is_sgd = values["train.optimizer"].as_str() == Some("sgd");
            assert_eq!(values.contains_key("train.momentum"), is_sgd, "{values:?}");
            assert!(!values.contains_key("train.nesterov") || is_sgd);
        }
    }

    #[test]
    fn a_space_may_be_over_an_architecture() {
        let base = Config::open("tiny").unwrap();
        let space = Space::parse("own", "[space]\ntrain.step_epochs = { min = 1, max = 3 }", Some(&base)).unwrap();
        let config = space.config(&space.draw(&mut Stream::new(1))).unwrap();
        assert_eq!((config.model, config.augment), (base.model, base.augment));
        let named = "arch = \"seed/model-6\"\n[space]\npairs = { choices = [2, 3] }\n[train]\nepochs = 2";
        let space = Space::parse("own", named, None).unwrap();
        let config = space.config(&space.draw(&mut Stream::new(1))).unwrap();
        assert_eq!((config.train.epochs, config.train.batch_size), (2, 64));
    }

    #[test]
    fn errors_name_the_file_and_the_key() {
        let fault = |parameters: &str| moue::with_causes(&space(parameters).unwrap_err());
        let faults = [
            fault(""),
            fault("blocks = 3"),
            fault("blocks = { min = 1, max = 6 }"),
            fault(&format!("{OWN}\ndropout.rte = {{ choices = [0.3] }}")),
            fault(&format!("{OWN}\ntrain.epochs = {{ min = 1, max = 2 }}")),
            fault(&format!("{OWN}\ntrain.learning_rat = {{ min = 1, max = 2 }}")),
            fault(&format!("{OWN}\ntrain.label_smoothing = {{ min = 0.0, max = 2.0 }}")),
            fault(&format!("{OWN}\ntrain.step_epochs = {{ min = 1, maximum = 2 }}")),
            fault(&format!("{OWN}\ntrain.step_epochs = {{ min = 2, max = 1 }}")),
            fault(&format!("{OWN}\ntrain.step_epochs = {{ min = 0.0, max = 1.0, log = true }}")),
            fault(&format!("{OWN}\ntrain.step_epochs = {{ min = 1, max = 2, when = {{ block = 1 }} }}")),
            fault(&format!("{OWN}\ntrain.step_epochs = {{ min = 1, max = 2, when = {{ blocks = 7 }} }}")),
            Space::parse("my.toml", NET, None).unwrap_err().to_string(),
            Space::parse("my.toml", "[space]\ntrain.step_epochs = { min = 1, max = 2 }", None).unwrap_err().to_string(),
        ];
        insta::assert_snapshot!(faults.join("\n---\n"));
    }
}
