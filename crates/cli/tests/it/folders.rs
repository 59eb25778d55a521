//! Folders as people have them: other files, links, unusual names, damaged and unreadable files.

use crate::place::{Place, first_file, text};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A place with `face.png`.
fn place() -> Place {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "42", "--quiet"]);
    fs::copy(first_file(&place.path("faces/train/happy")), place.path("face.png")).unwrap();
    place
}

fn copy(place: &Place, name: impl AsRef<Path>) {
    let path = place.0.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(place.path("face.png"), path).unwrap();
}

/// The rows, standard error and exit code of a prediction in JSON.
fn predict(place: &Place, more: &[&str]) -> (Vec<Value>, String, i32) {
    let output = place.run(&[&["predict", "--model", "tiny", "--no-detect", "--json"], more].concat());
    let rows = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (rows, text(&output.stderr), output.status.code().unwrap())
}

/// Name and error of each row.
fn errors(rows: &[Value]) -> Vec<(&str, &str)> {
    rows.iter().map(|row| (row["input"].as_str().unwrap(), row["error"].as_str().unwrap_or_default())).collect()
}

fn warnings(place: &Place, args: &[&str]) -> Vec<String> {
    let output = place.run(args);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    let warnings = said.lines().filter_map(|line| line.strip_prefix("warning: "));
    warnings.map(str::to_owned).collect()
}

#[test]
fn folders_outside_the_splits_are_ignored_with_a_warning() {
    let place = place();
    for (folder, images) in [("eval/happy", 3), ("tests/sad", 2), ("train/happy/more", 1), ("happy", 1), ("train", 1)] {
        let name = folder.replace('/', "-");
        (0..images).for_each(|number| copy(&place, format!("faces/{folder}/{name}-{number}.png")));
    }
    let ignored = "images outside the split folders are ignored: eval (3), happy (1), tests (2), train (1), \
        train/happy/more (1); to use them, move them to class folders in train, validation or test, or rename their \
        folder to one of these";
    let expected = place.json(&["data", "info", "faces", "--json"]);
    assert_eq!((&expected["images"], &expected["classes"].as_array().unwrap().len()), (&42.into(), &7));
    let train = ["train", "tiny.toml", "--data", "faces", "--epochs", "1", "--out", "run", "-q", "--json"];
    let compare = ["compare", "tiny.toml", "--data", "faces", "--epochs", "1", "-q", "--json"];
    for args in [
        &["data", "info", "faces", "--json", "-q"][..],
        &["data", "table", "faces", "--out", "table.csv"],
        &train,
        &compare,
        &["evaluate", "run", "--data", "faces", "--json", "-q"],
    ] {
        let found = warnings(&place, args);
        assert_eq!(found.iter().filter(|warning| *warning == ignored).count(), 1, "{args:?}: {found:?}");
    }
}

#[test]
fn synonyms_of_splits_are_read_as_these_splits() {
    let place = place();
    for (folder, split) in [("training_set", "train"), ("dev", "validation"), ("Test_set", "test")] {
        for class in ["happy", "sad"] {
            copy(&place, format!("data/{folder}/{class}/{folder}.png"));
        }
        let found = place.json(&["data", "info", "data", "--json", "-q"]);
        let splits = found["splits"].as_array().unwrap();
        let own = splits.iter().find(|own| own["split"] == split).unwrap();
        assert_eq!((&own["source_name"], &own["images"]), (&folder.into(), &2.into()));
    }
    // Without any name of a split, all are one data set, and a note says so.
    for (from, to) in [("training_set", "eval"), ("dev", "tests"), ("Test_set", "holdout")] {
        fs::rename(place.path(&format!("data/{from}")), place.path(&format!("data/{to}"))).unwrap();
    }
    let said = text(&place.run(&["data", "info", "data"]).stderr);
    let note = "note: none of the 3 folders with class folders is named after a split, so they are one data set: \
        eval, holdout, tests";
    assert!(said.lines().any(|line| line == note), "{said}");
}

#[test]
fn classes_that_only_some_splits_have_are_warned_about_before_training() {
    let place = place();
    for name in ["validation/proud/1.png", "train/calm/1.png", "train/calm/2.png"] {
        copy(&place, format!("faces/{name}"));
    }
    let has = |warnings: &[String], text: &str| warnings.iter().any(|warning| warning.starts_with(text));
    let train = ["train", "tiny.toml", "--data", "faces", "--epochs", "1", "--out", "run", "-q"];
    for args in [
        &["data", "info", "faces"][..],
        &train,
        &["compare", "tiny.toml", "--data", "faces", "--epochs", "1"],
        &["evaluate", "run", "--data", "faces"],
    ] {
        let found = warnings(&place, args);
        let validation = "classes without validation images are not part of the validation accuracy, which selects the \
            epoch: ";
        assert!(
            has(&found, "classes without training images cannot be predicted: proud (1 in validation)"),
            "{found:?}"
        );
        assert!(has(&found, validation) && found[1].contains(", calm (2 in train), "), "{found:?}");
    }
}

#[test]
fn outputs_below_the_folder_are_no_inputs() {
    let place = place();
    for name in ["photos/a.png", "photos/inner/b.png", "photos/z.png"] {
        copy(&place, name);
    }
    for _ in 0..2 {
        let (rows, _, code) = predict(&place, &["photos", "-r", "--annotate", "photos/maps"]);
        let names: Vec<&str> = errors(&rows).into_iter().map(|(name, _)| name).collect();
        assert_eq!((names, code), (vec!["photos/a.png", "photos/inner/b.png", "photos/z.png"], 0));
    }
    let (_, error, code) = predict(&place, &["photos", "-r", "--annotate", "photos"]);
    assert!(code == 2 && error.contains("this folder contains inputs"), "{error}");
}

#[test]
fn a_damaged_file_never_ends_a_batch() {
    let place = place();
    copy(&place, "in/a.png");
    place.put("in/empty.png", "");
    place.put("in/notes.png", "text");
    fs::File::create(place.path("in/large.png")).unwrap().set_len((256 << 20) + 1).unwrap();
    for name in ["._a.png", "Thumbs.db", ".DS_Store", "desktop.ini", "b.HEIC", "c.heic", "d.avif"] {
        place.put(&format!("in/{name}"), "x");
    }
    copy(&place, "in/z.png");
    let (rows, said, code) = predict(&place, &["in", "-v"]);
    assert_eq!(
        errors(&rows),
        [
            ("in/a.png", ""),
            ("in/empty.png", "the file is empty"),
            ("in/large.png", "the file is larger than the limit of 256 MB"),
            ("in/notes.png", "not a PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI or ICO image"),
            ("in/z.png", ""),
        ]
    );
    assert!(code == 3 && said.contains("note: not predicted in in: 4 other files\n"), "{said}");
    let undecoded = "note: not predicted in in: 1 AVIF picture, 2 HEIC pictures; convert them to JPEG or PNG\n";
    assert!(said.contains(undecoded), "{said}");
    for name in ["._a.png", "Thumbs.db", ".DS_Store", "desktop.ini"] {
        assert!(said.contains(&format!("not predicted: in/{name}\n")), "{said}");
    }
    fs::remove_file(place.path("in/a.png")).unwrap();
    fs::remove_file(place.path("in/z.png")).unwrap();
    assert_eq!(predict(&place, &["in", "-q"]).2, 1, "no picture is readable");
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    /// Removes all permissions; false where that changes nothing, as for root.
    fn forbid(path: &Path) -> bool {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        let is_forbidden = fs::File::open(path).is_err();
        if !is_forbidden {
            eprintln!("SKIPPED: permissions do not apply to this user");
        }
        is_forbidden
    }

    fn allow(path: &Path) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn pipe(place: &Place, name: &str) {
        assert!(place.program("mkfifo").arg(name).status().unwrap().success());
    }

    #[test]
    fn links_pipes_and_sockets_are_not_followed_for_ever() {
        let place = place();
        copy(&place, "in/a.png");
        for (target, link) in
            [("..", "in/loop"), ("self.png", "in/self.png"), ("none", "in/lost.png"), ("none", "in/lost")]
        {
            symlink(target, place.path(link)).unwrap();
        }
        pipe(&place, "in/pipe.png");
        let _socket = UnixListener::bind(place.path("in/socket.png")).unwrap();
        symlink("/dev/zero", place.path("in/zero.png")).unwrap();
        copy(&place, "in/z.png");
        let (rows, said, code) = predict(&place, &["in", "--recursive", "-v"]);
        let lost = ("in/lost.png", "the link leads to no file: No such file or directory");
        let own = ("in/self.png", "the link leads to no file: Too many levels of symbolic links");
        assert_eq!(errors(&rows), [("in/a.png", ""), lost, own, ("in/z.png", "")]);
        assert_eq!(code, 3);
        assert!(said.contains("note: not predicted in in: 5 other files\n"), "{said}");
        for name in ["loop", "lost", "pipe.png", "socket.png", "zero.png"] {
            assert!(said.contains(&format!("not predicted: in/{name}\n")), "{name}: {said}");
        }
        let (rows, ..) = predict(&place, &["in/*.png"]);
        assert_eq!(errors(&rows), [("in/a.png", ""), lost, own, ("in/z.png", "")]);
    }

    #[test]
    fn links_and_pipes_in_a_data_set_are_skipped() {
        let place = place();
        let expected = place.ok(&["data", "info", "faces"]);
        symlink("../..", place.path("faces/train/loop")).unwrap();
        symlink("none", place.path("faces/train/happy/lost.png")).unwrap();
        symlink("none", place.path("faces/lost")).unwrap();
        pipe(&place, "faces/train/happy/pipe.png");
        symlink("/dev/zero", place.path("faces/train/happy/zero.png")).unwrap();
        // With the cache, which reads the files as well.
        for _ in 0..2 {
            let output = place.run(&["data", "info", "faces"]);
            let said = text(&output.stderr);
            assert_eq!(text(&output.stdout), expected, "{said}");
            assert!(
                said.contains("1 items could not be read and were skipped, for example train/happy/lost.png: "),
                "{said}"
            );
        }
    }

    #[test]
    fn forbidden_files_and_folders_are_reported() {
        let place = place();
        for name in ["in/a.png", "in/b.png", "in/closed/c.png", "in/d.png"] {
            copy(&place, name);
        }
        let (file, folder, faces) = (place.path("in/b.png"), place.path("in/closed"), place.path("faces/train/happy"));
        if !forbid(&file) {
            return;
        }
        forbid(&folder);
        let (rows, _, code) = predict(&place, &["in", "--recursive", "-q"]);
        let denied = "Permission denied";
        assert_eq!(errors(&rows), [("in/a.png", ""), ("in/b.png", denied), ("in/closed", denied), ("in/d.png", "")]);
        assert_eq!(code, 3);
        allow(&folder);
        forbid(&faces);
        let found = warnings(&place, &["data", "info", "faces"]);
        allow(&faces);
        let missing = "the folder train/happy cannot be read, so its images are missing: Permission denied";
        assert!(found.iter().any(|warning| warning == missing), "{found:?}");
    }

    #[test]
    fn unusual_names_are_written_in_each_format_and_control_no_terminal() {
        let place = place();
        let names: [&[u8]; 4] = [b"1 \xff\xe9.png", b"2, \"quoted\".png", b"3\nline.png", b"4\x1b[2J\x9b.png"];
        for name in names {
            copy(&place, Path::new("in").join(OsStr::from_bytes(name)));
        }
        place.put("in/5\u{1b}[31mbad.png", "text");
        place.put("in/6\u{1b}[31m.txt", "text");
        let (rows, said, _) = predict(&place, &["in", "-v"]);
        let names: Vec<&str> = errors(&rows).into_iter().map(|(name, _)| name).collect();
        let expected = [
            "in/1 \u{fffd}\u{fffd}.png",
            "in/2, \"quoted\".png",
            "in/3\nline.png",
            "in/4\u{1b}[2J\u{fffd}.png",
            "in/5\u{1b}[31mbad.png",
        ];
        assert_eq!(names, expected);
        assert!(said.contains("not predicted: in/6\\u{1b}[31m.txt") && !said.contains('\u{1b}'), "{said}");
        let run = |format: &str| {
            let output = place.run(&["predict", "--model", "tiny", "--no-detect", "in", "-q", "--format", format]);
            (text(&output.stdout), text(&output.stderr))
        };
        let (written, _) = run("csv");
        let rows: Vec<csv::StringRecord> =
            csv::Reader::from_reader(written.as_bytes()).records().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|row| &row[0]).collect::<Vec<_>>(), expected);
        let (written, said) = run("table");
        assert!(said.contains("5\\u{1b}[31mbad.png: not a PNG"), "{said}");
        assert!(
            written.lines().count() == 5 && !written.contains('\u{1b}') && !said.contains('\u{1b}'),
            "{written}{said}"
        );
        // A terminal gets no control characters from CSV either.
        let line = format!("{} predict --model tiny --no-detect in -q --format csv", env!("CARGO_BIN_EXE_moue"));
        let Ok(output) = place.program("script").args(["-qec", &line, "/dev/null"]).output() else {
            eprintln!("SKIPPED: the program `script` is not installed");
            return;
        };
        let shown = text(&output.stdout);
        assert!(shown.contains("in/4\\u{1b}[2J") && !shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn very_long_paths_are_read_or_reported() {
        let place = place();
        copy(&place, format!("in/{}.png", "x".repeat(250)));
        // Deeper than the longest path that the system accepts.
        let deep = format!(
            "mkdir in/deep && cd in/deep && for i in $(seq 30); do mkdir {0} && cd {0}; done && cp \"$FACE\" a.png",
            "d".repeat(200)
        );
        let made = place.program("bash").args(["-c", &deep]).env("FACE", place.path("face.png")).status().unwrap();
        assert!(made.success());
        let (rows, said, code) = predict(&place, &["in", "-r", "--annotate", "out", "--explain", "out"]);
        let errors = errors(&rows);
        assert_eq!(code, 3, "{said}");
        assert!(errors[0].0.starts_with("in/deep/") && errors[0].1 == "File name too long", "{errors:?}");
        assert_eq!((errors.len(), errors[1].1), (2, ""), "{errors:?}");
        assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_vanishes_while_the_batch_runs_is_a_row() {
        let place = place();
        (0..300).for_each(|number| copy(&place, format!("in/{number:03}.png")));
        // The batch waits for the pipe, which is the first argument.
        pipe(&place, "pipe.png");
        let arguments =
            ["predict", "--model", "tiny", "--no-detect", "--json", "--threads", "1", "in", "pipe.png", "in"];
        let mut child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let face = fs::read(place.path("face.png")).unwrap();
        let path = place.path("pipe.png");
        let last = place.path("in/299.png");
        // Opening the pipe waits until the command reads it: it has listed, but not read, what follows.
        let writer = std::thread::spawn(move || {
            let mut pipe = fs::OpenOptions::new().write(true).open(path).unwrap();
            fs::remove_file(last).unwrap();
            std::io::Write::write_all(&mut pipe, &face).unwrap();
        });
        let output = {
            let mut printed = String::new();
            std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut printed).unwrap();
            printed
        };
        writer.join().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3));
        let rows: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let errors = errors(&rows);
        assert_eq!(errors.len(), 601);
        assert_eq!(errors[299], ("in/299.png", ""));
        assert_eq!(errors[600], ("in/299.png", "No such file or directory"));
    }

    #[test]
    fn a_pipe_that_is_named_is_read() {
        let place = place();
        pipe(&place, "pipe.png");
        let line = format!(
            "cat face.png > pipe.png & {} predict --model tiny --no-detect pipe.png",
            env!("CARGO_BIN_EXE_moue")
        );
        let output = Command::new("bash").args(["-c", &line]).current_dir(place.0.path()).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).starts_with("pipe.png  "), "{}", text(&output.stderr));
    }
}
