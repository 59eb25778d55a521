//! A temporary folder per test, and the command run in it.
#![allow(dead_code, reason = "not every test file uses all of it")]

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A network that trains in less than a second.
pub const TINY: &str = r#"
[model]
name = "nets/tiny"
input = [24, 24, 1]
layers = [
  { kind = "conv2d", filters = 8, strides = 2, padding = "same", use_bias = false },
  { kind = "batch_normalization", activation = "relu" },
  { kind = "dropout", rate = 0.1 },
  { kind = "global_average_pooling2d" },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[augment]
flip = true
[train]
epochs = 2
learning_rate = 0.01
ema_decay = 0.9
"#;

pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.put("tiny.toml", TINY);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A page without its embedded pictures, whose base64 may contain any word.
    pub fn page(&self, name: &str) -> String {
        let html = fs::read_to_string(self.path(name)).unwrap();
        let mut parts = html.split(";base64,");
        let first = parts.next().unwrap_or_default().to_owned();
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        parts.fold(first, |page, part| page + part.trim_start_matches(is_base64))
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_moue"));
        command.args(args);
        command
    }

    /// Any program, run in this folder.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env("MOUE_CACHE", self.path("cache")).stdin(Stdio::null());
        command
    }

    /// Waits until a file exists.
    pub fn wait_for(&self, name: &str) {
        for _ in 0..6000 {
            if self.path(name).exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{name} did not appear");
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a run that must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// Exit code and standard error of a run that must fail.
    pub fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?} succeeded");
        assert_eq!(text(&output.stdout), "", "{args:?} printed a result");
        (output.status.code().unwrap(), text(&output.stderr))
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn first_file(folder: &Path) -> String {
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files[0].display().to_string()
}
