//! Synthetic faces: seven expressions, seeded, with random variation of everything that does not
//! define the expression.
//!
//! They make it possible to train a network without any data, and tests and documentation can show
//! faces of no real person. Brows, eyes and mouth follow the action units of each expression
//! (Ekman, Friesen 1978); head, skin, hair, glasses, pose, light and noise are independent of it.

use super::dataset::{Broken, Dataset, ImageSpec, Split};
use super::png::write_png;
use moue_engine::random::{Stream, key};
use rayon::prelude::*;
use std::path::Path;
use tiny_skia::{Color, FillRule, LineCap, Paint, Path as Outline, PathBuilder, Pixmap, Rect, Stroke, Transform};

/// Classes in alphabetical order.
pub const CLASSES: [&str; 7] = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];

/// Number of synthetic faces for `moue train` without data.
pub const STANDARD_COUNT: usize = 5_600;

/// Default rows and columns.
const SIDE: usize = 48;

/// Faces are drawn on a canvas of 48 × 48 units, independent of their size in pixels.
const UNITS: f32 = 48.0;

/// Of twenty consecutive faces of a class, this number is for training, the next three for
/// validation and the others for testing.
const TRAIN_OF_20: usize = 14;

/// Positions of brows, eyes and mouth, in units; all 0 is a neutral face.
#[derive(Clone, Copy)]
struct Features {
    /// Raises the inner ends of the brows.
    brow_inner: f32,
    /// Raises the outer ends of the brows.
    brow_outer: f32,
    /// Opens the eyes.
    eyes: f32,
    /// Raises the corners of the mouth.
    corners: f32,
    /// Opens the mouth.
    open: f32,
    /// Widens the mouth.
    wide: f32,
    /// Raises the upper lip on one side and wrinkles the nose.
    sneer: f32,
}

const FEATURES: [Features; 7] = [
    Features { brow_inner: -2.6, brow_outer: 1.2, eyes: -0.7, corners: -1.4, open: 0.3, wide: -0.8, sneer: 0.0 },
    Features { brow_inner: -1.4, brow_outer: -0.3, eyes: -1.0, corners: -1.2, open: 0.5, wide: -0.3, sneer: 1.8 },
    Features { brow_inner: 2.6, brow_outer: 0.5, eyes: 1.2, corners: -0.7, open: 1.6, wide: 1.6, sneer: 0.0 },
    Features { brow_inner: 0.3, brow_outer: 0.4, eyes: -0.4, corners: 2.9, open: 0.9, wide: 1.4, sneer: 0.0 },
    Features { brow_inner: 0.0, brow_outer: 0.0, eyes: 0.0, corners: 0.0, open: 0.0, wide: 0.0, sneer: 0.0 },
    Features { brow_inner: 2.2, brow_outer: -1.6, eyes: -0.6, corners: -2.2, open: 0.0, wide: -0.5, sneer: 0.0 },
    Features { brow_inner: 2.8, brow_outer: 2.6, eyes: 1.5, corners: -0.2, open: 3.6, wide: -1.6, sneer: 0.0 },
];

impl Features {
    /// An expression with random strength and asymmetry.
    fn draw(label: usize, stream: &mut Stream) -> Self {
        let strength = stream.between(0.45, 1.15);
        let mut vary = |value: f32, spread: f32| value * strength + spread * stream.between(-1.0, 1.0);
        let f = FEATURES[label];
        Self {
            brow_inner: vary(f.brow_inner, 0.6),
            brow_outer: vary(f.brow_outer, 0.6),
            eyes: vary(f.eyes, 0.35),
            corners: vary(f.corners, 0.6),
            open: vary(f.open, 0.35).max(0.0),
            wide: vary(f.wide, 0.6),
            sneer: vary(f.sneer, 0.3).max(0.0),
        }
    }
}

/// Generates a data set of synthetic faces in memory; equal arguments give equal pixels.
#[must_use]
pub fn dataset(count: usize, form: ImageSpec, seed: u64) -> Dataset {
    let [height, width] = form.size.unwrap_or([SIDE, SIDE]);
    let channels = form.channels;
    let mut pixels = vec![0; count * height * width * channels];
    pixels.par_chunks_mut(height * width * channels).enumerate().for_each(|(index, out)| {
        face(index, seed, [height, width], channels, out);
    });
    Dataset {
        classes: CLASSES.map(str::to_owned).to_vec(),
        height,
        width,
        channels,
        pixels,
        labels: (0..count).map(|index| (index % CLASSES.len()) as u32).collect(),
        splits: (0..count).map(split).collect(),
        ids: (0..count).map(|index| index.to_string()).collect(),
        sizes: vec![[height as u32, width as u32]; count],
        split_names: [None, None, None],
        numbered: None,
        broken: Broken::default(),
        notes: Vec::new(),
        soft: None,
        voted: false,
        fixes: None,
        unused: Vec::new(),
    }
}

fn split(index: usize) -> Split {
    match index / CLASSES.len() % 20 {
        place if place < TRAIN_OF_20 => Split::Train,
        place if place < TRAIN_OF_20 + 3 => Split::Validation,
        _ => Split::Test,
    }
}

/// Writes synthetic faces as `SPLIT/CLASS/face-N.png` into a new or empty folder and returns their
/// number. A name that is only a number would be read as a row of FER2013.
///
/// # Errors
/// When the folder is not empty or cannot be written.
pub fn write(folder: impl AsRef<Path>, count: usize, seed: u64) -> std::io::Result<usize> {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder)?;
    if std::fs::read_dir(folder)?.next().is_some() {
        return Err(std::io::Error::other("the folder is not empty; choose a new or empty folder"));
    }
    let faces = dataset(count, ImageSpec { size: None, channels: 1 }, seed);
    (0..count).into_par_iter().try_for_each(|index| {
        let class = &faces.classes[faces.labels[index] as usize];
        let place = folder.join(faces.splits[index].name()).join(class);
        let path = place.join(format!("face-{index:05}.png"));
        write_png(&path, faces.image(index), [faces.height, faces.width], 1)
    })?;
    Ok(count)
}

/// Draws one face into `out`, `[H, W, C]`.
fn face(index: usize, seed: u64, size: [usize; 2], channels: usize, out: &mut [u8]) {
    let mut stream = Stream::new(key(&[seed, u64::from_le_bytes(*b"drawn\0\0\0"), index as u64]));
    let features = Features::draw(index % CLASSES.len(), &mut stream);
    let (width, height) = (size[1] as u32, size[0] as u32);
    let Some(mut canvas) = Pixmap::new(width, height) else { return };
    let gray = stream.between(0.05, 0.95);
    canvas.fill(color([gray, gray, gray], 1.0));
    let fit = Transform::from_scale(width as f32 / UNITS, height as f32 / UNITS);
    Artist { canvas: &mut canvas, pose: fit.pre_concat(pose(&mut stream)) }.draw(&features, &mut stream);
    develop(&canvas, &mut stream, channels, out);
}

fn pose(stream: &mut Stream) -> Transform {
    let middle = UNITS / 2.0;
    let zoom = stream.between(0.82, 1.1);
    Transform::from_translate(middle + stream.between(-3.0, 3.0), middle + stream.between(-3.0, 3.0))
        .pre_rotate(stream.between(-13.0, 13.0))
        .pre_scale(zoom * stream.between(0.92, 1.08), zoom)
}

fn color(rgb: [f32; 3], alpha: f32) -> Color {
    let [r, g, b] = rgb.map(|v| v.clamp(0.0, 1.0));
    Color::from_rgba(r, g, b, alpha).unwrap_or(Color::BLACK)
}

fn shade(rgb: [f32; 3], by: f32) -> [f32; 3] {
    rgb.map(|v| v * by)
}

/// Draws in units around the center of the face, y down.
struct Artist<'a> {
    canvas: &'a mut Pixmap,
    pose: Transform,
}

impl Artist<'_> {
    fn fill(&mut self, outline: Option<Outline>, rgb: [f32; 3]) {
        let mut paint = Paint::default();
        paint.set_color(color(rgb, 1.0));
        if let Some(outline) = outline {
            self.canvas.fill_path(&outline, &paint, FillRule::Winding, self.pose, None);
        }
    }

    fn stroke(&mut self, outline: Option<Outline>, rgb: [f32; 3], width: f32) {
        let mut paint = Paint::default();
        paint.set_color(color(rgb, 1.0));
        let stroke = Stroke { width, line_cap: LineCap::Round, ..Stroke::default() };
        if let Some(outline) = outline {
            self.canvas.stroke_path(&outline, &paint, &stroke, self.pose, None);
        }
    }

    fn ellipse(&mut self, x: f32, y: f32, half_width: f32, half_height: f32, rgb: [f32; 3]) {
        self.fill(oval(x, y, half_width, half_height), rgb);
    }

    fn draw(&mut self, features: &Features, stream: &mut Stream) {
        let tone = stream.uniform();
        let skin = [0.97 - 0.6 * tone, 0.85 - 0.62 * tone, 0.75 - 0.6 * tone];
        let hair = shade([0.9, 0.75, 0.5], stream.between(0.05, 0.9) * (1.0 - 0.6 * tone));
        let head = [stream.between(14.0, 17.5), stream.between(18.0, 21.5)];
        // The features shift when the head turns.
        let turn = stream.between(-2.5, 2.5);
        self.head(head, skin, hair, stream);
        let apart = stream.between(5.4, 7.2);
        let eye_y = stream.between(-5.0, -2.8);
        for side in [-1.0, 1.0] {
            self.eye(turn + side * apart, eye_y, side, features, skin, hair, stream);
        }
        self.nose(turn, eye_y, features, skin, stream);
        self.mouth(turn, stream.between(8.5, 10.5), features, skin, stream);
        if stream.chance(0.25) {
            self.glasses(turn, eye_y, apart, stream);
        }
    }

    fn head(&mut self, [half_width, half_height]: [f32; 2], skin: [f32; 3], hair: [f32; 3], stream: &mut Stream) {
        let long = stream.chance(0.4);
        if long {
            self.ellipse(0.0, 1.0, half_width + 3.0, half_height + 2.0, hair);
        }
        if !long && stream.chance(0.8) {
            for side in [-1.0, 1.0] {
                self.ellipse(side * half_width, 0.0, 2.6, 4.0, shade(skin, 0.9));
            }
        }
        self.ellipse(0.0, -2.0, half_width + 1.0, half_height, hair);
        let brow_line = stream.between(0.0, 4.0);
        self.ellipse(0.0, brow_line, half_width, half_height - brow_line * 0.6, skin);
    }

    fn eye(&mut self, x: f32, y: f32, side: f32, f: &Features, skin: [f32; 3], hair: [f32; 3], stream: &mut Stream) {
        let half_height = (1.9 + f.eyes).clamp(0.5, 3.6);
        self.ellipse(x, y, 3.1, half_height, [0.95, 0.95, 0.95]);
        let iris = (1.5 + 0.1 * stream.between(-1.0, 1.0)).min(half_height);
        self.ellipse(x + stream.between(-0.5, 0.5), y, iris, iris, shade([0.35, 0.3, 0.25], stream.uniform()));
        self.stroke(arc([x - 3.1, y], [x, y - 2.0 * half_height], [x + 3.1, y]), shade(skin, 0.4), 0.7);
        // Brows: `inner` is the end next to the nose.
        let base = y - 4.6;
        let inner = [x - side * 3.4, base - f.brow_inner];
        let outer = [x + side * 3.4, base - f.brow_outer];
        let middle = [x, f32::midpoint(inner[1], outer[1]) - 1.2];
        self.stroke(arc(inner, middle, outer), shade(hair, 0.6), stream.between(0.9, 1.7));
    }

    fn nose(&mut self, x: f32, eye_y: f32, f: &Features, skin: [f32; 3], stream: &mut Stream) {
        let dark = shade(skin, 0.65);
        let tip = stream.between(3.0, 5.0);
        self.stroke(arc([x, eye_y + 2.0], [x + 2.4, tip], [x - 0.8, tip + 0.6]), dark, 0.7);
        if f.sneer > 0.5 {
            for side in [-1.0, 1.0] {
                for line in [0.0, 1.6] {
                    let y = tip - 3.4 + line;
                    self.stroke(
                        arc([x + side * 0.8, y - 0.8], [x + side * 1.8, y - 0.6], [x + side * 2.6, y + 0.7]),
                        dark,
                        0.55,
                    );
                }
                // The fold from the nose to the corner of the mouth.
                self.stroke(
                    arc([x + side * 2.6, tip], [x + side * 5.0, tip + 1.0], [x + side * 5.4, tip + 3.6]),
                    dark,
                    0.6,
                );
            }
        }
    }

    fn mouth(&mut self, x: f32, y: f32, f: &Features, skin: [f32; 3], stream: &mut Stream) {
        let half = (5.2 + f.wide).max(2.0);
        let lip = [skin[0] * 0.75, skin[1] * 0.5, skin[2] * 0.5];
        let corner = y - f.corners * 0.75;
        let lift = if stream.chance(0.5) { [f.sneer, 0.0] } else { [0.0, f.sneer] };
        let (left, right) = ([x - half, corner - lift[0] * 0.5], [x + half, corner - lift[1] * 0.5]);
        // A quadratic curve passes halfway between the midpoint of its ends and its control point.
        let upper = [x, y + f.corners * 0.75 - f.open * 0.8 - f.sneer];
        let lower = [x, y + f.corners * 0.75 + f.open * 2.2];
        if f.open > 0.55 {
            let mut builder = PathBuilder::new();
            builder.move_to(left[0], left[1]);
            builder.quad_to(upper[0], upper[1], right[0], right[1]);
            builder.quad_to(lower[0], lower[1], left[0], left[1]);
            builder.close();
            let outline = builder.finish();
            self.fill(outline.clone(), shade([0.4, 0.15, 0.15], stream.between(0.3, 1.0)));
            self.stroke(outline, lip, 0.9);
            if stream.chance(0.6) {
                let teeth = [x, f32::midpoint(upper[1], f32::midpoint(left[1], right[1])) + 0.9];
                self.stroke(arc([x - half * 0.5, teeth[1]], teeth, [x + half * 0.5, teeth[1]]), [0.95; 3], 0.8);
            }
        } else {
            self.stroke(arc(left, [x, f32::midpoint(upper[1], lower[1])], right), lip, stream.between(1.0, 1.8));
        }
    }

    fn glasses(&mut self, x: f32, y: f32, apart: f32, stream: &mut Stream) {
        let frame = shade([0.6, 0.6, 0.6], stream.uniform());
        let (half_width, half_height) = (stream.between(3.8, 5.0), stream.between(3.0, 4.2));
        for side in [-1.0, 1.0] {
            self.stroke(oval(x + side * apart, y, half_width, half_height), frame, 0.8);
        }
        let bridge = apart - half_width;
        self.stroke(arc([x - bridge, y], [x, y - 1.0], [x + bridge, y]), frame, 0.8);
    }
}

fn oval(x: f32, y: f32, half_width: f32, half_height: f32) -> Option<Outline> {
    PathBuilder::from_oval(Rect::from_xywh(x - half_width, y - half_height, 2.0 * half_width, 2.0 * half_height)?)
}

fn arc(from: [f32; 2], control: [f32; 2], to: [f32; 2]) -> Option<Outline> {
    let mut builder = PathBuilder::new();
    builder.move_to(from[0], from[1]);
    builder.quad_to(control[0], control[1], to[0], to[1]);
    builder.finish()
}

/// Renders the canvas to pixels: light from one side, contrast, brightness, noise.
fn develop(canvas: &Pixmap, stream: &mut Stream, channels: usize, out: &mut [u8]) {
    let (width, height) = (canvas.width() as usize, canvas.height() as usize);
    let light = [stream.between(-0.35, 0.35), stream.between(-0.35, 0.35)];
    let gain = stream.between(0.55, 1.1);
    let offset = stream.between(-25.0, 45.0);
    let noise = stream.between(0.0, 14.0);
    for (place, (pixel, out)) in canvas.pixels().iter().zip(out.chunks_exact_mut(channels)).enumerate() {
        let x = (place % width) as f32 / width as f32 - 0.5;
        let y = (place / width) as f32 / height as f32 - 0.5;
        let lit = gain * (1.0 + 2.0 * (light[0] * x + light[1] * y));
        let grain = noise * stream.normal();
        let rgb = [pixel.red(), pixel.green(), pixel.blue()].map(|v| f32::from(v) * lit + offset + grain);
        if channels == 1 {
            out[0] = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]).round().clamp(0.0, 255.0) as u8;
        } else {
            out.iter_mut().zip(rgb).for_each(|(out, v)| *out = v.round().clamp(0.0, 255.0) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_generate_equal_faces() {
        let form = ImageSpec { size: None, channels: 1 };
        let (one, two, other) = (dataset(40, form, 1), dataset(40, form, 1), dataset(40, form, 2));
        assert_eq!(one, two);
        assert_ne!(one.pixels, other.pixels);
        let wide = dataset(7, ImageSpec { size: Some([30, 60]), channels: 3 }, 1);
        assert_eq!(wide.pixels.len(), 7 * 30 * 60 * 3);
    }

    #[test]
    fn every_split_has_every_class() {
        let faces = dataset(700, ImageSpec { size: None, channels: 1 }, 0);
        for (split, expected) in Split::ALL.into_iter().zip([490, 105, 105]) {
            let indices = faces.indices(split);
            assert_eq!(indices.len(), expected);
            for class in 0..7 {
                assert_eq!(indices.iter().filter(|&&i| faces.labels[i] == class).count(), expected / 7);
            }
        }
    }
}
