//! Ranges of numeric options: those that are checked are those that the reference states.

/// A numeric option with its value and its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// Section and name, for example `train.epochs`.
    pub key: &'static str,
    /// The value.
    pub value: f32,
    /// Minimum.
    pub low: f32,
    /// Maximum; infinite where there is none.
    pub high: f32,
}

impl Bounded {
    pub(super) const fn new(key: &'static str, value: f32, low: f32, high: f32) -> Self {
        Self { key, value, low, high }
    }

    /// Returns an error with the key, the value and the range when the value is outside its range.
    pub(super) fn check(self) -> Result<(), String> {
        let Self { key, value, low, high } = self;
        if (low..=high).contains(&value) {
            return Ok(());
        }
        if high.is_infinite() {
            return Err(format!("`{key}` is {value}; it must be at least {low}"));
        }
        Err(format!("`{key}` is {value}; it must be between {low} and {high}"))
    }
}
