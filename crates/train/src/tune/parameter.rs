//! The parameters of a search space: their values, and their description in `[space]`.

use moue::message::{did_you_mean, nearest};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// The values of the active parameters, by name.
pub type Values = BTreeMap<String, Value>;

/// The values that a parameter may have.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// One of a list.
    Choices(Vec<Value>),
    /// A number from `min` to `max`.
    Range {
        /// Minimum.
        min: f64,
        /// Maximum.
        max: f64,
        /// Whether all orders of magnitude are equally likely.
        log: bool,
        /// Distance of neighboring values from `min` on; 0 for any value.
        step: f64,
        /// Whether the values are whole numbers.
        integer: bool,
    },
}

/// A parameter of a space.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name: the key of an option, or the name in the template.
    pub name: String,
    /// Its values.
    pub domain: Domain,
    /// Other parameters and their values with which this one is active; otherwise it has no value.
    pub when: BTreeMap<String, Vec<Value>>,
}

impl Parameter {
    /// The value at `u`, from 0 to 1: all values are equally likely for a uniform `u`.
    #[must_use]
    pub fn at(&self, u: f64) -> Value {
        let u = u.clamp(0.0, 1.0);
        match &self.domain {
            Domain::Choices(choices) => {
                let index = ((u * choices.len() as f64) as usize).min(choices.len().saturating_sub(1));
                choices.get(index).cloned().unwrap_or(Value::Boolean(false))
            }
            &Domain::Range { min, max, log, step, integer } => {
                let between = |low: f64, high: f64| {
                    if log {
                        libm::exp(libm::log(low) + u * (libm::log(high) - libm::log(low)))
                    } else {
                        low + u * (high - low)
                    }
                };
                let value = if step > 0.0 {
                    let cells = ((max - min) / step + 1e-9).floor() + 1.0;
                    min + step * (u * cells).floor().min(cells - 1.0)
                } else if integer {
                    between(min - 0.5, max + 0.5).round()
                } else {
                    between(min, max)
                }
                .clamp(min, max);
                if integer { Value::Integer(value as i64) } else { Value::Float(three_digits(value)) }
            }
        }
    }

    /// The position of a value from 0 to 1: the middle of what [`Self::at`] maps to it.
    #[must_use]
    pub fn position(&self, value: &Value) -> f64 {
        match &self.domain {
            Domain::Choices(choices) => {
                let index = choices.iter().position(|choice| choice == value).unwrap_or(0);
                (index as f64 + 0.5) / choices.len().max(1) as f64
            }
            &Domain::Range { min, max, log, step, integer } => {
                let number = number(value).unwrap_or(min);
                let share = |low: f64, high: f64| {
                    let (value, low, high) =
                        if log { (libm::log(number), libm::log(low), libm::log(high)) } else { (number, low, high) };
                    if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
                };
                if step > 0.0 {
                    let cells = ((max - min) / step + 1e-9).floor() + 1.0;
                    (((number - min) / step).round() + 0.5) / cells
                } else if integer {
                    share(min - 0.5, max + 0.5)
                } else {
                    share(min, max)
                }
            }
        }
    }

    /// The number of its values; `None` where there are too many to count.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        match &self.domain {
            Domain::Choices(choices) => Some(choices.len()),
            &Domain::Range { min, max, step, .. } if step > 0.0 => Some(((max - min) / step + 1e-9) as usize + 1),
            &Domain::Range { min, max, integer: true, .. } => Some((max - min) as usize + 1),
            Domain::Range { .. } => None,
        }
    }

    /// Whether the values are choices without an order.
    #[must_use]
    pub fn is_categorical(&self) -> bool {
        matches!(self.domain, Domain::Choices(_))
    }
}

fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// The value of a number.
pub fn number(value: &Value) -> Option<f64> {
    value.as_float().or(value.as_integer().map(|value| value as f64))
}

/// The parameters in a table, whose keys may be nested.
pub fn collect(table: &Table, prefix: &str, found: &mut Vec<Parameter>) -> Result<(), String> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let Value::Table(described) = value else {
            return Err(format!(
                "space.{name} = {value}: a parameter is a table, for example {{ choices = [1, 2] }} or {{ min = 0.1, max = 1.0 }}"
            ));
        };
        let is_parameter = described.values().any(|value| !value.is_table()) || described.is_empty();
        if is_parameter {
            found.push(parameter(name, described)?);
        } else {
            collect(described, &name, found)?;
        }
    }
    Ok(())
}

/// The fields of a parameter in `[space]`.
pub const PARAMETER_FIELDS: [&str; 6] = ["choices", "min", "max", "log", "step", "when"];

fn parameter(name: String, described: &Table) -> Result<Parameter, String> {
    let fault = |text: String| format!("space.{name}: {text}");
    if let Some(other) = described.keys().find(|key| !PARAMETER_FIELDS.contains(&key.as_str())) {
        let hint = did_you_mean(nearest(other, PARAMETER_FIELDS));
        return Err(fault(format!("there is no `{other}`; a parameter has {}{hint}", PARAMETER_FIELDS.join(", "))));
    }
    let mut when = BTreeMap::new();
    match described.get("when") {
        None => {}
        Some(Value::Table(conditions)) => {
            for (other, values) in conditions {
                when.insert(other.clone(), values.as_array().cloned().unwrap_or_else(|| vec![values.clone()]));
            }
        }
        Some(_) => return Err(fault("`when` is a table such as { dense_layers = [1, 2] }".into())),
    }
    let numeric = |key: &str| match described.get(key) {
        None => Ok(None),
        Some(value) => match number(value).filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(fault(format!("`{key}` is {value}; it must be a number"))),
        },
    };
    let log = match described.get("log") {
        None => false,
        Some(Value::Boolean(log)) => *log,
        Some(other) => return Err(fault(format!("`log` is {other}; it must be true or false"))),
    };
    let domain = match (described.get("choices"), numeric("min")?, numeric("max")?, numeric("step")?) {
        (Some(Value::Array(choices)), None, None, None) if !log => {
            if choices.is_empty() {
                return Err(fault("`choices` is empty".into()));
            }
            Domain::Choices(choices.clone())
        }
        (None, Some(min), Some(max), step) => {
            let is_integer = |key| described.get(key).is_none_or(Value::is_integer);
            let integer = ["min", "max", "step"].into_iter().all(is_integer);
            if min >= max {
                return Err(fault(format!("`min` is {min} and `max` is {max}; `min` must be less than `max`")));
            }
            if log && (min <= 0.0 || step.is_some()) {
                return Err(fault("`log = true` requires `min` above 0, and no `step`".into()));
            }
            if step.is_some_and(|step| step <= 0.0 || step > max - min) {
                return Err(fault("`step` must be above 0, and at most `max` minus `min`".into()));
            }
            // Whole numbers without a logarithm are steps of 1.
            let step = step.unwrap_or(if integer && !log { 1.0 } else { 0.0 });
            Domain::Range { min, max, log, step, integer }
        }
        _ => return Err(fault("write either `choices = [...]`, or `min` and `max` with `log` or `step`".into())),
    };
    Ok(Parameter { name, domain, when })
}

pub fn check_conditions(parameters: &[Parameter]) -> Result<(), String> {
    let find = |name: &str| parameters.iter().find(|parameter| parameter.name == name);
    for parameter in parameters {
        let fault = |text: String| format!("space.{}: when: {text}", parameter.name);
        for (other, values) in &parameter.when {
            let Some(known) = find(other) else {
                let hint = did_you_mean(nearest(other, parameters.iter().map(|parameter| parameter.name.as_str())));
                return Err(fault(format!("there is no parameter `{other}`{hint}")));
            };
            let is_value = |value: &Value| match &known.domain {
                Domain::Choices(choices) => choices.contains(value),
                Domain::Range { min, max, .. } => number(value).is_some_and(|number| (*min..=*max).contains(&number)),
            };
            if let Some(value) = values.iter().find(|value| !is_value(value)) {
                return Err(fault(format!("`{other}` is never {value}")));
            }
        }
        let mut above: Vec<&str> = parameter.when.keys().map(String::as_str).collect();
        for _ in 0..parameters.len() {
            above =
                above.into_iter().filter_map(find).flat_map(|other| other.when.keys().map(String::as_str)).collect();
        }
        if !above.is_empty() {
            return Err(fault("the conditions form a circle".into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(text: &str) -> Vec<Parameter> {
        let mut found = Vec::new();
        collect(&toml::from_str(text).unwrap(), "", &mut found).unwrap();
        found
    }

    #[test]
    fn every_value_is_in_the_middle_of_its_range() {
        let text = r#"
            a = { choices = ["x", [1, 2], true] }
            b = { min = 1, max = 4 }
            c = { min = 0.1, max = 0.5, step = 0.1 }
            d = { min = 1, max = 100, log = true }
        "#;
        for parameter in parameters(text) {
            let mut seen = Vec::new();
            for i in 0..=1000 {
                let value = parameter.at(f64::from(i) / 1000.0);
                assert_eq!(parameter.at(parameter.position(&value)), value, "{}", parameter.name);
                if seen.last() != Some(&value) {
                    seen.push(value);
                }
            }
            let numbers: Vec<f64> = seen.iter().filter_map(number).collect();
            assert!(numbers.is_sorted(), "{numbers:?}");
            assert_eq!(Some(seen.len()), parameter.count(), "{seen:?}");
        }
    }

    #[test]
    fn a_log_scale_has_the_geometric_mean_in_its_middle() {
        let rate = parameters("train.rate = { min = 0.0001, max = 1.0, log = true }").remove(0);
        assert_eq!((rate.name.as_str(), rate.at(0.5)), ("train.rate", Value::Float(0.01)));
        assert_eq!((rate.at(0.0), rate.at(1.0), rate.count()), (Value::Float(0.0001), Value::Float(1.0), None));
        assert!((rate.position(&Value::Float(0.01)) - 0.5).abs() < 1e-9);
    }
}
