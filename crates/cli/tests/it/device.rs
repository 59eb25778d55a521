//! `--device` in a build without the feature `gpu`. The other builds are tested by `tests/gpu.rs`.
#![cfg(not(feature = "gpu"))]

use crate::place::{Place, text};

#[test]
fn a_gpu_needs_a_feature() {
    let place = Place::new();
    let error = "this build computes on the CPU only; install moue with its feature `gpu`";
    for arguments in [&["predict", "face.png"][..], &["evaluate", "tiny"], &["serve"], &["bench", "tiny"]] {
        for device in ["gpu", "gpu:1"] {
            let (code, said) = place.fails(&[arguments, &["--device", device]].concat());
            assert!(code == 1 && said.contains(error), "{arguments:?}: {said}");
        }
        let output = place.command(arguments).env("MOUE_DEVICE", "gpu").output().unwrap();
        assert!(text(&output.stderr).contains(error), "{arguments:?}");
    }
    let (code, said) = place.fails(&["predict", "face.png", "--device", "cuda"]);
    assert!(code == 2 && said.contains("there is no device `cuda`; use cpu, gpu, auto, or gpu:N"), "{said}");
}

#[test]
fn auto_is_the_cpu() {
    let place = Place::new();
    let bench = ["bench", "tiny.toml", "--batch-size", "2", "--seconds", "0", "--device", "auto", "--json"];
    assert_eq!(place.json(&bench)["device"], "cpu");
    assert!(place.ok(&["doctor"]).contains("not used: this build has no feature `gpu`"));
}
