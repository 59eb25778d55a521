//! Suggestions for misspelled keys and values of architecture files.

use super::augment::Augmentation;
use super::data::{DataOptions, TargetKind, VoteMode};
use super::robust::Robust;
use super::train::{PrecisionName, TrainOptions};
use moue::message::nearest;
use serde::Serialize;
use toml::Table;

/// The keys of all options, with their sections: `train.epochs`.
pub fn option_keys() -> Vec<String> {
    fn of(section: &str, options: &impl Serialize) -> Vec<String> {
        let table = Table::try_from(options).unwrap_or_default();
        table.keys().map(|key| format!("{section}.{key}")).collect()
    }
    // These are not written where they have their default.
    let data = DataOptions {
        faces: true,
        votes: Some("votes.csv".into()),
        targets: Some(TargetKind::Mixed),
        vote_mode: VoteMode::Majority,
        vote_weight: 1.0,
        contempt: true,
        ..DataOptions::default()
    };
    let augment = Augmentation { robust: Some(Robust::default()), ..Augmentation::default() };
    let train =
        TrainOptions { freeze: 1, logit_adjustment: 1.0, precision: PrecisionName::Bf16, ..TrainOptions::default() };
    [of("data", &data), of("augment", &augment), of("train", &train)].concat()
}

/// The name that was probably meant in an error message of `serde` about an unknown field or
/// variant, which lists the expected names between backticks.
pub fn suggestion(message: &str) -> Option<String> {
    let (is_field, start) = ["unknown field `", "unknown variant `"]
        .iter()
        .enumerate()
        .find_map(|(kind, text)| Some((kind == 0, message.rfind(text)?)))?;
    let mut quoted = message[start..].split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    let keys = if is_field { option_keys() } else { Vec::new() };
    nearest(wrong, quoted.chain(keys.iter().map(String::as_str))).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_come_from_the_expected_names_and_from_all_sections() {
        let suggested = |message: &str| suggestion(message);
        assert_eq!(suggested("unknown field `epoch`, expected one of `epochs`, `seed`").unwrap(), "epochs");
        assert_eq!(suggested("unknown field `rat`, expected `rate`").unwrap(), "rate");
        assert_eq!(suggested("unknown field `batch_size`, expected `faces` or `exclude`").unwrap(), "train.batch_size");
        assert_eq!(suggested("unknown variant `conv2`, expected `conv2d` or `dense`").unwrap(), "conv2d");
        assert_eq!(suggested("unknown variant `epochs`, expected `conv2d` or `dense`"), None);
        assert_eq!(suggested("missing field `layers`"), None);
        for key in [
            "data.faces",
            "data.votes",
            "data.vote_mode",
            "data.contempt",
            "train.freeze",
            "train.precision",
            "augment.flip",
        ] {
            assert!(option_keys().iter().any(|known| known == key), "{key}");
        }
    }
}
