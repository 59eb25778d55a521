//! `moue train` in two processes started by Open MPI.

#[path = "it/docs/mod.rs"]
mod docs;
#[path = "it/place/mod.rs"]
mod place;

use place::{Place, text};
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// One epoch of the synthetic faces has more than 50 steps.
const NET: &str = r#"
[model]
name = "shared"
input = [24, 24, 1]
layers = [
  { kind = "conv2d", filters = 16, padding = "same", use_bias = false },
  { kind = "batch_normalization", activation = "relu" },
  { kind = "max_pooling2d" },
  { kind = "residual", activation = "relu", layers = [
    { kind = "conv2d", filters = 16, padding = "same", use_bias = false },
    { kind = "batch_normalization", activation = "relu" },
    { kind = "conv2d", filters = 16, padding = "same", use_bias = false },
    { kind = "batch_normalization" },
  ] },
  { kind = "global_average_pooling2d" },
  { kind = "dropout", rate = 0.2 },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[augment]
flip = true
rotation = 10.0
mixup = 0.2
[train]
epochs = 1
batch_size = 60
optimizer = "sgd"
learning_rate = 0.02
momentum = 0.9
weight_decay = 0.001
label_smoothing = 0.1
"#;

/// `mpirun` of these processes, or `None` if it is not installed.
fn mpirun(place: &Place, processes: &[&[&str]]) -> Option<Command> {
    if Command::new("mpirun").arg("--version").output().is_err() {
        println!("SKIPPED: mpirun is not installed");
        return None;
    }
    let mut command = place.program("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe"]);
    for (number, args) in processes.iter().enumerate() {
        command.args((number > 0).then_some(":")).args(["-n", if processes.len() == 1 { "2" } else { "1" }]);
        command.arg(env!("CARGO_BIN_EXE_moue")).args(*args).args(["--threads", "1"]);
    }
    Some(command)
}

fn failed(output: &Output) -> String {
    assert!(!output.status.success());
    text(&output.stderr)
}

#[test]
fn two_processes_train_bit_identically_to_one() {
    let place = Place::new();
    place.put("net.toml", NET);
    let Some(mut command) = mpirun(&place, &[&["train", "net.toml", "--out", "two", "--json"]]) else { return };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document from one rank");
    assert_eq!(printed["ending"], "finished", "{printed}");
    let introduced = text(&output.stderr);
    let images = introduced.split(" training images").next().unwrap().rsplit(' ').next().unwrap();
    assert!(images.parse::<usize>().unwrap() / 60 >= 50, "{images} images are fewer than 50 steps");
    assert_eq!(introduced.matches("training images").count(), 1, "only rank 0 prints");

    place.ok(&["train", "net.toml", "--out", "one"]);
    let [one, two] = ["one", "two"].map(|folder| fs::read(place.path(folder).join("model.safetensors")).unwrap());
    assert!(one == two);
}

#[test]
fn a_rank_that_dies_ends_the_job_and_leaves_a_checkpoint() {
    let place = Place::new();
    place.put("net.toml", NET);
    let arguments = ["train", "net.toml", "--out", "killed", "--epochs", "200"];
    let Some(mut command) = mpirun(&place, &[&arguments]) else { return };
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    place.wait_for("killed/metrics.csv");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let rank_1 = children.split_whitespace().find(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        environment.split(|&byte| byte == 0).any(|variable| variable == b"OMPI_COMM_WORLD_RANK=1")
    });
    assert!(Command::new("kill").args(["-9", rank_1.unwrap()]).status().unwrap().success());
    let error = failed(&child.wait_with_output().unwrap());
    assert!(error.contains("rank 1") && error.contains("signal 9"), "{error}");

    let epochs = fs::read_to_string(place.path("killed/metrics.csv")).unwrap().lines().count() - 1;
    assert!((1..200).contains(&epochs));
    let toml = fs::read_to_string(place.path("killed/config.toml")).unwrap();
    assert!(toml.contains("epochs = 200"));
    // It resumes in one process as in two.
    let mut child = place.command(&["train", "--resume", "killed"]).stderr(Stdio::null()).spawn().unwrap();
    let metrics = place.path("killed/metrics.csv");
    let start = Instant::now();
    while fs::read_to_string(&metrics).unwrap().lines().count() - 1 <= epochs {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not resume");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_interrupted_job_saves_a_checkpoint() {
    let place = Place::new();
    place.put("net.toml", NET);
    let arguments = ["train", "net.toml", "--out", "stopped", "--epochs", "200"];
    let Some(mut command) = mpirun(&place, &[&arguments]) else { return };
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    place.wait_for("stopped/metrics.csv");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(place.path("stopped/model.safetensors").exists(), "{}", text(&output.stderr));
}

#[test]
fn inconsistent_ranks_are_an_error() {
    let place = Place::new();
    place.put("net.toml", NET);
    let seeds: [&[&str]; 2] =
        [&["train", "net.toml", "--out", "run", "--seed", "1"], &["train", "net.toml", "--out", "run", "--seed", "2"]];
    let Some(mut command) = mpirun(&place, &seeds) else { return };
    let error = failed(&command.output().unwrap());
    assert!(error.contains("the configuration of rank 1 differs from rank 0"), "{error}");

    let paths: [&[&str]; 2] =
        [&["train", "net.toml", "--out", "other"], &["train", "net.toml", "--out", "other", "--data", "nowhere"]];
    let error = failed(&mpirun(&place, &paths).unwrap().output().unwrap());
    assert!(error.contains("moue: rank 1: ") && error.contains("nowhere"), "{error}");
    assert!(!place.path("other/model.safetensors").exists());
}

#[test]
fn commands_of_the_book_that_need_mpi_work() {
    let needs = docs::Needs::found(&["mpi"]);
    let Some(repository) = docs::blocks::repository() else { return };
    let files = docs::fixtures::files();
    let pages = docs::blocks::pages(&repository);
    let with_mpi = |page: &&Vec<docs::blocks::Block>| page.iter().any(|block| block.is("sh", "mpi"));
    let pages: Vec<_> = pages.iter().filter(with_mpi).collect();
    assert!(!pages.is_empty(), "no page has a block for MPI");
    let failures: Vec<String> =
        pages.iter().flat_map(|page| docs::execute(page, &files, &repository, &needs)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
