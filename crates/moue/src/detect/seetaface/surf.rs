//! SURF features (Li, Zhang 2013) of a window, and the small networks that classify it and locate
//! the face in it.

use super::window::WINDOW;

/// Channels of a cell: sums of gradients.
const CHANNELS: usize = 8;
/// Rows and columns of the integral image, which begins with zeros.
const TABLE: usize = WINDOW + 1;
/// Cells horizontally and vertically in a patch.
const CELLS: usize = 2;
/// Number of features of a patch.
pub const FEATURE: usize = CELLS * CELLS * CHANNELS;

/// Shapes of patches, as shares horizontally and vertically; a patch has at least 16 pixels in each
/// direction and its position is a multiple of 16.
const FORMS: [[usize; 2]; 5] = [[1, 1], [1, 2], [2, 1], [2, 3], [3, 2]];
const LEAST: usize = 16;
const PLACES: usize = 16;

/// A patch of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patch {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

/// All patches, in the order of their indices in models.
pub fn patches() -> Vec<Patch> {
    let mut all = Vec::new();
    for [across, down] in FORMS {
        for height in LEAST..=WINDOW {
            let width = height / down * across;
            let even = height % CELLS == 0 && height % down == 0 && width % CELLS == 0;
            if !even || !(LEAST..=WINDOW).contains(&width) {
                continue;
            }
            for y in (0..=WINDOW - height).step_by(PLACES) {
                all.extend((0..=WINDOW - width).step_by(PLACES).map(|x| Patch { x, y, width, height }));
            }
        }
    }
    all
}

/// Buffers for the features of a window.
#[derive(Default)]
pub struct Surf {
    /// `[TABLE, TABLE, CHANNELS]`: the integral image of the gradients.
    sums: Vec<[i32; CHANNELS]>,
    values: Vec<f32>,
    outputs: Vec<f32>,
}

impl Surf {
    /// Computes the integral image of the gradients of a window, `[WINDOW, WINDOW]`: horizontal
    /// gradients where it darkens downward and where it does not, vertical gradients where it
    /// darkens to the right and where it does not, each signed and absolute.
    fn fill(&mut self, window: &[u8]) {
        self.sums.clear();
        self.sums.resize(TABLE * TABLE, [0; CHANNELS]);
        for y in 0..WINDOW {
            let mut row = [0; CHANNELS];
            for x in 0..WINDOW {
                let dx = difference(x, |x| i32::from(window[y * WINDOW + x]));
                let dy = difference(y, |y| i32::from(window[y * WINDOW + x]));
                let [down, right] = [if dy < 0 { 2 } else { 0 }, if dx < 0 { 6 } else { 4 }];
                row[down] += dx;
                row[down + 1] += dx.abs();
                row[right] += dy;
                row[right + 1] += dy.abs();
                let above = self.sums[y * TABLE + x + 1];
                let sum = &mut self.sums[(y + 1) * TABLE + x + 1];
                for ((sum, row), above) in sum.iter_mut().zip(&row).zip(above) {
                    *sum = row + above;
                }
            }
        }
    }

    /// Appends the features of a patch: the sums of its cells, normalized to length 1.
    fn tell(&mut self, patch: Patch) {
        let (width, height) = (patch.width / CELLS, patch.height / CELLS);
        let mut cells = [0; FEATURE];
        for (number, cell) in cells.chunks_exact_mut(CHANNELS).enumerate() {
            let (x, y) = (patch.x + number % CELLS * width, patch.y + number / CELLS * height);
            let corner = |x: usize, y: usize| self.sums[y * TABLE + x];
            let (a, b, c, d) =
                (corner(x, y), corner(x + width, y), corner(x, y + height), corner(x + width, y + height));
            for (channel, out) in cell.iter_mut().enumerate() {
                *out = d[channel] + a[channel] - b[channel] - c[channel];
            }
        }
        let length = cells.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt() as f32;
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        self.values.extend(cells.iter().map(|&value| value as f32 * scale));
    }
}

/// Central difference of a pixel of the window; at a border the one-sided difference, doubled.
fn difference(at: usize, pixel: impl Fn(usize) -> i32) -> i32 {
    const LAST: usize = WINDOW - 1;
    match at {
        0 => (pixel(1) - pixel(0)) * 2,
        LAST => (pixel(LAST) - pixel(LAST - 1)) * 2,
        at => pixel(at + 1) - pixel(at - 1),
    }
}

/// A layer of a network.
pub struct Layer {
    /// `[outputs, inputs]`.
    pub weights: Vec<f32>,
    /// One bias for each output.
    pub biases: Vec<f32>,
}

/// A network over some patches of the window.
pub struct StageNetwork {
    /// The patches.
    pub patches: Vec<Patch>,
    /// Minimum score of an accepted window.
    pub threshold: f32,
    /// Layers with ReLU; the outputs of the last one are probabilities.
    pub layers: Vec<Layer>,
}

impl StageNetwork {
    /// Score, position (horizontal and vertical) and size of the face in a window, each 0–1; `None`
    /// when the window is rejected.
    pub fn predict(&self, surf: &mut Surf, window: &[u8]) -> Option<[f32; 4]> {
        surf.fill(window);
        surf.values.clear();
        self.patches.iter().for_each(|&patch| surf.tell(patch));
        for (number, layer) in self.layers.iter().enumerate() {
            let last = number + 1 == self.layers.len();
            surf.outputs.clear();
            for (weights, bias) in layer.weights.chunks_exact(surf.values.len()).zip(&layer.biases) {
                let sum = dot(weights, &surf.values) + bias;
                surf.outputs.push(if last { 1.0 / (1.0 + (-sum).exp()) } else { sum.max(0.0) });
            }
            std::mem::swap(&mut surf.values, &mut surf.outputs);
        }
        let score = *surf.values.first()?;
        let place = |number: usize| surf.values.get(number).copied().unwrap_or(0.5);
        (score > self.threshold).then(|| [score, place(1), place(2), place(3)])
    }
}

/// Eight independent sums.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}
