//! `YuNet` (Wu et al. 2023), a face detector from an ONNX file that the user supplies, run by
//! `rten`. Its landmarks give the roll angle of a face.
//!
//! For each cell of three grids the network predicts a score (class and objectness), a box, and the
//! positions of the eyes, the nose and the corners of the mouth.

use super::detection::{DetectOptions, Detection};
use crate::image::Square;
use image::{DynamicImage, RgbImage, imageops};
use rten::{Dimension, Model, NodeId, ValueOrView};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use std::path::{Path, PathBuf};

/// Pixels of a cell of each grid (strides).
const STRIDES: [usize; 3] = [8, 16, 32];

/// Side of the input picture where the model does not fix it.
const USUAL_SIDE: usize = 640;

/// Side of a FER2013 picture, in mean sides of YuNet's box; both have the same center.
/// `examples/crop_fit.rs` measures it.
const SIDE: f32 = 1.07;

/// Why a file cannot be used as a detector.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used as a YuNet detector: {reason}", .path.display())]
pub struct YuNetError {
    path: PathBuf,
    reason: String,
}

/// The detector.
pub struct YuNet {
    model: Model,
    input: NodeId,
    /// For each grid: class, object, box, landmarks.
    outputs: Vec<[NodeId; 4]>,
    /// Rows and columns of the network's input.
    side: usize,
}

impl YuNet {
    /// Reads the model from an ONNX file.
    ///
    /// # Errors
    /// When the file is not an ONNX file, or not a YuNet model.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, YuNetError> {
        let path = path.as_ref();
        let wrong = |reason: String| YuNetError { path: path.to_owned(), reason };
        let model = Model::load_file(path).map_err(|error| wrong(error.to_string()))?;
        let node = |name: String| model.find_node(&name).ok_or_else(|| wrong(format!("it has no output `{name}`")));
        let mut outputs = Vec::new();
        for stride in STRIDES {
            let [class, object, place, marks] =
                ["cls", "obj", "bbox", "kps"].map(|kind| node(format!("{kind}_{stride}")));
            outputs.push([class?, object?, place?, marks?]);
        }
        let input = *model.input_ids().first().ok_or_else(|| wrong("it has no input".into()))?;
        let side = match model.input_shape(0).as_deref() {
            Some([_, _, Dimension::Fixed(height), Dimension::Fixed(width)]) if height == width => *height,
            _ => USUAL_SIDE,
        };
        if side % 32 != 0 || side == 0 {
            return Err(wrong(format!("its input has {side} rows, which is not a multiple of 32")));
        }
        Ok(Self { model, input, outputs, side })
    }

    pub(super) fn find(&self, photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
        let longest = photo.width().max(photo.height()) as f32;
        let scale = self.side as f32 / longest;
        let cells = self.cells(photo, scale).unwrap_or_default();
        let smallest = options.smallest(photo.width(), photo.height());
        let least = options.least_score(0.7);
        cells
            .into_iter()
            .filter(|cell| cell.score >= least && cell.width / scale >= smallest)
            .map(|cell| cell.detection(scale))
            .collect()
    }

    /// The detections of all cells above a minimum score, in input pixels.
    fn cells(&self, photo: &DynamicImage, scale: f32) -> Option<Vec<Cell>> {
        let input = self.input(photo, scale);
        let wanted: Vec<NodeId> = self.outputs.iter().flatten().copied().collect();
        let inputs: Vec<(NodeId, ValueOrView<'_>)> = vec![(self.input, input.view().into())];
        let values = self.model.run(inputs, &wanted, None).ok()?;
        let mut numbers = Vec::new();
        for value in values {
            let tensor: rten_tensor::Tensor<f32> = value.try_into().ok()?;
            numbers.push(tensor.to_vec());
        }
        let mut cells = Vec::new();
        for (grid, stride) in numbers.chunks_exact(4).zip(STRIDES) {
            let across = self.side / stride;
            for at in 0..across * across {
                let share = |of: &[f32]| of.get(at).copied().unwrap_or(0.0).clamp(0.0, 1.0);
                let score = (share(&grid[0]) * share(&grid[1])).sqrt();
                let place = grid[2].get(at * 4..at * 4 + 4)?;
                let marks = grid[3].get(at * 10..at * 10 + 10)?;
                if score > 0.1 {
                    cells.push(Cell::new(score, place, marks, [at % across, at / across], stride as f32));
                }
            }
        }
        Some(cells)
    }

    /// The photo in the upper left corner, blue, green, red, `[1, 3, side, side]`.
    fn input(&self, photo: &DynamicImage, scale: f32) -> NdTensor<f32, 4> {
        let extent = |of: u32| ((of as f32 * scale).round() as u32).clamp(1, self.side as u32);
        let (width, height) = (extent(photo.width()), extent(photo.height()));
        let small: RgbImage = imageops::resize(&photo.to_rgb8(), width, height, imageops::FilterType::Triangle);
        let mut input = NdTensor::zeros([1, 3, self.side, self.side]);
        for (x, y, pixel) in small.enumerate_pixels() {
            for (channel, value) in pixel.0.iter().rev().enumerate() {
                input[[0, channel, y as usize, x as usize]] = f32::from(*value);
            }
        }
        input
    }
}

/// A detection of a cell, in input pixels.
struct Cell {
    score: f32,
    middle: [f32; 2],
    width: f32,
    height: f32,
    /// The eyes; the left one in the picture first.
    eyes: [[f32; 2]; 2],
}

impl Cell {
    fn new(score: f32, place: &[f32], marks: &[f32], [column, row]: [usize; 2], stride: f32) -> Self {
        let origin = [column as f32, row as f32];
        let point = |x: f32, y: f32| [(origin[0] + x) * stride, (origin[1] + y) * stride];
        Self {
            score,
            middle: point(place[0], place[1]),
            width: place[2].exp() * stride,
            height: place[3].exp() * stride,
            eyes: [point(marks[0], marks[1]), point(marks[2], marks[3])],
        }
    }

    fn detection(&self, scale: f32) -> Detection {
        let [width, height] = [self.width / scale, self.height / scale];
        let [x, y] = self.middle.map(|at| at / scale);
        let [left, right] = self.eyes;
        let tilt = (right[1] - left[1]).atan2(right[0] - left[0]);
        let side = (width + height) / 2.0;
        Detection {
            x: x - width / 2.0,
            y: y - height / 2.0,
            width,
            height,
            score: self.score,
            crop: Square { middle: [x, y], side: SIDE * side, degrees: tilt.to_degrees() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_decoded_as_computed_by_hand() {
        // Cell (3, 2) of stride 16; half a cell right and down; twice a cell wide, four times high.
        let place = [0.5, 0.5, 2f32.ln(), 4f32.ln()];
        let marks = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let found = Cell::new(0.9, &place, &marks, [3, 2], 16.0).detection(0.5);
        let close = |a: f32, b: f32| (a - b).abs() < 1e-3;
        assert!(close(found.x, 112.0 - 32.0) && close(found.y, 80.0 - 64.0), "{found:?}");
        assert!(close(found.width, 64.0) && close(found.height, 128.0), "{found:?}");
        assert!(close(found.crop.degrees, 45.0), "{found:?}");
    }

    #[test]
    fn files_of_other_formats_are_errors() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("x.onnx");
        std::fs::write(&path, b"no model").unwrap();
        let error = YuNet::load(&path).err().unwrap().to_string();
        assert!(error.contains("x.onnx cannot be used as a YuNet detector"), "{error}");
        assert!(YuNet::load(place.path().join("missing.onnx")).is_err());
    }
}
