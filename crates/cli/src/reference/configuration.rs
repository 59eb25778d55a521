//! The page of the configuration file, from the doc comments of its types.

use super::layers::values_table;
use super::markdown::{anchor, code, table};
use super::schema::{default, description, input, kind, names, output, present, resolved, string, values};
use moue_train::config::{Bounded, Config, PRESETS};
use moue_train::tune::PARAMETER_FIELDS;
use serde_json::{Value, json};

/// The schema of a configuration file, with the ranges that are checked.
pub fn schema() -> Value {
    let mut schema = input::<Config>();
    for Bounded { key, low, high, .. } in bounded() {
        let (section, name) = key.split_once('.').unwrap();
        let place = schema["properties"][section]["$ref"].as_str().unwrap().trim_start_matches('#').to_owned();
        let field = &mut schema.pointer_mut(&place).unwrap()["properties"][name];
        assert!(field.is_object(), "{key} has a range, but there is no such option");
        field["minimum"] = number(low);
        if high.is_finite() {
            field["maximum"] = number(high);
        }
    }
    schema["title"] = json!("Configuration file");
    schema
}

/// The numeric options with their ranges.
fn bounded() -> Vec<Bounded> {
    Config::open("small").unwrap().bounded()
}

/// A bound as short as it was written.
fn number(bound: f32) -> Value {
    if bound.fract() == 0.0 { json!(bound as i64) } else { json!(bound.to_string().parse::<f64>().unwrap()) }
}

pub fn page() -> String {
    let (root, written) = (schema(), output::<Config>());
    let mut page = "A configuration file (TOML) describes a network and how it is trained. Messages of the program call it the \
        architecture file. Only `[model]` is required.\n\n\
        - `moue arch show NAME --toml` prints the file of a preset with every default, and `config.toml` in a run folder \
        has the same form. Both can be passed to `moue train` instead of the name of a preset.\n\
        - `moue train --set KEY=VALUE` sets any option for one run (`--set dropout.rate=0.5`, \
        `--set train.schedule=cosine`); [`moue compare --vary`](commands.md#moue-compare) has the same keys.\n\
        - Mistakes are reported with their line and layer before anything is computed.\n\
        - [schemas/config.json](schemas/config.json) is the JSON Schema of the file, for editors.\n\n"
        .to_owned();
    for name in ["model", "data", "augment", "train"] {
        page += &section(name, &root, &written);
    }
    page + &space()
}

/// The fields of a parameter of a search space.
const PARAMETERS: [(&str, &str, &str); 6] = [
    (
        "choices",
        "array",
        "The values: numbers, strings, booleans or lists. A list gives each repetition of layers its own value.",
    ),
    (
        "min",
        "number",
        "Minimum of a range, which has whole numbers only if all of `min`, `max` and `step` are whole numbers.",
    ),
    ("max", "number", "Maximum of a range."),
    ("log", "boolean", "Whether all orders of magnitude are equally likely; without `step`. Default: false."),
    ("step", "number", "Distance of neighboring values, from `min` on. Default: any value, or 1 for whole numbers."),
    (
        "when",
        "table",
        "Names of other parameters and their values, or lists of them, with which this one is active. Default: always.",
    ),
];

/// What a search space has besides the options of a configuration file.
fn space() -> String {
    let row = |name: &str| {
        let known = PARAMETERS.iter().find(|(field, ..)| *field == name);
        let (name, kind, about) = known.unwrap_or_else(|| panic!("describe the field {name} of a parameter here"));
        vec![code(name), (*kind).to_owned(), (*about).to_owned()]
    };
    let rows: Vec<Vec<String>> = PARAMETER_FIELDS.into_iter().map(row).collect();
    assert_eq!(rows.len(), PARAMETERS.len(), "a field that is described here does not exist");
    format!(
        "## `[space]`\n\nOnly in a search space, for [`moue tune`](commands.md#moue-tune) ([guide](../guides/tune.md)): a table for each \
         parameter. Its key is that of an option, as `--set` takes it, or a name that the rest of the file refers to as `\"$name\"`. \
         `{{ repeat = \"$name\", layers = [...] }}` in place of a layer repeats layers. `arch = \"NAME\"` above `[space]`, a preset or a \
         file, replaces `[model]`. `train.epochs` and `train.seed` are the same for all trials.\n\n{}",
        table(&["field", "type", "description"], &rows)
    )
}

/// A section of the file and the values of its options.
fn section(name: &str, root: &Value, written: &Value) -> String {
    let of = |root: &Value| resolved(&root["properties"][name], root).clone();
    let (schema, order) = (of(root), of(written));
    let required = |key: &str| schema["required"].as_array().is_some_and(|all| all.contains(&json!(key)));
    let (mut rows, mut after) = (Vec::new(), String::new());
    for key in names(&schema, &order) {
        let field = &schema["properties"][&key];
        let target = resolved(present(field).0, root);
        let default = match default(field) {
            _ if required(&key) => "required".to_owned(),
            none if none.is_empty() => "none".to_owned(),
            default => default,
        };
        let mut about = description(field, root);
        let heading = format!("{name}.{key}");
        let kind = if key == "layers" {
            "array of [layers](layers.md)".to_owned()
        } else if values(target).is_empty() {
            // TOML has tables, and no null.
            kind(field, root).replace(" or null", "").replace("object", "table") + &range(field)
        } else {
            after += &format!("### {heading}\n\n{}", values_table(target));
            format!("[one of {}](#{})", values(target).len(), anchor(&heading))
        };
        // The fields of a list of tables, or of a table that may also be a switch.
        let choices = target["anyOf"].as_array().into_iter().flatten().chain([&target["items"]]);
        let inside = choices.map(|choice| resolved(choice, root)).find(|choice| choice["properties"].is_object());
        if let Some(inside) = inside.filter(|_| key != "layers") {
            let which = if target["items"].is_object() { "each table" } else { "the table" };
            after += &format!("### {heading}\n\nFields of {which}:\n\n{}", fields(inside, root));
            about += &format!(" See [its fields](#{}).", anchor(&heading));
        }
        rows.push(vec![code(&key), kind, default, about]);
    }
    let text = string(&schema, "description");
    format!("## \\[{name}\\]\n\n{text}\n\n{}{after}", table(&["key", "type", "default", "description"], &rows))
}

fn fields(schema: &Value, root: &Value) -> String {
    let row = |name: String| {
        let field = &schema["properties"][&name];
        vec![code(&name), kind(field, root), default(field), description(field, root)]
    };
    let rows: Vec<_> = names(schema, schema).into_iter().map(row).collect();
    table(&["key", "type", "default", "description"], &rows)
}

fn range(field: &Value) -> String {
    match (&field["minimum"], &field["maximum"]) {
        (Value::Number(low), Value::Number(high)) => format!(", {low} to {high}"),
        (Value::Number(low), _) => format!(", at least {low}"),
        _ => String::new(),
    }
}

#[test]
fn values_beyond_a_range_are_rejected() {
    let config = Config::open("small").unwrap();
    for Bounded { key, low, high, .. } in bounded() {
        let is_valid = |value: f32| {
            // Either is the form of an integer option, the other that of a fraction.
            let texts = [format!("{value:?}"), (value as i64).to_string()];
            texts.iter().any(|text| moue_train::config::with_option(&config, key, text).is_ok())
        };
        assert!(is_valid(low) && (high.is_infinite() || is_valid(high)), "{key}");
        assert!(!is_valid(low - 1.0) && (high.is_infinite() || !is_valid(high * 1.01 + 1.0)), "{key}");
    }
}

#[test]
fn presets_match_the_schema_and_unknown_keys_do_not() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    for preset in PRESETS {
        let mut config = serde_json::to_value(Config::open(preset.name).unwrap()).unwrap();
        let errors: Vec<String> = validator.iter_errors(&config).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", preset.name);
        config["train"]["epoch"] = json!(3);
        assert!(!validator.is_valid(&config));
    }
}
