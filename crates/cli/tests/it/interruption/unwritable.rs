//! Commands on a full disk, and in a folder that is read-only: an error, and nothing that was there changes.

use super::contents::{check, files};
use super::{photos, prepared, video};
use crate::place::{Place, text};
use crate::serve::exchange;
use moue::fs::is_temporary;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// What the working folder is on.
#[derive(Clone, Copy, Debug)]
enum Disk {
    /// With this many free KiB.
    Full(usize),
    ReadOnly,
}

/// Runs a command in a copy of the folder `state` on such a disk, which is copied to `after` again.
///
/// The disk is a tmpfs in a mount namespace of its own. Where this is not allowed, files may not grow, or the folder's
/// permissions are removed; as root, which ignores permissions, the command is not run.
fn run(place: &Place, disk: Disk, arguments: &str) -> Option<Output> {
    let private = [&["--mount"][..], &["--mount", "--map-root-user"]].into_iter().find(|options| {
        let mount = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"];
        let allowed = Command::new("unshare").args(*options).args(mount).stderr(Stdio::null()).status();
        allowed.is_ok_and(|status| status.success())
    });
    let (before, limit, after): (String, _, _) = match (disk, private) {
        (Disk::Full(free), Some(_)) => {
            let fill = "mount -t tmpfs -o size=16m tmpfs disk; cp -a state/. disk; \
                        dd if=/dev/zero of=disk/filler bs=1k status=none 2>/dev/null;";
            let size = format!("truncate -s -{free}k disk/filler");
            (format!("{fill} {size}"), String::new(), "rm disk/filler")
        }
        (Disk::ReadOnly, Some(_)) => {
            let mount = "mount -t tmpfs tmpfs disk; cp -a state/. disk; mount -o remount,ro disk";
            (mount.into(), String::new(), "true")
        }
        (Disk::Full(free), None) => ("cp -a state/. disk".into(), format!("trap '' XFSZ; ulimit -f {free};"), "true"),
        (Disk::ReadOnly, None) => {
            if Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
                eprintln!("SKIPPED: a read-only folder, which root can mount only in a namespace of its own");
                return None;
            }
            ("cp -a state/. disk; chmod -R a-w disk".into(), String::new(), "chmod -R u+w disk")
        }
    };
    let moue = env!("CARGO_BIN_EXE_moue");
    let script = format!(
        "rm -rf disk after; mkdir disk after; {before}; (cd disk; {limit} exec {moue} {arguments}); code=$?; \
         {after}; cp -a disk/. after; exit $code"
    );
    let mut command = place.program(if private.is_some() { "unshare" } else { "bash" });
    if let Some(options) = private {
        command.args(options).arg("bash");
    }
    let disk = place.path("disk");
    Some(command.args(["-c", &script]).env("MOUE_CACHE", disk.join("cache")).output().unwrap())
}

/// The command fails with an error that names `file`, and the files of `state` are unchanged.
fn fails(place: &Place, disk: Disk, arguments: &str, file: &str) {
    let Some(output) = run(place, disk, arguments) else { return };
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments}, {disk:?}: {printed}");
    unchanged(place, disk, arguments);
    let reasons = ["No space left on device", "File too large", "Read-only file system", "Permission denied"];
    let named = printed.lines().any(|line| line.contains(file) && reasons.iter().any(|reason| line.contains(reason)));
    assert!(named && !printed.contains("panicked"), "{arguments}, {disk:?}: {printed}");
}

fn unchanged(place: &Place, disk: Disk, arguments: &str) {
    let (before, after) = (files(&place.path("state")), files(&place.path("after")));
    for (name, bytes) in &before {
        assert!(after[name] == *bytes, "{arguments}, {disk:?}: {name} has changed");
    }
    check(&place.path("after"), &before);
    let mut folders = vec![place.path("after")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            assert!(!is_temporary(&path), "{arguments}, {disk:?}: {} is left", path.display());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}

/// Runs a command in `state` to its end.
fn before(place: &Place, arguments: &str) {
    fs::create_dir_all(place.path("state")).unwrap();
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = place.command(&arguments).current_dir(place.path("state")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

const DISKS: [Disk; 2] = [Disk::Full(0), Disk::ReadOnly];

#[test]
fn a_training_that_cannot_write_keeps_the_checkpoint() {
    let place = prepared(140);
    fs::create_dir(place.path("state")).unwrap();
    let train = ["train", "../net.toml", "--data", "../faces", "--epochs", "1000", "--out", "run"];
    let mut child = place.command(&train).current_dir(place.path("state")).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for("state/run/events.out.tfevents.0.moue");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success() && child.wait().unwrap().code() == Some(130));
    for disk in DISKS {
        fails(&place, disk, "train --resume run", "run/metrics.csv; an existing file is unchanged");
        fails(&place, disk, "train ../net.toml --data ../faces --out new", "new");
    }
    // The small files can be written.
    let checkpoint = "checkpoints/last.safetensors; an existing file is unchanged";
    fails(&place, Disk::Full(4), "train --resume run", &format!("run/{checkpoint}"));
    fails(&place, Disk::Full(8), "train ../net.toml --data ../faces --out new", &format!("new/{checkpoint}"));
}

#[test]
fn a_comparison_that_cannot_write_keeps_its_results() {
    let place = prepared(140);
    before(&place, "compare ../net.toml --data ../faces --epochs 1 --out side");
    for disk in DISKS {
        fails(&place, disk, "compare ../net.toml --data ../faces --epochs 2 --out side", "side/");
    }
}

#[test]
fn a_file_that_cannot_be_replaced_is_kept() {
    let place = prepared(140);
    photos(&place);
    before(&place, "export tiny model.onnx");
    before(&place, "data table ../faces --out table.csv");
    before(&place, "data faces ../photos --out cut");
    before(&place, "predict --model tiny ../photos --annotate annotated --out predictions.csv");
    for disk in DISKS {
        fails(&place, disk, "export default model.onnx", "model.onnx");
        fails(&place, disk, "data table ../drawn --out table.csv", "table.csv");
        fails(&place, disk, "data faces ../photos --out cut", "cut");
        fails(&place, disk, "data draw new --count 21", "new");
        let predict = "predict --model default ../photos --annotate annotated";
        fails(&place, disk, predict, "annotated");
        fails(&place, disk, &format!("{predict} --out predictions.csv"), "");
    }
}

#[test]
fn a_video_that_cannot_be_written_is_kept() {
    let place = Place::new();
    if !video(&place) {
        return;
    }
    before(&place, "predict --model tiny --no-detect ../clip.mp4 --every 9 --annotate annotated");
    // The frames can be written, but not the end of the file.
    for disk in [&DISKS[..], &[Disk::Full(8)]].concat() {
        let predict = "predict --model tiny --no-detect ../clip.mp4 --annotate annotated";
        fails(&place, disk, predict, "cannot write annotated/clip.mp4");
    }
}

/// The cache saves time only.
#[test]
fn without_space_for_the_cache_a_dataset_is_decoded() {
    let place = prepared(140);
    before(&place, "data table ../faces --out table.csv");
    for disk in DISKS {
        let Some(output) = run(&place, disk, "data info ../faces") else { return };
        assert!(output.status.success(), "{}", text(&output.stderr));
        unchanged(&place, disk, "data info");
    }
}

#[test]
fn a_full_disk_under_the_log_does_not_stop_the_service() {
    let Some(full) = full() else { return };
    let place = Place::new();
    let mut service = place.command(&["serve", "--addr", "127.0.0.1:0", "--model", "tiny", "--json"]);
    let mut service = service.stdout(Stdio::piped()).stderr(full).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(service.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = serde_json::from_str::<Value>(&line).unwrap()["address"].as_str().unwrap().to_owned();
    let response = exchange(&address, "GET", "/healthz", b"");
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

/// A device on which nothing can be written.
fn full() -> Option<Stdio> {
    let device = fs::OpenOptions::new().write(true).open("/dev/full").ok();
    if device.is_none() {
        eprintln!("SKIPPED: there is no /dev/full");
    }
    device.map(Stdio::from)
}

/// Standard output and standard error may be files on the full disk.
#[test]
fn a_full_disk_under_the_output_is_an_error() {
    let (Some(output), Some(log)) = (full(), full()) else { return };
    let place = prepared(140);
    let info = ["data", "info", "faces"];
    let output = place.command(&info).stdout(output).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("No space left on device") && !error.contains("panicked"), "{error}");
    // A log that cannot be written does not end a training.
    let train = ["train", "net.toml", "--data", "faces", "--out", "run"];
    let output = place.command(&train).stderr(log).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(place.path("run/report.html").exists());
}
