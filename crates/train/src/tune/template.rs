//! Fills the template of a space: `"$name"` is the value of a parameter, and
//! `{ repeat = "$blocks", layers = [...] }` repeats layers.

use super::parameter::Values;
use moue::message::{did_you_mean, nearest};
use toml::{Table, Value};

/// The document with the values in place of the names.
pub fn expand(document: &Table, values: &Values) -> Result<Table, String> {
    match expanded(&Value::Table(document.clone()), values, None)? {
        Value::Table(table) => Ok(table),
        _ => Ok(Table::new()),
    }
}

/// The names that a document refers to.
pub fn names(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.strip_prefix('$').map(str::to_owned).into_iter().collect(),
        Value::Array(items) => items.iter().flat_map(names).collect(),
        Value::Table(table) => table.values().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// `number` is that of the repetition, from 0: a list gives each repetition its own value, and the last one to those
/// beyond its end.
fn expanded(value: &Value, values: &Values, number: Option<usize>) -> Result<Value, String> {
    match value {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => value_of(name, values, number),
            None => Ok(value.clone()),
        },
        Value::Table(table) => {
            let fields = table.iter().map(|(key, value)| Ok((key.clone(), expanded(value, values, number)?)));
            fields.collect::<Result<Table, String>>().map(Value::Table)
        }
        Value::Array(items) => {
            let mut all = Vec::new();
            for item in items {
                match item.as_table().filter(|table| table.contains_key("repeat")) {
                    Some(table) => repeat(table, values, number, &mut all)?,
                    None => all.push(expanded(item, values, number)?),
                }
            }
            Ok(Value::Array(all))
        }
        _ => Ok(value.clone()),
    }
}

fn value_of(name: &str, values: &Values, number: Option<usize>) -> Result<Value, String> {
    let value = values.get(name).ok_or_else(|| {
        format!("`${name}` has no value: no parameter of this name is active here")
            + &did_you_mean(nearest(name, values.keys().map(String::as_str)))
    })?;
    match (value, number) {
        (Value::Array(items), Some(number)) => {
            items.get(number).or(items.last()).cloned().ok_or_else(|| format!("`${name}` is an empty list"))
        }
        _ => Ok(value.clone()),
    }
}

fn repeat(table: &Table, values: &Values, number: Option<usize>, all: &mut Vec<Value>) -> Result<(), String> {
    if let Some(other) = table.keys().find(|key| !["repeat", "layers"].contains(&key.as_str())) {
        let hint = did_you_mean(nearest(other, ["repeat", "layers"]));
        return Err(format!("a repetition has `repeat` and `layers`, not `{other}`{hint}"));
    }
    // A switch is no repetition: its layers belong to the block around it.
    let (count, counts) = match expanded(&table["repeat"], values, number)? {
        Value::Boolean(is_on) => (usize::from(is_on), false),
        Value::Integer(count) if (0..=1000).contains(&count) => (count as usize, true),
        other => return Err(format!("`repeat` is {other}; it must be true, false or a whole number from 0 to 1000")),
    };
    let layers = table.get("layers").and_then(Value::as_array).ok_or("a repetition has no `layers = [...]`")?;
    for own in 0..count {
        let number = if counts { Some(own) } else { number };
        if let Value::Array(layers) = expanded(&Value::Array(layers.clone()), values, number)? {
            all.extend(layers);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(layers: &str, values: &str) -> Result<String, String> {
        let document: Table = toml::from_str(&format!("layers = {layers}")).unwrap();
        let values: Table = toml::from_str(values).unwrap();
        let values: Values = values.into_iter().collect();
        Ok(expand(&document, &values)?["layers"].to_string())
    }

    #[test]
    fn lists_give_each_repetition_its_own_value() {
        let layers = r#"[{ repeat = "$n", layers = [{ f = "$f" }, { repeat = "$on", layers = [{ g = "$f" }] }] }, 9]"#;
        let found = filled(layers, "n = 3\nf = [1, 2]\non = true").unwrap();
        assert_eq!(found.replace(' ', ""), "[{f=1},{g=1},{f=2},{g=2},{f=2},{g=2},9]");
        assert_eq!(filled(layers, "n = 0\nf = [1]\non = true").unwrap(), "[9]");
        let one = filled(r#"[{ repeat = 1, layers = ["$f"] }, "$f"]"#, "f = [4, 5]").unwrap();
        assert_eq!(one, "[4, [4, 5]]");
    }

    #[test]
    fn faults_are_named() {
        let fault = |layers: &str| filled(layers, "blocks = 2.5\nlist = []").unwrap_err();
        assert!(fault(r#"["$block"]"#).ends_with("did you mean `blocks`?"));
        assert!(fault(r#"[{ repeat = "$blocks", layers = [] }]"#).starts_with("`repeat` is 2.5"));
        assert!(fault(r#"[{ repeat = 2, layer = [] }]"#).ends_with("did you mean `layers`?"));
        assert!(fault("[{ repeat = 2 }]").contains("no `layers"));
        assert!(fault(r#"[{ repeat = 2, layers = ["$list"] }]"#).contains("empty"));
    }
}
