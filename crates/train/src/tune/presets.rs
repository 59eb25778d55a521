//! The bundled search spaces, and spaces by name.

use super::space::{Space, SpaceError};
use crate::config::{Config, ConfigError, PRESETS, Preset};
use moue::message::nearest_name_or_path;
use std::path::Path;

/// The space that is searched when none is named.
pub const DEFAULT_SPACE: &str = "tutorial";

/// The space of training options for an architecture.
const TRAINING: &str = include_str!("../../spaces/training.toml");

/// A search space that is compiled into the program.
#[derive(Clone, Copy, Debug)]
pub struct SpacePreset {
    /// Name on the command line.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// All spaces with a network of their own.
pub const SPACES: &[SpacePreset] =
    &[SpacePreset { name: "tutorial", text: include_str!("../../spaces/tutorial.toml") }];

impl Space {
    /// Opens a space by name, or a file by path. A preset or an architecture file is a space of training options over
    /// that network.
    ///
    /// # Errors
    /// When there is none of them, or the file is not valid.
    pub fn open(name: &str) -> Result<Self, SpaceError> {
        if let Some(space) = SPACES.iter().find(|space| space.name == name) {
            return Self::parse(space.name, space.text, None);
        }
        if Preset::named(name).is_none() && Path::new(name).is_file() {
            let text = std::fs::read_to_string(name)
                .map_err(|source| SpaceError::Read { path: Path::new(name).to_owned(), source })?;
            if toml::from_str::<toml::Table>(&text).is_ok_and(|document| document.contains_key("space")) {
                return Self::parse(name, &text, None);
            }
        }
        match Config::open(name) {
            Ok(config) => Self::parse(name, TRAINING, Some(&config)),
            Err(ConfigError::Unknown { name, presets, .. }) => {
                let spaces: Vec<&str> = SPACES.iter().map(|space| space.name).collect();
                let known: Vec<&str> = spaces.iter().copied().chain(PRESETS.iter().map(|preset| preset.name)).collect();
                let similar = nearest_name_or_path(&name, &known);
                Err(SpaceError::Unknown { name, spaces: spaces.join(", "), presets, similar })
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moue_engine::random::Stream;

    #[test]
    fn spaces_make_valid_networks() {
        let mut stream = Stream::new(0);
        for name in SPACES.iter().map(|space| space.name).chain(["small", "seed/model-9"]) {
            let space = Space::open(name).unwrap();
            let built = (0..20).filter(|_| space.config(&space.draw(&mut stream)).is_ok()).count();
            assert!(built >= 15, "{name}: {built} of 20 configurations can be built");
        }
        let error = Space::open("tutoral").unwrap_err().to_string();
        assert!(error.ends_with("did you mean `tutorial`?"), "{error}");
    }
}
