//! The web page, the npm package and reports in headless Chromium: `crates/web/tests`, run against this build.

use crate::place::Place;
use moue_train::data::{ImageSpec, synthetic};
use std::path::Path;
use std::process::Command;

fn works(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn pages_work_in_a_browser() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    for (there, what) in [
        (works("node") && works("npm"), "there is no node with npm"),
        (works(&chromium), "there is no chromium (CHROMIUM names another program)"),
        (web.join("node_modules/playwright-core").exists(), "`npm ci` has not been run in crates/web"),
    ] {
        if !there {
            eprintln!("SKIPPED: {what}");
            return;
        }
    }
    let place = Place::new();
    let faces = synthetic::dataset(5, ImageSpec::of_input([48, 48, 1]), 3);
    for number in 0..faces.len() {
        let path = place.put(&format!("faces/{number}.png"), "");
        image::save_buffer(path, faces.image(number), 48, 48, image::ExtendedColorType::L8).unwrap();
    }
    let mut tests = Command::new("node");
    let files =
        ["page", "package", "report", "audit", "evaluation", "live"].map(|name| format!("tests/{name}.test.mjs"));
    tests.args(["--test", "--test-concurrency=1"]).args(files).current_dir(web).env_remove("NODE_OPTIONS");
    tests.env("MOUE", env!("CARGO_BIN_EXE_moue")).env("MOUE_FACES", place.path("faces"));
    tests.env("MOUE_ARCH", place.path("tiny.toml"));
    let output = tests.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    printed.lines().filter(|line| line.contains("SKIPPED")).for_each(|line| eprintln!("{line}"));
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
}
