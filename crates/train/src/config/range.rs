//! Ranges of options.

/// `Err` with field, value and range when `value` is not in `low..=high`.
pub(crate) fn within(field: &str, value: f32, low: f32, high: f32) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("`{field}` is {value}; it must lie between {low} and {high}"))
}
