//! JSON Schemas of types, and what they say about fields.

use super::markdown::{code, codes, sentence};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The schema of what is written.
pub fn output<T: JsonSchema>() -> Value {
    generate::<T>(SchemaSettings::draft2020_12().for_serialize())
}

/// The schema of what is read.
pub fn input<T: JsonSchema>() -> Value {
    generate::<T>(SchemaSettings::draft2020_12().for_deserialize())
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = serde_json::to_value(schema).unwrap();
    tidy(&mut schema);
    schema
}

/// Makes descriptions one line, in the words of JSON, and defaults as short as they were written.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if key == "description" => {
                        let lines: Vec<&str> = text.split('\n').map(str::trim).collect();
                        *text = lines.join(" ").replace("  ", " ").replace("`None`", "`null`");
                    }
                    _ => tidy(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) if number.is_f64() => {
            let exact = number.as_f64().unwrap();
            // The shortest text that gives the same f32.
            let short: f64 = (exact as f32).to_string().parse().unwrap();
            if f64::from(exact as f32) == exact {
                *value = json!(short);
            }
        }
        _ => {}
    }
}

/// A document as the text of a file.
pub fn text(schema: &Value) -> String {
    serde_json::to_string_pretty(schema).unwrap() + "\n"
}

/// A string of a schema, or none.
pub fn string<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key].as_str().unwrap_or_default()
}

/// The schema that a schema refers to, or the schema itself.
pub fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => root.pointer(place.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The schema of the value that is not null, and whether it can be null.
pub fn present(schema: &Value) -> (&Value, bool) {
    let Some(choices) = schema["anyOf"].as_array() else { return (schema, false) };
    let null = json!({"type": "null"});
    match choices.as_slice() {
        [one, other] if *other == null => (one, true),
        _ => (schema, false),
    }
}

/// The allowed texts with their descriptions.
pub fn values(schema: &Value) -> Vec<(&str, &str)> {
    let plain = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|value| (value, ""));
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let described = choices.flat_map(|choice| match choice["const"].as_str() {
        Some(value) => vec![(value, string(choice, "description"))],
        None => values(choice),
    });
    plain.chain(described).collect()
}

/// The names of the fields in the order of the type's declaration, which `written` keeps: the schema of what is written.
pub fn names(schema: &Value, written: &Value) -> Vec<String> {
    let order: Vec<&str> = written["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let mut names: Vec<String> = fields.map(|(name, _)| name.clone()).collect();
    names.sort_by_key(|name| order.iter().position(|known| known == name).unwrap_or(order.len()));
    names
}

/// The type of a field as text, in the plural if there are several.
pub fn kind(schema: &Value, root: &Value) -> String {
    let (schema, nullable) = present(schema);
    let schema = resolved(schema, root);
    let or_null = |text: String| if nullable { text + " or null" } else { text };
    if !values(schema).is_empty() {
        return or_null("string".to_owned());
    }
    if schema["oneOf"].is_array() {
        return or_null("object".to_owned());
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let kinds: Vec<String> = choices.iter().map(|choice| kind(choice, root)).collect();
        return or_null(kinds.join(" or "));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let named: Vec<String> = kinds.iter().map(|name| single(name, schema, root)).collect();
    or_null(named.join(" or "))
}

fn single(name: &str, schema: &Value, root: &Value) -> String {
    match name {
        "array" => {
            let of = plural(&kind(&schema["items"], root));
            match (&schema["minItems"], &schema["maxItems"]) {
                (Value::Number(least), Value::Number(most)) if least == most => format!("array of {least} {of}"),
                _ => format!("array of {of}"),
            }
        }
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", plural(&kind(&schema["additionalProperties"], root)))
        }
        name => name.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    match kind.split_once(' ') {
        Some((first, rest)) => format!("{first}s {rest}"),
        None => format!("{kind}s"),
    }
}

/// A value as in the file, or nothing.
pub fn default(schema: &Value) -> String {
    match &schema["default"] {
        Value::Null => String::new(),
        Value::String(text) => code(&format!("\"{text}\"")),
        Value::Number(number) => code(&number.to_string()),
        other => code(&other.to_string()),
    }
}

/// The description of a field, or that of its type, as sentences.
pub fn description(schema: &Value, root: &Value) -> String {
    let own = string(schema, "description");
    let text = if own.is_empty() { string(resolved(present(schema).0, root), "description") } else { own };
    sentence(text)
}

/// The rows of a table for all fields of an object and of those inside it: path, type and description.
pub fn rows(schema: &Value, root: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    add(schema, root, "", &mut rows);
    rows
}

fn add(schema: &Value, root: &Value, prefix: &str, rows: &mut Vec<Vec<String>>) {
    for name in names(schema, schema) {
        let field = &schema["properties"][&name];
        let values = values(resolved(present(field).0, root));
        let mut about = description(field, root);
        if values.iter().any(|(_, about)| !about.is_empty()) {
            for (value, meaning) in values {
                about += &format!(" `{value}`: {}", sentence(meaning));
            }
        } else if !values.is_empty() {
            about += &format!(" One of {}.", codes(values.into_iter().map(|(value, _)| value)));
        }
        rows.push(vec![code(&format!("{prefix}{name}")), kind(field, root), about]);
        let (mut inside, mut path) = (resolved(present(field).0, root), format!("{prefix}{name}"));
        while inside["items"].is_object() {
            inside = resolved(present(&inside["items"]).0, root);
            path += "[]";
        }
        add(inside, root, &format!("{path}."), rows);
    }
}
