//! Ranges of options.

/// Returns an error with the field, the value and the range when `value` is not in `low..=high`.
pub(crate) fn within(field: &str, value: f32, low: f32, high: f32) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("`{field}` is {value}; it must be between {low} and {high}"))
}
