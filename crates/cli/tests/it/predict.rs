//! `moue predict`: photos, videos, cameras.

use crate::place::{Place, first_file, text};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn an_unreadable_image_does_not_stop_a_batch() {
    let place = Place::new();
    place.ok(&["train", "tiny.toml", "--epochs", "1", "--quiet", "--out", "run"]);
    place.ok(&["data", "draw", "faces", "--count", "21"]);
    let good = first_file(&place.path("faces/train/happy"));
    let bad = place.put("bad.png", b"no picture").display().to_string();
    let base = ["predict", "--no-detect", "--quiet", "--model", "run/model.safetensors", "--format"];
    let run = |format: &str, inputs: &[&str]| {
        let output = place.run(&[&base[..], &[format], inputs].concat());
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, _) = run("json", &[&bad, &good, "missing.png"]);
    assert_eq!(code, 3);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["faces"], serde_json::json!([]));
    assert_eq!(lines[0]["error"], "not a PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI or ICO image");
    assert!(lines[1]["error"].is_null() && lines[2]["error"].as_str().unwrap().contains("No such file"));
    let (code, out, error) = run("csv", &[&good, &bad]);
    assert_eq!((code, out.lines().count()), (3, 3));
    assert!(
        out.lines().nth(2).unwrap().ends_with(",\"not a PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI or ICO image\""),
        "{out}"
    );
    assert!(out.starts_with("input,x,y,width,height,label,confidence,uncertain,score,angry,"), "{out}");
    assert!(error.contains("bad.png: not a PNG"), "{error}");
    assert_eq!(run("table", &[&bad]).0, 1, "all inputs failed");
    let (code, out, _) = run("table", &["faces/train/happy", "faces/train/sad"]);
    assert_eq!((code, out.lines().count()), (0, 6));
}

#[test]
fn folders_patterns_and_stdin_with_annotations() {
    let place = Place::new();
    place.ok(&["train", "tiny.toml", "--epochs", "1", "--quiet", "--out", "run"]);
    place.ok(&["data", "draw", "faces", "--count", "42"]);
    let predict = |more: &[&str]| {
        let text =
            place.ok(&[&["predict", "--no-detect", "--model", "run/model.safetensors", "--json"], more].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let all = predict(&["faces", "--recursive"]);
    assert_eq!(all.len(), 42);
    let mut names: Vec<&str> = all.iter().map(|prediction| prediction["input"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
    names.dedup();
    assert_eq!(names.len(), 42);
    assert_eq!(predict(&["faces/*/happy/*.png"]).len(), 6);

    // Two images with the same name do not overwrite each other.
    let face = first_file(&place.path("faces/train/happy"));
    let name = Path::new(&face).file_name().unwrap().to_str().unwrap();
    let stem = name.strip_suffix(".png").unwrap();
    place.put(&format!("other/{name}"), fs::read(&face).unwrap());
    let other = format!("other/{name}");
    for method in ["grad-cam", "occlusion"] {
        let why = format!("why-{method}");
        let drawn = ["--annotate", "out", "--explain", &why, "--explain-method", method];
        let predictions = predict(&[&[face.as_str(), &other][..], &drawn].concat());
        let label = predictions[0]["faces"][0]["label"].as_str().unwrap();
        let explained = image::open(place.path(&format!("{why}/{stem}-face1-{label}.png"))).unwrap();
        assert_eq!((explained.width(), explained.height()), (672, 364));
        for file in [format!("{stem}.jpg"), format!("{stem}-2.jpg")] {
            assert_eq!(image::open(place.path("out").join(file)).unwrap().width(), 480);
        }
    }

    // Standard input, with face detection.
    let mut command = place.command(&["predict", "--model", "run/model.safetensors", "-", "--format", "csv"]);
    command.stdin(fs::File::open(&face).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let paper = image::DynamicImage::new_rgb8(300, 200);
    paper.save(place.path("paper.tiff")).unwrap();
    paper.save(place.path("paper.gif")).unwrap();
    let printed = place.ok(&["predict", "--model", "run/model.safetensors", "paper.tiff", "paper.gif"]);
    assert_eq!(printed, "paper.tiff  no face\npaper.gif  no face\n");
    let printed = place.ok(&["predict", "--model", "run/model.safetensors", "paper.gif"]);
    assert_eq!(printed, "paper.gif  no face; --no-detect predicts the whole picture\n");
}

#[test]
fn every_input_of_a_folder_has_a_row_and_the_summary_counts_them() {
    let place = Place::new();
    image::DynamicImage::new_rgb8(300, 200).save(place.path("paper.png")).unwrap();
    place.put("in/paper.png", fs::read(place.path("paper.png")).unwrap());
    for name in ["in/bad.png", "in/notes.txt", "in/clip.mp4", "in/.hidden", "videos/clip.mp4"] {
        place.put(name, "text");
    }
    let run = |more: &[&str]| {
        let output = place.run(&[&["predict", "--model", "tiny", "in", "--out", "out.csv"], more].concat());
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(3), String::new()));
        text(&output.stderr)
    };
    let said = run(&["--annotate", "annotated", "--explain", "maps"]);
    for line in [
        "note: not predicted in in: 1 video; name videos to predict them: moue predict in/clip.mp4",
        "note: not predicted in in: 2 other files; -v lists them",
        "moue: in/bad.png: not a PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI or ICO image",
        "Without a face: --no-detect predicts the whole picture",
        "Predictions: out.csv",
        "Annotated pictures: annotated",
        "Saliency maps: maps",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    assert!(said.contains("2 inputs in ") && said.contains(" s: 0 with a face, 1 without, 1 unreadable"), "{said}");
    let written = fs::read_to_string(place.path("out.csv")).unwrap();
    let rows: Vec<&str> = written.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{written}");
    assert!(rows[0].starts_with("in/bad.png,,") && rows[0].contains("not a PNG"), "{written}");
    assert_eq!(rows[1].replace(',', ""), "in/paper.png");
    assert!(run(&["-v"]).contains("not predicted: in/notes.txt\n") && !said.contains("notes.txt"));
    assert_eq!(run(&["-q"]).lines().count(), 1);
    // The extension selects the format, and a folder without images is an input that cannot be read.
    let output = place.run(&["predict", "--model", "tiny", "videos", "--out", "out.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("moue predict videos/clip.mp4"), "{}", text(&output.stderr));
    let written: Value = serde_json::from_str(&fs::read_to_string(place.path("out.jsonl")).unwrap()).unwrap();
    assert!(written["error"].as_str().unwrap().contains("there are no images in this folder"), "{written}");
    // A device is not replaced by a file.
    let output = place.run(&["predict", "--model", "tiny", "paper.png", "--out", "/dev/null"]);
    assert!(!output.status.success() && text(&output.stderr).contains("cannot write /dev/null: it is not a file"));
}

#[test]
fn rows_have_the_order_of_the_inputs() {
    let place = Place::new();
    image::DynamicImage::new_rgb8(300, 200).save(place.path("paper.png")).unwrap();
    fs::create_dir(place.path("empty")).unwrap();
    let inputs = ["paper.png", "empty", "missing.png", "*.gif", "clip.mp4", "paper.png", "***"];
    let order = ["paper.png", "empty", "missing.png", "*.gif", "paper.png", "***", "clip.mp4"];
    let output = place.run(&[&["predict", "--model", "tiny", "--json", "-q"], &inputs[..]].concat());
    assert_eq!(output.status.code(), Some(3));
    let printed = text(&output.stdout);
    let rows: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["input"].as_str().unwrap()).collect::<Vec<_>>(), order);
    let output = place.run(&["predict", "--model", "tiny", "empty", "*.gif", "-q"]);
    assert_eq!(text(&output.stdout), "empty  unreadable\n*.gif  unreadable\n");
}

#[test]
fn no_output_replaces_an_input() {
    let place = Place::new();
    image::DynamicImage::new_rgb8(300, 200).save(place.path("photo.png")).unwrap();
    fs::copy(place.path("photo.png"), place.path("photo.csv")).unwrap();
    let clip = place.put("clip.avi", "video");
    let unchanged = fs::read(place.path("photo.png")).unwrap();
    for (input, out, reason) in [
        ("photo.png", "photo.png", "this file is one of the inputs"),
        ("photo.csv", "./photo.csv", "this file is one of the inputs"),
        (".", "photo.png", "this file is one of the inputs"),
        ("clip.avi", "clip.avi", "this file is one of the inputs"),
        ("photo.png", "new.JPG", "this output is no picture or video"),
        ("photo.png", "new.mp4", "this output is no picture or video"),
    ] {
        let (code, error) = place.fails(&["predict", "--model", "tiny", input, "--out", out]);
        assert!(code == 2 && error.contains(&format!("--out {out}: {reason}")), "{error}");
        assert!(!place.path("new.JPG").exists() && !place.path("new.mp4").exists());
    }
    for (input, option, target) in [
        ("photo.png", "--annotate", "."),
        (".", "--explain", "."),
        ("clip.avi", "--annotate", "."),
        ("clip.avi", "--timeline", "clip.avi"),
    ] {
        let (code, error) = place.fails(&["predict", "--model", "tiny", input, option, target]);
        assert!(code == 2 && error.contains(&format!("{option} {target}: this f")), "{error}");
    }
    for photo in ["photo.png", "photo.csv"] {
        assert_eq!(fs::read(place.path(photo)).unwrap(), unchanged);
    }
    assert_eq!(fs::read(clip).unwrap(), b"video");
}

/// Interrupts a process, or a group, whose number is negative. Waits until it has begun to write into the folder, when
/// it listens for signals.
#[cfg(unix)]
fn interrupt(folder: &Path, process: i64) {
    let is_begun = || {
        let mut entries = fs::read_dir(folder).into_iter().flatten();
        entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(".moue-"))
    };
    while !is_begun() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // `ffmpeg` leaves the group of processes while it is started.
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(Command::new("kill").args(["-INT", "--", &process.to_string()]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn interrupted_predictions_do_not_replace_complete_ones() {
    let place = Place::new();
    image::DynamicImage::new_rgb8(300, 200).save(place.path("photo.png")).unwrap();
    place.put("out.csv", "complete");
    assert!(place.program("mkfifo").arg("slow.png").status().unwrap().success());
    let arguments =
        ["predict", "--threads", "2", "--model", "tiny", "photo.png", "slow.png", "*.gif", "--out", "out.csv"];
    let child = place.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    interrupt(place.0.path(), child.id().into());
    // The pipe is read until here; the signal is handled by another thread.
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::write(place.path("slow.png"), "no picture").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = text(&output.stderr);
    for line in ["Predictions: out.csv.partial", "Interrupted: out.csv was not written"] {
        assert!(said.lines().any(|said| said == line), "{said}");
    }
    assert_eq!(fs::read_to_string(place.path("out.csv")).unwrap(), "complete");
    let partial = fs::read_to_string(place.path("out.csv.partial")).unwrap();
    assert!(partial.starts_with("input,") && partial.lines().nth(1).unwrap().starts_with("photo.png,"), "{partial}");
    assert_eq!(partial.lines().count(), 2, "{partial}");
}

/// A terminal sends Ctrl-C to all processes of a group, and so to `ffmpeg`.
#[cfg(unix)]
#[test]
fn ctrl_c_completes_a_recording_and_replaces_no_video() {
    use std::os::unix::process::CommandExt;
    if !ffmpeg() {
        return;
    }
    let place = Place::new();
    let clip = ["-v", "error", "-f", "lavfi", "-i", "color=gray:size=96x80:rate=25:duration=200", "clip.mp4"];
    assert!(place.program("ffmpeg").args(clip).status().unwrap().success());
    place.put("out/clip.mp4", "complete");
    let camera = ["--device-format", "lavfi", "color=gray:size=96x80:rate=5"];
    for (input, written) in [
        (&camera[..], ["out/camera.mp4", "camera.html"]),
        (&["clip.mp4"], ["out/clip.mp4.partial", "clip.html.partial"]),
    ] {
        let page = written[1].trim_end_matches(".partial");
        let arguments = ["predict", "--model", "tiny", "--no-detect", "--annotate", "out", "--timeline", page];
        let mut command = place.command(&[&arguments[..], input].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        interrupt(&place.path("out"), -i64::from(child.id()));
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(130) && said.contains("1 with a face"), "{said}");
        assert!(fs::read_to_string(place.path(written[1])).unwrap().contains("</html>"), "{said}");
        let frames =
            ["-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", written[0]];
        let frames = text(&place.program("ffprobe").args(frames).output().unwrap().stdout);
        assert!(frames.trim().parse::<u32>().unwrap() > 0, "{frames}");
    }
    assert_eq!(fs::read_to_string(place.path("out/clip.mp4")).unwrap(), "complete");
}

#[cfg(unix)]
#[test]
fn an_interrupted_video_is_not_said_to_have_no_face() {
    if !ffmpeg() {
        return;
    }
    let place = Place::new();
    let arguments = ["predict", "--model", "tiny", "--device-format", "lavfi", "color=gray:size=320x240:rate=5"];
    let child = place.command(&arguments).args(["--out", "out.csv"]).stderr(Stdio::piped()).spawn().unwrap();
    interrupt(place.0.path(), child.id().into());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    // The predictions of a camera are complete when its recording is ended.
    assert!(text(&output.stderr).lines().any(|line| line == "Predictions: out.csv"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(place.path("out.csv")).unwrap().lines().count(), 1);
}

/// Whether `ffmpeg` is installed; prints a note if not.
fn ffmpeg() -> bool {
    let here = Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status().is_ok();
    if !here {
        eprintln!("SKIPPED: ffmpeg is not installed");
    }
    here
}

#[test]
fn videos_and_cameras() {
    let place = Place::new();
    place.ok(&["train", "tiny.toml", "--epochs", "1", "--quiet", "--out", "run"]);
    if !ffmpeg() {
        return;
    }
    // The whole image is the face: twelve frames of ffmpeg's test source.
    let base = ["predict", "--model", "run/model.safetensors", "--no-detect", "--device-format", "lavfi"];
    let device = "testsrc=duration=1.2:size=96x80:rate=10";
    let drawn = ["--annotate", "out", "--timeline", "timeline.html"];
    let text = place.ok(&[&base[..], &[device, "--json", "--every", "5"], &drawn].concat());
    let predictions: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let frames: Vec<u64> = predictions.iter().map(|prediction| prediction["frame"].as_u64().unwrap()).collect();
    assert_eq!(frames, [0, 5, 10]);
    assert_eq!(
        (&predictions[1]["time_s"], &predictions[1]["width"], &predictions[1]["height"]),
        (&0.5.into(), &96.into(), &80.into())
    );
    assert_eq!((&predictions[2]["faces"][0]["track"], &predictions[2]["error"]), (&1.into(), &Value::Null));
    let page = fs::read_to_string(place.path("timeline.html")).unwrap();
    assert!(page.contains("surprise") && !page.contains("NaN"));
    // The annotated video has all frames.
    place.ok(&["predict", "--model", "run/model.safetensors", "--no-detect", "out/camera.mp4", "--json"]);
    let csv =
        place.ok(&["predict", "--model", "run/model.safetensors", "--no-detect", "out/camera.mp4", "--format", "csv"]);
    assert!(csv.starts_with("input,frame,time_s,track,x,y,width,height,label,"), "{csv}");
    assert_eq!(csv.lines().count(), 13, "{csv}");

    place.put("broken.mp4", b"no video");
    let output = place.run(&["predict", "--model", "run/model.safetensors", "broken.mp4"]);
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()),
        (Some(1), "broken.mp4  unreadable\n")
    );
    let mut command = place.command(&["predict", "--model", "run/model.safetensors", "broken.mp4"]);
    let output = command.env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("apt install ffmpeg"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn malformed_images_fail_quickly() {
    let place = Place::new();
    place.ok(&["train", "tiny.toml", "--epochs", "1", "--quiet", "--out", "run"]);
    let mut huge = Vec::new();
    image::DynamicImage::new_luma8(8, 8)
        .write_to(&mut std::io::Cursor::new(&mut huge), image::ImageFormat::Bmp)
        .unwrap();
    // A header that claims 100,000 × 100,000 pixels.
    huge[18..22].copy_from_slice(&100_000u32.to_le_bytes());
    huge[22..26].copy_from_slice(&100_000u32.to_le_bytes());
    place.put("huge.bmp", &huge);
    image::DynamicImage::new_rgb8(1, 1).save(place.path("one.png")).unwrap();
    let whole = fs::read(place.path("one.png")).unwrap();
    place.put("cut.png", &whole[..whole.len() / 2]);
    place.put("empty.jpg", b"");
    place.put("text.jpg", b"hello");
    let inputs = ["huge.bmp", "cut.png", "empty.jpg", "text.jpg", "one.png"];
    let output = place.run(&[&["predict", "--model", "run/model.safetensors", "--json"], &inputs[..]].concat());
    assert_eq!(output.status.code(), Some(3));
    let predictions: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(predictions.iter().filter(|prediction| prediction["error"].is_string()).count(), 4);
    assert_eq!((&predictions[4]["faces"], &predictions[4]["error"]), (&serde_json::json!([]), &Value::Null));
}

#[test]
fn a_truncated_image_is_an_error_unless_allowed() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "21", "--quiet"]);
    let face = image::open(first_file(&place.path("faces/train/happy"))).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    face.resize_exact(200, 200, image::imageops::FilterType::Triangle)
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .unwrap();
    let whole = bytes.into_inner();
    place.put("cut.jpg", &whole[..whole.len() * 7 / 10]);
    let arguments = ["predict", "--model", "tiny", "--no-detect", "--json", "cut.jpg"];
    let output = place.run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let prediction: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(prediction["error"], "truncated JPEG image; copy or download it again");
    let prediction = place.json(&[&arguments[..], &["--allow-truncated"]].concat());
    assert_eq!(prediction["warning"], "the file is truncated; only a part of the picture was predicted");
    assert_eq!(prediction["faces"].as_array().unwrap().len(), 1);
}

/// Without --model, the bundled model `default` is used.
#[test]
fn the_default_model_is_bundled() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "21", "--quiet"]);
    let face = first_file(&place.path("faces/train/happy"));
    let prediction = place.json(&["predict", "--no-detect", "--json", &face]);
    let probabilities = prediction["faces"][0]["probabilities"].as_object().unwrap();
    assert_eq!(probabilities.len(), 7);
    let sum: f64 = probabilities.values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    place.ok(&["export", "weights.safetensors"]);
    let exported = place.json(&["predict", "--no-detect", "--json", "--model", "weights.safetensors", &face]);
    assert_eq!(exported, prediction);
}
