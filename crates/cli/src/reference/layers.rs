//! The page of layers, from the doc comments of `LayerSpec`.

use super::markdown::{anchor, code, sentence, table};
use super::schema::{default, description, input, kind, names, output, present, resolved, string, values};
use moue::model::architecture::LayerSpec;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The variants of the type: one for each kind of layer.
fn variants(root: &Value) -> Vec<&Value> {
    root["oneOf"].as_array().unwrap().iter().collect()
}

fn name(variant: &Value) -> &str {
    string(&variant["properties"]["kind"], "const")
}

pub fn page() -> String {
    let (root, written) = (input::<LayerSpec>(), output::<LayerSpec>());
    let all = variants(&root);
    let list: Vec<Vec<String>> = all
        .iter()
        .map(|variant| vec![format!("[`{0}`](#{0})", name(variant)), sentence(string(variant, "description"))])
        .collect();
    let mut page = "The layers of a network are listed under `layers` in the section [`[model]`](configuration.md#model), each \
        as a table with its `kind` and its options, for example `{ kind = \"conv2d\", filters = 32 }`. Names and options \
        are those of Keras. Options without a default are required.\n\n"
        .to_owned();
    page += &table(&["kind", "description"], &list);
    let mut types = BTreeSet::new();
    for (variant, written) in all.iter().zip(variants(&written)) {
        assert_eq!(name(variant), name(written));
        page += &section(variant, written, &root, &mut types);
    }
    for name in types {
        let schema = &root["$defs"][&name];
        page += &format!("## {name}\n\n{}\n\n{}", sentence(string(schema, "description")), values_table(schema));
    }
    page
}

/// A kind of layer. Types with a list of values are added to `types`.
fn section(variant: &Value, written: &Value, root: &Value, types: &mut BTreeSet<String>) -> String {
    let required = |key: &str| variant["required"].as_array().is_some_and(|all| all.contains(&json!(key)));
    let option = |key: String| {
        let field = &variant["properties"][&key];
        let target = present(field).0;
        let kind = match target["$ref"].as_str().and_then(|place| place.rsplit('/').next()) {
            Some(name) if values(resolved(target, root)).len() > 1 => {
                types.insert(name.to_owned());
                format!("[{name}](#{})", anchor(name))
            }
            _ => layer_kind(&kind(target, root)),
        };
        let default = match default(field) {
            _ if required(&key) => "required".to_owned(),
            none if none.is_empty() => "none".to_owned(),
            default => default,
        };
        vec![code(&key), kind, default, description(field, root)]
    };
    let keys = names(variant, written).into_iter().filter(|key| key != "kind");
    let rows: Vec<Vec<String>> = keys.map(option).collect();
    format!(
        "## {}\n\n{}\n\n{}",
        name(variant),
        sentence(string(variant, "description")),
        if rows.is_empty() {
            "No options.\n\n".to_owned()
        } else {
            table(&["option", "type", "default", "description"], &rows)
        }
    )
}

/// Arrays of tables are layers here.
fn layer_kind(kind: &str) -> String {
    kind.replace("objects", "layers")
}

/// The allowed values of a type.
pub fn values_table(schema: &Value) -> String {
    let rows: Vec<Vec<String>> =
        values(schema).into_iter().map(|(value, about)| vec![code(&format!("\"{value}\"")), sentence(about)]).collect();
    table(&["value", "description"], &rows)
}
