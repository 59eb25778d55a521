//! Commands that are killed at random moments. Repeated, they write the same bytes as without an interruption.

use super::attempt::{Interrupted, assert_same};
use super::contents::files;
use super::{photos, prepared, video};
use crate::place::Place;
use std::fs;
use std::path::Path;

fn arguments(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A command that is repeated with the same arguments.
fn repeated(place: &Place, command: &str, prepare: &dyn Fn(&Path)) {
    let start = |_: &Path| arguments(command);
    Interrupted { start: &start, again: &start }.loses_nothing(place, prepare);
}

#[test]
fn a_killed_training_resumes() {
    let train = |_: &Path| arguments("train ../net.toml --data ../faces --out run");
    let again = |folder: &Path| {
        if folder.join("run/config.toml").exists() {
            return arguments("train --resume run");
        }
        // The training had not begun.
        let _ = fs::remove_dir_all(folder.join("run"));
        train(folder)
    };
    Interrupted { start: &train, again: &again }.loses_nothing(&prepared(140), &|_| ());
}

#[test]
fn a_killed_comparison_resumes() {
    let command = "compare ../net.toml --data ../faces --vary dropout.rate=0.1,0.3 --epochs 3 --out side";
    repeated(&prepared(140), command, &|_| ());
}

/// Three trainings of one rung, one of the next, two more, and one of the best configuration.
#[test]
fn a_killed_search_continues() {
    let place = prepared(140);
    let space = "[space]\ntrain.learning_rate = { min = 0.001, max = 0.1, log = true }\ndropout.rate = { choices = [0.1, 0.3] }\n";
    let net = format!("{space}{}", fs::read_to_string(place.path("net.toml")).unwrap());
    place.put("space.toml", net);
    let command = "tune ../space.toml --data ../faces --trials 5 --epochs 3 --seeds 1 --out found";
    repeated(&place, command, &|_| ());
}

#[test]
fn a_killed_audit_continues() {
    repeated(&prepared(140), "data audit ../faces --arch ../net.toml --folds 2 --epochs 4 --out audit", &|_| ());
}

#[test]
fn a_killed_export_leaves_the_earlier_file() {
    for (file, precision) in [("model.onnx", "f32"), ("model.safetensors", "f16")] {
        let place = Place::new();
        place.ok(&["export", "tiny", file, "--quiet"]);
        let command = format!("export default {file} --precision {precision}");
        repeated(&place, &command, &|folder| {
            fs::copy(place.path(file), folder.join(file)).unwrap();
        });
    }
}

/// Without a further epoch, a repeated command writes what is missing: it was killed after its last checkpoint.
#[test]
fn what_is_written_after_the_last_checkpoint_is_restored() {
    let place = prepared(140);
    let train = arguments("train net.toml --data faces --out run");
    let compare = arguments("compare net.toml --data faces --epochs 2 --out side");
    let run = |arguments: &[String]| drop(place.ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    run(&train);
    run(&compare);
    let complete = files(&place.path("run"));
    let compared = files(&place.path("side"));
    for (name, bytes) in &complete {
        // Those of an earlier epoch, or none.
        match name.as_str() {
            "metrics.csv" | "metrics.jsonl" => {
                let end = bytes[..bytes.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap();
                place.put(&format!("run/{name}"), &bytes[..=end]);
            }
            "config.toml" | "checkpoints/last.safetensors" => {}
            _ => fs::remove_file(place.path("run").join(name)).unwrap(),
        }
    }
    run(&arguments("train --resume run"));
    assert_same(&complete, &files(&place.path("run")));
    let report = compared.keys().find(|name| name.starts_with("runs/") && name.ends_with("report.html")).unwrap();
    place.put(&format!("side/{report}"), "<html>an earlier epoch</html>");
    run(&compare);
    assert_same(&compared, &files(&place.path("side")));
}

#[test]
fn killed_while_it_draws_faces_a_command_leaves_whole_images() {
    let draw = |_: &Path| arguments("data draw drawn --count 350");
    let again = |folder: &Path| {
        // It is refused in a folder that is not empty.
        let _ = fs::remove_dir_all(folder.join("drawn"));
        draw(folder)
    };
    Interrupted { start: &draw, again: &again }.loses_nothing(&Place::new(), &|_| ());
}

/// The cache of decoded images.
#[test]
fn a_killed_command_leaves_no_damaged_cache() {
    repeated(&prepared(1400), "data info ../faces", &|_| ());
}

#[test]
fn cutting_faces_resumes_where_it_was_killed() {
    let place = Place::new();
    photos(&place);
    repeated(&place, "data faces ../photos --out cut --threads 1", &|_| ());
}

#[test]
fn killed_predictions_leave_the_earlier_files() {
    let place = Place::new();
    photos(&place);
    let command = "predict --model tiny ../photos/1.png ../photos/2.png --annotate annotated --explain maps \
                   --out predictions.csv";
    repeated(&place, command, &|folder| fs::write(folder.join("predictions.csv"), "input\nearlier\n").unwrap());
}

#[test]
fn a_killed_annotation_leaves_no_partial_video() {
    let place = Place::new();
    if video(&place) {
        let command = "predict --model tiny --no-detect ../clip.mp4 --annotate annotated --out frames.jsonl \
                       --timeline timeline.html";
        repeated(&place, command, &|_| ());
    }
}
