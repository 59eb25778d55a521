//! The network of the detector: `YuNet` (Wu et al. 2023), run by the engine.
//!
//! For each cell of three grids it predicts the score of a face (class and objectness), its box,
//! and the positions of the eyes, the nose and the corners of the mouth. The file has the form that
//! `models/convert_yunet.py` writes: a model file without classes.

use super::detection::Detection;
use crate::message::io_reason;
use crate::model::{Architecture, KEY, TensorFile, build_any, fill};
use moue_engine::{InferenceNetwork, Shape, Tensor, Workspace, WorkspacePool};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Pixels of a cell of each grid, and the names of the outputs.
const GRIDS: [(usize, &str); 3] = [(8, "stride_8"), (16, "stride_16"), (32, "stride_32")];

/// Rows and columns of a view are multiples of this.
pub const STRIDE: usize = 32;

/// Values of a cell: logits of class and object, box (2 of the center, 2 logarithms of extents),
/// five points.
pub(super) const VALUES: usize = 16;

/// The only version of the file's metadata, and the task that it must name.
const FORMAT: u32 = 1;
const TASK: &str = "face_detection";

/// Why a file cannot be used as a face detector.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used as a face detector: {reason}", .path.display())]
pub struct DetectorError {
    path: PathBuf,
    reason: String,
}

/// The parts of the metadata that matter here.
#[derive(Deserialize)]
struct Document {
    format: u32,
    #[serde(default)]
    task: String,
    architecture: Architecture,
}

/// The network and reusable workspaces; it takes views of any size.
pub struct FaceNetwork {
    network: InferenceNetwork,
    workspaces: WorkspacePool,
}

impl FaceNetwork {
    /// Reads the bytes of a file; `path` is used in error messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, DetectorError> {
        let network = network(bytes).map_err(|reason| DetectorError { path: path.to_owned(), reason })?;
        Ok(Self { network, workspaces: WorkspacePool::default() })
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, DetectorError> {
        let bytes =
            std::fs::read(path).map_err(|error| DetectorError { path: path.to_owned(), reason: io_reason(&error) })?;
        Self::from_bytes(&bytes, path)
    }

    /// The responses of at least this score to a view (RGB, 0–255), in its pixels; none where its
    /// sides are not multiples of [`STRIDE`].
    pub fn responses(&self, view: &Tensor, least: f32) -> Vec<Detection> {
        let Ok(network) = self.network.resized(view.shape()) else { return Vec::new() };
        self.workspaces.with(|workspace| {
            let outputs = network.run_outputs(view, workspace);
            let mut found = Vec::new();
            for (stride, name) in GRIDS {
                if let Some((_, grid)) = outputs.named.iter().find(|(own, _)| own == name) {
                    cells(grid, stride as f32, least, &mut found);
                }
            }
            workspace.give(outputs.last);
            outputs.named.into_iter().for_each(|(_, grid)| workspace.give(grid));
            found
        })
    }

    /// Frees the memory that is kept for further views.
    pub fn release_memory(&self) {
        self.workspaces.clear();
    }
}

#[cfg(test)]
impl FaceNetwork {
    /// The stride of each grid and the values of its cells.
    pub fn grids(&self, view: &Tensor) -> Vec<(usize, Vec<f32>)> {
        let outputs = self.network.resized(view.shape()).unwrap().run_outputs(view, &mut Workspace::default());
        let of_name = |name: &str| outputs.named.iter().find(|(own, _)| own == name).unwrap().1.data().to_vec();
        GRIDS.map(|(stride, name)| (stride, of_name(name))).into()
    }
}

fn network(bytes: &[u8]) -> Result<InferenceNetwork, String> {
    let tensors = TensorFile::open(bytes, KEY).map_err(|error| error.to_string())?;
    let document: Document = serde_json::from_str(tensors.document()).map_err(|error| error.to_string())?;
    if document.task != TASK || document.format != FORMAT {
        return Err(format!("its metadata does not have the task `{TASK}` and format {FORMAT}"));
    }
    let mut network = build_any(&document.architecture).map_err(|error| crate::with_causes(&error))?;
    fill(&mut network, &tensors)?;
    let network = InferenceNetwork::new(&network);
    // One cell of the coarsest grid shows which outputs there are, and that views of any size fit.
    let smallest = network.resized(Shape::new(STRIDE, STRIDE, 3)).map_err(|error| error.to_string())?;
    let outputs = smallest.run_outputs(&Tensor::zeros(1, smallest.input_shape()), &mut Workspace::default());
    for (stride, name) in GRIDS {
        let wanted = Shape::new(STRIDE / stride, STRIDE / stride, VALUES);
        let found = outputs.named.iter().find(|(own, _)| own == name).map(|(_, output)| output.shape());
        if found != Some(wanted) {
            return Err(format!("it has no output `{name}` of {wanted} for an input of {STRIDE} x {STRIDE} pixels"));
        }
    }
    Ok(network)
}

/// Adds the cells of a grid whose score is at least `least`.
fn cells(grid: &Tensor, stride: f32, least: f32, found: &mut Vec<Detection>) {
    // The score is the geometric mean of two probabilities, so each is at least its square.
    let possible = logit(least * least);
    for (at, values) in grid.data().chunks_exact(VALUES).enumerate() {
        if values[0] < possible || values[1] < possible {
            continue;
        }
        let score = (sigmoid(values[0]) * sigmoid(values[1])).sqrt();
        if score >= least {
            let origin = [(at % grid.shape().width) as f32, (at / grid.shape().width) as f32];
            found.push(cell(score, &values[2..], origin, stride));
        }
    }
}

/// The detection of the cell at `origin`, from its box and points.
fn cell(score: f32, values: &[f32], origin: [f32; 2], stride: f32) -> Detection {
    let point = |at: usize| [(origin[0] + values[at]) * stride, (origin[1] + values[at + 1]) * stride];
    let [x, y] = point(0);
    let [width, height] = [values[2], values[3]].map(|extent| extent.exp() * stride);
    Detection {
        x: x - width / 2.0,
        y: y - height / 2.0,
        width,
        height,
        score,
        landmarks: Some(std::array::from_fn(|number| point(4 + 2 * number))),
    }
}

pub(super) fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_decoded_as_computed_by_hand() {
        // Cell (3, 2) of stride 16; half a cell right and down; twice a cell wide, four times high.
        let mut values = vec![0.0; 14];
        values[..4].copy_from_slice(&[0.5, 0.5, 2f32.ln(), 4f32.ln()]);
        values[6..8].copy_from_slice(&[1.0, 1.0]);
        let found = cell(0.9, &values, [3.0, 2.0], 16.0);
        let close = |a: f32, b: f32| (a - b).abs() < 1e-3;
        assert!(close(found.x, 40.0) && close(found.y, 8.0), "{found:?}");
        assert!(close(found.width, 32.0) && close(found.height, 64.0), "{found:?}");
        assert!(close(found.roll().unwrap(), 45.0), "{found:?}");
    }

    #[test]
    fn cells_below_the_minimum_score_are_skipped() {
        let mut grid = Tensor::zeros(1, Shape::new(1, 2, VALUES));
        // √(0.5 · 0.5) and √(0.5 · 0.88).
        grid.data_mut()[VALUES] = 2.0;
        let count = |least: f32| {
            let mut found = Vec::new();
            cells(&grid, 8.0, least, &mut found);
            found.len()
        };
        assert_eq!([0.4, 0.5, 0.6, 0.7].map(count), [2, 2, 1, 0]);
    }

    #[test]
    fn files_of_other_kinds_are_errors() {
        let error = |bytes: &[u8]| FaceNetwork::from_bytes(bytes, Path::new("x.onnx")).err().unwrap().to_string();
        assert!(error(b"no model").starts_with("x.onnx cannot be used as a face detector: "), "{}", error(b"no model"));
        #[cfg(feature = "model-tiny")]
        {
            let classifier = crate::model::stored("tiny").unwrap();
            assert!(error(&classifier).contains("does not have the task `face_detection`"), "{}", error(&classifier));
        }
    }
}
