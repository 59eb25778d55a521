//! Installs the files of a release in empty folders, and uses them there: nothing is read from the repository.

use super::release::{Release, python};
use crate::shared::{output, run};
use anyhow::{Context, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::env;
use std::env::consts::EXE_SUFFIX;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tar::Archive;
use tempfile::TempDir;

/// Predicts with the wheel.
const PYTHON: &str = "
import moue
import numpy
predictor = moue.Predictor()
probabilities = predictor.predict_faces(numpy.zeros((2, 48, 48), numpy.uint8))
assert probabilities.shape == (2, 7), probabilities.shape
face = predictor.predict('face.pgm', detect=False).faces[0]
print(moue.__file__)
print(face.label, round(face.confidence, 3))
";

/// Predicts with the npm package, as its README shows.
const NODE: &str = r#"
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { load } from "@moue/web";
const module = await readFile(fileURLToPath(import.meta.resolve("@moue/web/moue_web_bg.wasm")));
const moue = await load({ module });
const { faces, error } = await moue.predict(await readFile("face.pgm"), { detect: false });
if (error !== null) throw new Error(error);
console.log(faces[0].label, faces[0].confidence.toFixed(3));
"#;

/// Predicts and trains with the libraries.
const RUST: &str = r#"
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let predictor = moue::Predictor::open("default")?;
    let faces = predictor.predict("face.pgm")?.faces;
    println!("{} faces, {}", faces.len(), predictor.classifier().classes().join(" "));
    let run = moue_train::Trainer::preset("small")?.set("train.epochs", "1")?.run()?;
    println!("accuracy {:.3}", run.metrics.accuracy);
    Ok(())
}
"#;

pub fn binary(release: &Release) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let name = release.archive_name()?;
    unpack(&release.folder.join(format!("{name}.tar.gz")), folder.path())?;
    let installed = folder.path().join(name);
    for (part, least) in [("man", 10), ("completions", 5)] {
        let count = fs::read_dir(installed.join(part))?.count();
        ensure!(count >= least, "{part} has {count} files");
    }
    let licenses = fs::read_to_string(installed.join("licenses.txt"))?;
    ensure!(licenses.contains("YuNet"), "licenses.txt does not mention the face detector");
    command(&installed.join(format!("moue{EXE_SUFFIX}")), folder.path())
}

pub fn wheel(release: &Release) -> anyhow::Result<()> {
    let folder = prepared()?;
    let environment = folder.path().join("environment");
    run(Command::new(python()).args(["-m", "venv"]).arg(&environment))?;
    let python = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let python = environment.join(python);
    let wheel = file(release, ".whl")?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).arg(wheel))?;
    run(clean(&python, folder.path()).args(["-c", PYTHON]))?;
    let list = output(clean(&python, folder.path()).args(["-m", "pip", "show", "--files", "moue"]))?;
    ensure!(list.contains("licenses.txt"), "the wheel has no licenses.txt");
    Ok(())
}

pub fn npm(release: &Release) -> anyhow::Result<()> {
    let folder = prepared()?;
    fs::write(folder.path().join("package.json"), r#"{"private": true, "type": "module"}"#)?;
    fs::write(folder.path().join("face.mjs"), NODE)?;
    let quiet = ["install", "--silent", "--no-audit", "--no-fund"];
    run(Command::new("npm").current_dir(folder.path()).args(quiet).arg(file(release, ".tgz")?))?;
    let licenses = fs::read_to_string(folder.path().join("node_modules/@moue/web/licenses.txt"))?;
    ensure!(licenses.contains("YuNet") && licenses.contains("wasm-bindgen"), "licenses.txt is incomplete");
    run(clean(Path::new("node"), folder.path()).arg("face.mjs"))
}

/// Installs the command and builds a program with the libraries, where the crates replace those of the registry.
pub fn crates(release: &Release) -> anyhow::Result<()> {
    let folder = prepared()?;
    let mut replaced = Vec::new();
    for (name, version) in release.published() {
        unpack(&release.folder.join(format!("{name}-{version}.crate")), folder.path())?;
        let place = folder.path().join(format!("{name}-{version}")).display().to_string();
        replaced.push("--config".to_owned());
        replaced.push(format!("patch.crates-io.{name}.path={}", Value::from(place)));
    }
    let (user, version) = (folder.path().join("user"), &release.version);
    fs::create_dir_all(user.join("src"))?;
    fs::write(
        user.join("Cargo.toml"),
        format!(
            "[package]\nname = \"user\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\nmoue = \"{version}\"\nmoue-train = \"{version}\"\n"
        ),
    )?;
    fs::write(user.join("src/main.rs"), RUST)?;
    let cli = folder.path().join(format!("moue-cli-{version}"));
    // The versions of all other crates are those of the release.
    fs::copy(cli.join("Cargo.lock"), user.join("Cargo.lock"))?;
    let cargo = |command: &str| {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(folder.path()).args(&replaced).args([command, "--quiet"]);
        // Its dependencies are kept, so that a second run builds the crates of the release only.
        cargo.env("CARGO_TARGET_DIR", release.build.join("dist-install"));
        cargo
    };
    run(cargo("install").arg("--path").arg(&cli).arg("--root").arg(folder.path().join("installed")))?;
    command(&folder.path().join(format!("installed/bin/moue{EXE_SUFFIX}")), folder.path())?;
    run(cargo("build").arg("--release").arg("--manifest-path").arg(user.join("Cargo.toml")))?;
    run(&mut clean(&release.build.join(format!("dist-install/release/user{EXE_SUFFIX}")), folder.path()))
}

/// Uses an installed command: its self-test, a prediction, a short training, and a prediction with the trained model.
fn command(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let call = |line: &str| output(clean(program, folder).args(line.split(' ')));
    print!("{}", call("--version")?);
    call("doctor --json")?;
    call("data draw faces --count 21 --quiet")?;
    let face = first_file(&folder.join("faces"), "png")?.context("`data draw` wrote no picture")?;
    fs::copy(face, folder.join("face.png"))?;
    let label = |text: String| -> anyhow::Result<String> {
        let prediction: Value = serde_json::from_str(&text)?;
        let label = prediction["faces"][0]["label"].as_str();
        label.map(str::to_owned).with_context(|| format!("no label in {text}"))
    };
    println!("{}, by the model `default`", label(call("predict face.png --no-detect --json")?)?);
    call("train small --epochs 1 --out run --quiet")?;
    let model = "run/model.safetensors";
    println!(
        "{}, by the trained model",
        label(call(&format!("predict face.png --no-detect --json --model {model}"))?)?
    );
    ensure!(call("licenses")?.contains("YuNet"), "`moue licenses` does not mention the face detector");
    Ok(())
}

/// A folder that has a picture of a face's size and nothing else.
fn prepared() -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let mut picture = b"P5 48 48 255\n".to_vec();
    picture.extend((0..48 * 48_u32).map(|pixel| (pixel * 7 % 251) as u8));
    fs::write(folder.path().join("face.pgm"), picture)?;
    Ok(folder)
}

/// A program in a folder, without the variables that could lead it to something installed elsewhere.
fn clean(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("HOME", folder);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["MOUE_", "CARGO_", "RUST", "PYTHON", "VIRTUAL_ENV", "NODE_"].iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command
}

fn unpack(archive: &Path, into: &Path) -> anyhow::Result<()> {
    let file = File::open(archive).with_context(|| format!("{}: run `cargo xtask dist` first", archive.display()))?;
    Ok(Archive::new(GzDecoder::new(file)).unpack(into)?)
}

/// The file of the release with this ending.
fn file(release: &Release, ending: &str) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(&release.folder).into_iter().flatten() {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ending) {
            return Ok(path);
        }
    }
    anyhow::bail!("{} has no file *{ending}: run `cargo xtask dist` first", release.folder.display())
}

fn first_file(folder: &Path, extension: &str) -> anyhow::Result<Option<PathBuf>> {
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|found| found == extension) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
