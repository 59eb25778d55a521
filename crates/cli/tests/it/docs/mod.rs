//! Executes the command blocks (```` ```sh ````) of a page of the documentation, on small files with the names that the
//! pages use. Trainings take one epoch.
//!
//! A word after `sh` is what a block needs: `ffmpeg`, `gpu`, `mpi` and `torch` blocks run where that is installed; those of
//! [`EXEMPT`] never run. A block ```` ```text output ```` is compared with the output of the block before it, except
//! for numbers.

pub mod blocks;
pub mod fixtures;

use crate::place::{Place, text};
use blocks::Block;
use fixtures::{FEW, works};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// What cannot run in a test: installing, cameras, several machines.
pub const EXEMPT: [&str; 3] = ["install", "camera", "cluster"];

/// What a block may need to run, if anything.
const NEEDS: [&str; 4] = ["ffmpeg", "gpu", "mpi", "torch"];

/// Seconds that a block may take.
const LONGEST: &str = "240";

/// `moue` with one epoch, few images, short measurements and a free port.
const MOUE: &str = r#"#!/bin/sh
all=" $* "
has() { case "$all" in *" $1 "* | *" $1="*) true ;; *) false ;; esac; }
case "$1" in
train | compare)
  if ! has --resume && ! has --help; then
    has --epochs || has --time || set -- "$@" --epochs 1
    has --data || set -- "$@" --data "$FEW"
  fi ;;
tune)
  if ! has --help; then
    has --epochs || set -- "$@" --epochs 1
    has --seeds || set -- "$@" --seeds 1
    has --data || set -- "$@" --data "$FEW"
  fi ;;
evaluate) has --data || set -- "$@" --data "$FEW" ;;
bench) set -- "$@" --seconds 0.05 ;;
serve) has --export || has --addr || set -- "$@" --addr "127.0.0.1:$PORT" ;;
esac
exec "$MOUE" "$@"
"#;

/// `cargo run --release -- …` is the command; `cargo test` is the program that runs this.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
run) while [ "$1" != -- ]; do shift; done; shift; exec moue "$@" ;;
test) exit 0 ;;
esac
echo "cargo $* is not executed" >&2
exit 1
"#;

/// Waits until a port is open.
const WAIT: &str = r#"#!/bin/bash
for try in $(seq 200); do
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && exit 0
  sleep 0.05
done
exit 1
"#;

/// What blocks may need here.
pub struct Needs(Vec<&'static str>);

impl Needs {
    /// Those of these needs that this machine has.
    pub fn found(needs: &[&'static str]) -> Self {
        let python = std::env::var("MOUE_PYTHON").unwrap_or_else(|_| "python3".into());
        let has = |need: &&str| {
            let found = match *need {
                "ffmpeg" => works(Command::new("ffmpeg").arg("-version")),
                "torch" => works(Command::new(&python).args(["-c", "import torch, safetensors, PIL"])),
                "gpu" => {
                    let doctor = Command::new(env!("CARGO_BIN_EXE_moue")).args(["doctor", "--json"]).output().unwrap();
                    !text(&doctor.stdout).contains("\"gpus\":[]")
                }
                "mpi" => works(Command::new("mpirun").arg("--version")),
                _ => true,
            };
            if !found {
                println!("SKIPPED: the book's commands that need {need}");
            }
            found
        };
        Self(needs.iter().copied().filter(has).collect())
    }
}

/// Executes the blocks of a page in one folder, and returns what failed.
pub fn execute(page: &[Block], files: &Place, repository: &Path, needs: &Needs) -> Vec<String> {
    let place = Place::new();
    fixtures::copy(files.0.path(), place.0.path());
    for folder in ["docs", "examples", "crates"] {
        symlink(repository.join(folder), place.path(folder)).unwrap();
    }
    for (name, script) in [("moue", MOUE), ("cargo", CARGO), ("await-port", WAIT), ("man", "#!/bin/sh\n")] {
        let path = place.put(&format!("bin/{name}"), script);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for folder in [".local/share/bash-completion/completions", ".config/fish/completions", ".zfunc"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    let mut failures = Vec::new();
    let mut printed = String::new();
    for block in page {
        let need = block.info.get(1).map_or("", String::as_str);
        if block.is("text", "output") {
            failures.extend(unlike(block, &printed));
        } else if block.is("toml", "") && block.text.contains("name = \"my-net\"") {
            place.put("my-net.toml", &block.text);
        } else if block.is("toml", "") && block.text.contains("[space]") {
            place.put("my-space.toml", &block.text);
        } else if block.is("sh", need) && needs.0.contains(&need) {
            match run(&place, &block.text) {
                Ok(output) => printed = output,
                Err(output) => failures.push(format!("{} failed:\n{}{output}", block.place(), block.text)),
            }
        } else if block.is("sh", need) && !EXEMPT.contains(&need) && !NEEDS.contains(&need) {
            failures.push(format!("{}: {need:?} is not a need that this test knows", block.place()));
        }
    }
    failures
}

/// Runs a block in bash, as a reader pastes it, and returns what it printed.
fn run(place: &Place, block: &str) -> Result<String, String> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut script = String::from("set -eu -o pipefail\nexport PATH=\"$PWD/bin:$PATH\"\nservice=\n");
    script.push_str(
        "stop() { [ -z \"$service\" ] || { kill $service; wait $service || true; }; service=; }\ntrap stop EXIT\n",
    );
    let reduced = with_number(&with_number(block, "--epochs", 1), "--batch-size", 4);
    let reduced = with_time(&reduced, "--time", "3s");
    let reduced = with_number(&with_time(&reduced, "--budget", "5s"), "--trials", 2);
    for line in reduced.replace("8080", &port.to_string()).lines() {
        // A service ends with the block, or where the next one starts.
        let serves = line.contains("moue serve") && !line.contains("--export");
        if serves || line.contains("moue watch") && !line.contains("--out") {
            let command = line.split(" #").next().unwrap_or(line);
            writeln!(script, "stop; {command} & service=$!; await-port {port}").unwrap();
        } else {
            writeln!(script, "{line}").unwrap();
        }
    }
    let python = std::env::var("MOUE_PYTHON").unwrap_or_else(|_| "python3".into());
    let python = Path::new(&python).parent().map_or(String::new(), |folder| folder.display().to_string());
    let output = place
        .program("timeout")
        .args(["--kill-after", "5", LONGEST, "bash", "-c", &script])
        .env("MOUE", env!("CARGO_BIN_EXE_moue"))
        .env("FEW", FEW)
        .env("PORT", port.to_string())
        .env("PROFILE", place.path("profile.ps1"))
        .env("HOME", place.0.path())
        .env("PATH", format!("{python}:{}", std::env::var("PATH").unwrap()))
        .env_remove("MOUE_TOKEN")
        // Open MPI refuses to run as root, or with more processes than cores, unless these are set.
        .envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")])
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .output()
        .unwrap();
    let printed = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { Ok(printed) } else { Err(printed) }
}

/// The block with another number after each occurrence of an option.
fn with_number(block: &str, option: &str, number: usize) -> String {
    let option = format!("{option} ");
    let mut parts = block.split(&option);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = if rest.len() < part.len() { number.to_string() } else { String::new() };
        write!(text, "{option}{number}{rest}").unwrap();
    }
    text
}

/// The block with another time after each occurrence of an option.
fn with_time(block: &str, option: &str, time: &str) -> String {
    let option = format!("{option} ");
    let mut parts = block.split(&option);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        write!(text, "{option}{time}{rest}").unwrap();
    }
    text
}

/// Lines of a block that were not printed. A number stands for any number.
fn unlike(block: &Block, printed: &str) -> Option<String> {
    let printed: Vec<String> = printed.lines().map(shape).collect();
    let missing: Vec<&str> = block.text.lines().filter(|line| !printed.contains(&shape(line))).collect();
    let message = || format!("{}: not printed:\n{}\nbut\n{}", block.place(), missing.join("\n"), printed.join("\n"));
    (!missing.is_empty()).then(message)
}

fn shape(line: &str) -> String {
    let mut shape = String::new();
    let mut number = false;
    for c in line.trim_end().chars() {
        let digit = c.is_ascii_digit() || (number && matches!(c, '.' | ','));
        if !digit {
            shape.push(c);
        } else if !number {
            shape.push('#');
        }
        number = digit;
    }
    shape
}
