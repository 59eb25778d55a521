//! Tests that compare the detector with its source, YuNet's ONNX file in ONNX Runtime:
//! `reference.json` has some of its values, written by `models/run_yunet.py`. Where Python with
//! onnxruntime and `MOUE_TEST_DATA` with the file are present, all values of a photo are compared.
#![cfg(test)]

use super::network::{FaceNetwork, VALUES, sigmoid};
use moue_engine::{Shape, Tensor};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The sizes of the script, as `[height, width]`.
const SIZES: [[usize; 2]; 3] = [[640, 640], [256, 320], [96, 160]];

#[derive(Deserialize)]
struct Cell {
    height: usize,
    width: usize,
    stride: usize,
    cell: usize,
    values: Vec<f32>,
}

fn network() -> FaceNetwork {
    FaceNetwork::from_bytes(include_bytes!("../../models/yunet.safetensors"), Path::new("yunet")).unwrap()
}

/// The picture of the script.
fn picture(height: usize, width: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(height * width * 3);
    for y in 0..height {
        for x in 0..width {
            pixels.extend((0..3).map(|channel| (((x * 7 + y * 13 + channel * 50) ^ ((x * y) >> 3)) & 255) as u8));
        }
    }
    pixels
}

/// The values of all cells of each grid.
fn grids(network: &FaceNetwork, [height, width]: [usize; 2], pixels: &[u8]) -> Vec<(usize, Vec<f32>)> {
    let values: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel)).collect();
    network.grids(&Tensor::from_slice(1, Shape::new(height, width, 3), &values))
}

/// Compares a cell: scores, and the box and the landmarks in pixels.
fn compare(stride: usize, got: &[f32], expected: &[f32]) {
    let ours = [sigmoid(got[0]), sigmoid(got[1])];
    for (ours, theirs) in ours.iter().zip(expected) {
        assert!((ours - theirs).abs() < 1e-4, "probability {ours}, ONNX Runtime has {theirs}");
    }
    // The root of a product near 0 magnifies the error of ONNX Runtime's sigmoid, which is about 1e-7.
    let scores = [ours[0] * ours[1], expected[0] * expected[1]].map(f32::sqrt);
    assert!(scores[0].max(scores[1]) < 0.01 || (scores[0] - scores[1]).abs() < 1e-4, "scores {scores:?}");
    let stride = stride as f32;
    for (at, (got, expected)) in got.iter().zip(expected).enumerate().skip(2) {
        let pixels = if (4..6).contains(&at) { got.exp() - expected.exp() } else { got - expected };
        assert!((pixels * stride).abs() < 0.1, "value {at} is {got}, ONNX Runtime has {expected} (stride {stride})");
    }
}

#[test]
fn outputs_equal_those_of_onnx_runtime() {
    let cells: Vec<Cell> = serde_json::from_str(include_str!("reference.json")).unwrap();
    let network = network();
    for size in SIZES {
        let grids = grids(&network, size, &picture(size[0], size[1]));
        let mut compared = 0;
        for cell in cells.iter().filter(|cell| [cell.height, cell.width] == size) {
            let (_, values) = grids.iter().find(|(stride, _)| *stride == cell.stride).unwrap();
            compare(cell.stride, &values[cell.cell * VALUES..][..VALUES], &cell.values);
            compared += 1;
        }
        assert_eq!(compared, 15);
    }
}

#[test]
fn a_photo_gives_the_same_values_in_onnx_runtime() {
    let interpreter = std::env::var("MOUE_PYTHON").unwrap_or_else(|_| "python3".into());
    let there = Command::new(&interpreter).args(["-c", "import numpy, onnx, onnxruntime"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {interpreter} lacks onnx or onnxruntime (MOUE_PYTHON names another one)");
        return;
    }
    let data = std::env::var_os("MOUE_TEST_DATA").map(PathBuf::from).unwrap_or_default();
    let (onnx, photo) = (data.join("yunet.onnx"), data.join("photos/couple.jpg"));
    if !onnx.exists() || !photo.exists() {
        eprintln!("SKIPPED: MOUE_TEST_DATA is not a folder with yunet.onnx and photos/couple.jpg");
        return;
    }
    let photo = image::open(photo).unwrap().to_rgb8();
    let place = tempfile::tempdir().unwrap();
    let (input, output) = (place.path().join("in.raw"), place.path().join("out.raw"));
    let network = network();
    for [height, width] in SIZES {
        let (columns, rows) = (width as u32, height as u32);
        let pixels = image::imageops::resize(&photo, columns, rows, image::imageops::FilterType::Triangle).into_raw();
        std::fs::write(&input, &pixels).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/run_yunet.py");
        let extents = [height.to_string(), width.to_string()];
        let mut command = Command::new(&interpreter);
        command.arg(script).arg(&onnx).args(extents).args([&input, &output]);
        let run = command.output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let bytes = std::fs::read(&output).unwrap();
        let expected: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let mut rest = expected.as_slice();
        for (stride, values) in grids(&network, [height, width], &pixels) {
            let (own, others) = rest.split_at(values.len());
            rest = others;
            let pairs = values.chunks_exact(VALUES).zip(own.chunks_exact(VALUES));
            pairs.for_each(|(got, expected)| compare(stride, got, expected));
        }
        assert!(rest.is_empty());
    }
}
