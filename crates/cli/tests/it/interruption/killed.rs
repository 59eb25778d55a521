//! Commands that are killed at random moments. Repeated, they write the same bytes as without an interruption.

use super::attempt::Interrupted;
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
        if folder.join("run/checkpoints/last.safetensors").exists() {
            return arguments("train --resume run");
        }
        // Without a checkpoint, there is nothing to resume.
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
