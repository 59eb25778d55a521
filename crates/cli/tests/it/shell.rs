//! The command in a shell: versions, completions, man pages, colors and `moue doctor`.

use crate::place::{Place, text};
use serde_json::Value;
use std::fs;
#[cfg(unix)]
use std::io::{BufRead, BufReader};
use std::process::Command;
#[cfg(unix)]
use std::process::Stdio;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_long_version_names_instruction_set_and_features() {
    let place = Place::new();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(place.ok(&["-V"]), format!("moue {version}\n"));
    let optional = [("mpi", cfg!(feature = "mpi")), ("parquet", cfg!(feature = "parquet"))];
    let mut features: Vec<&str> = optional.iter().filter(|(_, enabled)| *enabled).map(|(name, _)| *name).collect();
    if features.is_empty() {
        features.push("none");
    }
    let long = run(place.command(&["--version"]).env("MOUE_ISA", "scalar"));
    assert_eq!(long, format!("moue {version} (scalar; features: {})\n", features.join(", ")));
}

#[test]
fn completions_are_generated_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.ok(&["completions", shell]);
        assert!(["timeline", "evaluate", "draw"].iter().all(|word| script.contains(word)), "{shell}: {script}");
        place.put(&format!("moue.{shell}"), script);
    }
    let (code, error) = place.fails(&["completions", "tcsh"]);
    assert!(code == 2 && error.contains("bash, elvish, fish, powershell, zsh"), "{error}");
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_and_options() {
    let place = Place::new();
    place.put("moue.bash", place.ok(&["completions", "bash"]));
    let complete = |words: &str, number: u32| {
        let script = format!(
            "source moue.bash; COMP_WORDS=(moue {words}); COMP_CWORD={number}; \
             _moue moue \"${{COMP_WORDS[{number}]}}\" \"${{COMP_WORDS[{number} - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        run(place.program("bash").args(["--norc", "-c", &script]))
    };
    assert_eq!(complete("ev", 1).trim(), "evaluate");
    assert_eq!(complete("data pre", 2).trim(), "preview");
    assert_eq!(complete("predict --time", 2).trim(), "--timeline");
    assert_eq!(complete("predict --format c", 3).trim(), "csv");
}

#[test]
fn man_pages_are_written_for_every_command() {
    let place = Place::new();
    let printed = place.ok(&["man", "share/man1"]);
    let mut pages: Vec<String> = place
        .path("share/man1")
        .read_dir()
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert_eq!(printed, format!("Wrote {} man pages to share/man1\n", pages.len()));
    for name in ["moue.1", "moue-train.1", "moue-data-draw.1", "moue-doctor.1"] {
        assert!(pages.iter().any(|page| page == name), "{name}: {pages:?}");
    }
    run(place.command(&["man", "scalar"]).env("MOUE_ISA", "scalar"));
    for page in &pages {
        let text = fs::read_to_string(place.path("share/man1").join(page)).unwrap();
        assert!(
            text.contains(".TH moue") && text.contains(".SH NAME") && text.contains(".SH OPTIONS"),
            "{page}: {text}"
        );
        assert!(text.contains(".SH EXIT STATUS") && text.contains(".SH ENVIRONMENT"), "{page}: {text}");
        // The pages are the same on every machine.
        assert_eq!(text, fs::read_to_string(place.path("scalar").join(page)).unwrap(), "{page}");
    }
    let listed = place.json(&["man", "share/man1", "--json"]);
    assert_eq!(listed["pages"].as_array().unwrap().len(), pages.len());
    if Command::new("groff").arg("--version").output().is_err() {
        eprintln!("SKIPPED: groff is not installed");
        return;
    }
    let shown = run(place.program("groff").args(["-man", "-Tascii", "-P-c", "-ww", "share/man1/moue-export.1"]));
    assert!(shown.lines().any(|line| line.trim() == "moue export default expressions.onnx"), "{shown}");
}

#[test]
fn doctor_reports_the_installation() {
    let place = Place::new();
    let mut doctor = place.command(&["doctor", "--json", "--threads", "2"]);
    let report = run(doctor.env("MOUE_ISA", "scalar").env("MOUE_KERNELS", "portable"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["isa"], &report["isa_requested"]), (&"scalar".into(), &"scalar".into()));
    assert_eq!((&report["kernels"], &report["kernels_requested"]), (&"portable".into(), &"portable".into()));
    assert!(report["kernels_available"].as_array().unwrap().contains(&"portable".into()), "{report}");
    assert_eq!(report["threads"], 2);
    assert_eq!((&report["cache"]["bytes"], &report["version"]), (&0.into(), &env!("CARGO_PKG_VERSION").into()));
    assert!(report["ffmpeg"].is_null() || report["ffmpeg"].is_string(), "{report}");
    for (number, (name, bytes)) in [
        ("default", &include_bytes!("../../../moue/models/default.safetensors")[..]),
        ("fer2013", include_bytes!("../../../moue/models/fer2013.safetensors")),
        ("tiny", include_bytes!("../../../moue/models/tiny.safetensors")),
    ]
    .into_iter()
    .enumerate()
    {
        let model = &report["models"][number];
        assert_eq!((&model["name"], &model["bytes"]), (&name.into(), &bytes.len().into()));
        let sha256 = model["sha256"].as_str().unwrap();
        assert!(sha256.len() == 64 && sha256.chars().all(|digit| digit.is_ascii_hexdigit()), "{sha256}");
    }
    assert_eq!((&report["self_test"]["status"], &report["self_test"]["error"]), (&"ok".into(), &Value::Null));

    place.put("cache/entry.safetensors", [0; 250_000]);
    let printed = place.ok(&["doctor"]);
    for part in ["instruction set", "processor", "memory", "(0.2 MB)", "SHA-256", "self-test        ok: tiny predicts"]
    {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let bare = run(place.command(&["doctor"]).env("PATH", "").env("MOUE_CACHE", "off"));
    assert!(bare.contains("apt install ffmpeg") && bare.contains("cache            off"), "{bare}");
}

/// Help and errors are colored on a terminal only, or where the environment asks for it.
#[test]
fn colors_follow_the_environment() {
    let place = Place::new();
    let printed = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = place.command(args);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        let output = command.envs(variables.iter().copied()).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    for args in [&["--help"][..], &["trian"], &["evaluate", "--help"]] {
        assert!(!printed(args, &[]).contains('\u{1b}'), "{args:?} into a pipe");
        assert!(printed(args, &[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'), "{args:?}");
        assert!(!printed(args, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'), "{args:?}");
    }
    for args in
        [&["arch", "list"][..], &["train", "nonsense"], &["data", "draw", "faces", "--count", "21"], &["doctor"]]
    {
        assert!(!printed(args, &[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'), "{args:?}");
    }
}

/// The log follows the same rules as help texts.
#[cfg(unix)]
#[test]
fn the_log_of_the_server_follows_the_environment() {
    let place = Place::new();
    let log = |variables: &[(&str, &str)]| {
        let mut command = place.command(&["serve", "--addr", "127.0.0.1:0", "--model", "tiny", "--json"]);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut service = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(service.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap().success());
        let log = text(&service.wait_with_output().unwrap().stderr);
        assert!(log.contains("shutting down"), "{log}");
        log
    };
    assert!(!log(&[]).contains('\u{1b}'));
    assert!(log(&[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    assert!(!log(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
}
