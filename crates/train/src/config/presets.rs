//! The bundled presets, and architecture files by name.

use super::file::{Config, ConfigError};
use moue::message::nearest_name_or_path;
use std::path::Path;

/// A preset: an architecture file that is compiled into the program.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Name on the command line.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        &[$(Preset { name: $name, text: include_str!(concat!("../../presets/", $name, ".toml")) }),*]
    };
}

/// All presets, in display order.
pub const PRESETS: &[Preset] = presets![
    "small",
    "default",
    "fer2013",
    "ferplus",
    "tiny",
    "seed/basic-efficientnet",
    "seed/model-3",
    "seed/model-5",
    "seed/model-6",
    "seed/model-8",
    "seed/model-9",
    "seed/kaggle-notebook",
    "search/first",
    "search/tiny",
    "search/votes",
    "bench/vgg",
    "bench/resnet",
];

impl Preset {
    /// The preset of this name; `tutorial/…` is an alias of `seed/…`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let listed = name.strip_prefix("tutorial/").map(|own| format!("seed/{own}"));
        let listed = listed.as_deref().unwrap_or(name);
        PRESETS.iter().find(|preset| preset.name == listed)
    }

    /// The first sentence of the file's opening comment.
    #[must_use]
    pub fn about(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with('#'));
        let text = lines.map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join(" ");
        match text.split_once(". ") {
            Some((first, _)) => format!("{first}."),
            None => text,
        }
    }
}

impl Config {
    /// Opens a preset by name, or a file by path; `tutorial/…` is an alias of `seed/…`.
    ///
    /// # Errors
    /// When there is neither, or the file is not valid.
    pub fn open(name: &str) -> Result<Self, ConfigError> {
        if let Some(preset) = Preset::named(name) {
            return Self::parse(preset.name, preset.text);
        }
        let path = Path::new(name);
        let shown = || if name == "/" { name } else { name.trim_end_matches('/') }.to_owned();
        match path {
            _ if path.join("config.toml").exists() => return Err(ConfigError::Run(shown())),
            _ if path.join("comparison.json").exists() => return Err(ConfigError::Comparison(shown())),
            _ if path.is_dir() => return Err(ConfigError::Folder(shown())),
            _ if is_dataset(path) => return Err(ConfigError::Dataset(shown())),
            _ => {}
        }
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(name, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let presets: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
                let similar = nearest_name_or_path(name, &presets);
                Err(ConfigError::Unknown { name: name.to_owned(), presets: presets.join(", "), similar })
            }
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }
}

/// Whether a file has the extension of an archive or a table.
fn is_dataset(path: &Path) -> bool {
    let is_extension = |own: &std::ffi::OsStr| DATASETS.iter().any(|known| own.eq_ignore_ascii_case(known));
    path.is_file() && path.extension().is_some_and(is_extension)
}

/// Extensions of datasets.
const DATASETS: [&str; 6] = ["csv", "gz", "parquet", "tar", "tgz", "zip"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tutorial_presets_have_two_names() {
        assert_eq!(Config::open("tutorial/model-6").unwrap(), Config::open("seed/model-6").unwrap());
        assert!(Config::open("tutorial/nothing").unwrap_err().to_string().contains("`tutorial/nothing`"));
    }
}
