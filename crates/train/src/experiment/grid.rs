//! Variations of a configuration, written `key=a,b,c`, and the grid of several variations. The keys
//! are described in `config::overrides`.

use crate::config::{Config, OverrideError, with_option};
use std::str::FromStr;

/// A key and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variation {
    key: String,
    values: Vec<String>,
}

impl FromStr for Variation {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let form = || OverrideError::Form(text.to_owned());
        let (key, values) = text.split_once('=').ok_or_else(form)?;
        let values = split_values(values);
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(form());
        }
        Ok(Self { key: key.trim().to_owned(), values })
    }
}

/// Splits at commas outside brackets.
fn split_values(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut values = vec![String::new()];
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                values.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(value) = values.last_mut() {
            value.push(c);
        }
    }
    values.into_iter().map(|value| value.trim().to_owned()).collect()
}

/// Every combination of the variations' values, the last one changing fastest: the settings, and
/// the configuration.
///
/// # Errors
/// When the architecture does not have a key, or a value is not valid.
pub fn grid(config: &Config, variations: &[Variation]) -> Result<Vec<(Vec<String>, Config)>, OverrideError> {
    let mut all = vec![(Vec::new(), config.clone())];
    for Variation { key, values } in variations {
        let mut next = Vec::new();
        for (settings, config) in &all {
            for value in values {
                let setting = format!("{key}={value}");
                let changed = with_option(config, key, value)?;
                next.push(([settings.as_slice(), &[setting]].concat(), changed));
            }
        }
        all = next;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use moue::model::architecture::LayerSpec;

    fn kinds(config: &Config) -> Vec<&'static str> {
        config.model.layers.iter().map(LayerSpec::kind).collect()
    }

    fn vary(preset: &str, variation: &str) -> Result<Vec<Config>, OverrideError> {
        let config = Config::open(preset).unwrap();
        let all = grid(&config, &[variation.parse().unwrap()])?;
        Ok(all.into_iter().map(|(_, config)| config).collect())
    }

    fn complaint(preset: &str, variation: &str) -> String {
        vary(preset, variation).unwrap_err().to_string()
    }

    #[test]
    fn keys_are_paths_in_the_file() {
        let varied = vary("seed/model-6", "train.epochs=1,2").unwrap();
        assert_eq!(varied.iter().map(|config| config.train.epochs).collect::<Vec<_>>(), [1, 2]);
        let varied = vary("seed/model-6", "model.layers.1.filters=7").unwrap();
        assert!(matches!(varied[0].model.layers[0], LayerSpec::Conv2d { filters: 7, .. }));
        let varied = vary("seed/model-6", "train.optimizer=sgd,adam").unwrap();
        assert_ne!(varied[0], varied[1]);
        let varied = vary("seed/model-6", "image_size=96x64").unwrap();
        assert_eq!(varied[0].model.input, [96, 64, 1]);
        let varied = vary("seed/model-6", "model.input=[20, 20, 3],[24, 24, 1]").unwrap();
        assert_eq!(varied.iter().map(|c| c.model.input).collect::<Vec<_>>(), [[20, 20, 3], [24, 24, 1]]);
    }

    #[test]
    fn a_kind_sets_all_its_layers_except_the_head() {
        let varied = vary("seed/kaggle-notebook", "dropout.rate=0.25").unwrap();
        let rates = varied[0].model.layers.iter().filter_map(|layer| match layer {
            LayerSpec::Dropout { rate } => Some(*rate),
            _ => None,
        });
        assert_eq!(rates.collect::<Vec<_>>(), [0.25; 6]);
        let varied = vary("seed/kaggle-notebook", "dense.units=64").unwrap();
        let Some(LayerSpec::Dense { units, .. }) = varied[0].model.layers.last() else { panic!() };
        assert!(matches!(units, moue::model::architecture::Units::PerClass(_)));
    }

    #[test]
    fn the_number_of_pairs_and_of_dense_layers() {
        let pair = ["conv2d", "max_pooling2d", "dropout"];
        for (config, pairs) in vary("seed/model-9", "pairs=1,3,5").unwrap().iter().zip([1, 3, 5]) {
            let expected = [pair.repeat(pairs), ["flatten", "dense"].to_vec()].concat();
            assert_eq!(kinds(config), expected);
        }
        let more = vary("seed/model-6", "pairs=5").unwrap().remove(0);
        assert_eq!(kinds(&more), [["conv2d", "max_pooling2d"].repeat(5), ["flatten", "dense"].to_vec()].concat());
        for (config, hidden) in vary("seed/model-6", "dense_layers=0,1,2").unwrap().iter().zip(0..) {
            assert_eq!(kinds(config).iter().filter(|&&kind| kind == "dense").count(), 1 + hidden);
        }
        let fewer = vary("seed/kaggle-notebook", "dense_layers=1").unwrap().remove(0);
        assert_eq!(kinds(&fewer)[12..], ["flatten", "dense", "dropout", "dense"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(key in "[a-z._0-9]{0,20}|pairs|dense_layers|image_size|dropout.rate", value in ".{0,12}") {
            let config = Config::open("seed/model-9").unwrap();
            if let Ok(variation) = format!("{key}={value}").parse() {
                let _ = grid(&config, &[variation]);
            }
        }
    }

    #[test]
    fn a_grid_of_two() {
        let config = Config::open("seed/model-9").unwrap();
        let variations = ["train.batch_size=16,32", "dropout.rate=0.1,0.5,0.9"].map(|text| text.parse().unwrap());
        let all = grid(&config, &variations).unwrap();
        let names: Vec<String> = all.iter().map(|(settings, _)| settings.join(" ")).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[1], "train.batch_size=16 dropout.rate=0.5");
        assert!(grid(&config, &[]).unwrap()[0].1 == config);
    }

    #[test]
    fn errors_name_the_invalid_part_of_a_key() {
        let complaints = [
            complaint("seed/model-6", "dropout.rate=0.1"),
            complaint("seed/model-6", "train.epoch=1"),
            complaint("seed/model-6", "train.epochs=0"),
            complaint("seed/model-6", "train.epochs=many"),
            complaint("seed/model-6", "epochs=3"),
            complaint("seed/model-6", "model.layers.90.rate=0.1"),
            complaint("seed/model-6", "pairs=9"),
            complaint("seed/model-3", "pairs=2"),
            complaint("seed/model-6", "pairs=x"),
            complaint("seed/model-6", "image_size=48"),
            "epochs".parse::<Variation>().unwrap_err().to_string(),
            "epochs=1,,2".parse::<Variation>().unwrap_err().to_string(),
        ];
        insta::assert_snapshot!(complaints.join("\n---\n"));
    }
}
