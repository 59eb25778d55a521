//! The page of the HTTP API, from its OpenAPI document.

use super::markdown::{anchor, code, sentence, table};
use super::schema::{default, names, string};
use moue_server::Limits;
use serde_json::Value;

/// The OpenAPI document with the default limits of a machine with 2 threads.
pub fn document() -> Value {
    moue_server::openapi(&Limits { workers: 2, ..Limits::default() })
}

pub fn page() -> String {
    let document = document();
    let mut page = format!(
        "{} `moue serve` starts the service; [openapi.json](openapi.json) describes it for programs, as does \
        `/openapi.json` of a running service.\n\n",
        sentence(string(&document["info"], "description"))
    );
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            page += &operation_text(path, &method.to_uppercase(), operation);
        }
    }
    page += "## Schemas\n\n";
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let row = |name: String| {
            let field = &schema["properties"][&name];
            vec![code(&name), kind(field), sentence(&string(field, "description").replace("`None`", "`null`"))]
        };
        let rows: Vec<Vec<String>> = names(schema, schema).into_iter().map(row).collect();
        let about = sentence(&one_line(string(schema, "description")));
        page += &format!("### {name}\n\n{about}\n\n{}", table(&["field", "type", "description"], &rows));
    }
    page
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn operation_text(path: &str, method: &str, operation: &Value) -> String {
    let mut text = format!("## {method} {path}\n\n{}\n\n", sentence(string(operation, "summary")));
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<Vec<String>> = parameters
        .map(|parameter| {
            let schema = &parameter["schema"];
            let about = sentence(&one_line(string(parameter, "description")));
            vec![
                code(string(parameter, "name")),
                string(parameter, "in").to_owned(),
                kind(schema),
                default(schema),
                about,
            ]
        })
        .collect();
    text += &table(&["parameter", "in", "type", "default", "description"], &parameters);
    let body = &operation["requestBody"];
    if body.is_object() {
        text += &format!("Body: {}\n\n", sentence(&one_line(string(body, "description"))));
    }
    let responses: Vec<Vec<String>> = operation["responses"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(status, response)| {
            let content = response["content"].as_object().into_iter().flatten().next();
            let kind = content.map(|(_, content)| kind(&content["schema"])).unwrap_or_default();
            vec![status.clone(), kind, sentence(&one_line(string(response, "description")))]
        })
        .collect();
    text + &table(&["status", "body", "description"], &responses)
}

/// The type of a field; schemas are links.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|place| place.rsplit('/').next()) {
        return format!("[{name}](#{})", anchor(name));
    }
    let choices = schema["oneOf"].as_array().or(schema["allOf"].as_array()).or(schema["anyOf"].as_array());
    if let Some(choices) = choices {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let one = |name: &str| match name {
        "array" => format!("array of {}", kind(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object with values of type {}", kind(&schema["additionalProperties"]))
        }
        name => name.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => one(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(one).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}
