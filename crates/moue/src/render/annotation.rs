//! Draws predictions: a photo with boxes, labels and a small bar chart for each face, and a face
//! with its saliency map.

use super::canvas::{Canvas, Color, LINE};
use super::encode::image_url;
use crate::explain::{Explainer, Explanation, Method};
use crate::prediction::{Face, FaceBox};
use image::{RgbImage, imageops};

/// Smaller photos are enlarged, so that text is legible.
const LEAST_SIDE: u32 = 480;

/// Longer side of a photo for each text size: 16 pixels, 32, 48, …
const SIDE_A_SCALE: u32 = 900;

/// Maximum letters of a class name in the chart.
const LETTERS: usize = 8;
const LETTER: usize = 8;
/// Length of a full bar.
const BAR: usize = 56;
const GAP: usize = 4;

const DARK: Color = [16, 16, 20];
const LIGHT: Color = [255, 255, 255];
/// One color for each class in turn, all bright enough for dark text.
const COLORS: [Color; 7] = [
    [255, 107, 107],
    [144, 212, 96],
    [190, 150, 255],
    [255, 209, 84],
    [196, 200, 208],
    [102, 170, 255],
    [255, 158, 70],
];

/// The photo with a frame around each face, its label above or below, and a bar chart of the
/// probabilities next to it. Uncertain predictions have a question mark.
#[must_use]
pub fn annotated(mut picture: RgbImage, faces: &[Face]) -> RgbImage {
    let longest = picture.width().max(picture.height()).max(1);
    let enlarge = LEAST_SIDE.div_ceil(longest);
    if enlarge > 1 {
        let (width, height) = (picture.width() * enlarge, picture.height() * enlarge);
        picture = imageops::resize(&picture, width, height, imageops::FilterType::CatmullRom);
    }
    let scale = (longest * enlarge).div_ceil(SIDE_A_SCALE) as usize;
    let mut canvas = Canvas::on(picture);
    let places: Vec<Place> = faces.iter().map(|face| Place::of(face.place, enlarge)).collect();
    let mut taken = places.clone();
    for (face, place) in faces.iter().zip(&places) {
        let color = color_of(face);
        frame(&mut canvas, *place, scale, color);
        label(&mut canvas, face, *place, scale, color);
        let panel = free_place(*place, &taken, canvas.extent(), scale, face.probabilities.len());
        chart(&mut canvas, face, panel, scale);
        taken.push(panel);
    }
    canvas.into_picture()
}

/// Draws the landmarks of each face into a photo.
pub fn draw_landmarks(picture: &mut RgbImage, faces: &[Face]) {
    let mut canvas = Canvas::on(std::mem::take(picture));
    for (face, points) in faces.iter().filter_map(|face| Some((face, face.landmarks?))) {
        let radius = (face.place.width / 50) as usize;
        for point in points {
            let [x, y] = [point.x, point.y].map(|at| (at.max(0.0) as usize).saturating_sub(radius));
            let side = 2 * radius + 1;
            canvas.rectangle(x.saturating_sub(1), y.saturating_sub(1), side + 2, side + 2, DARK);
            canvas.rectangle(x, y, side, side, color_of(face));
        }
    }
    *picture = canvas.into_picture();
}

/// A rectangle on the canvas.
#[derive(Clone, Copy)]
struct Place {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Place {
    fn of(place: FaceBox, enlarge: u32) -> Self {
        let [x, y, width, height] =
            [place.x, place.y, place.width, place.height].map(|value| (value * enlarge) as usize);
        Self { x, y, width, height }
    }

    /// Area of the intersection.
    fn common(&self, other: &Self) -> usize {
        let along =
            |a: usize, extent: usize, b: usize, other: usize| (a + extent).min(b + other).saturating_sub(a.max(b));
        along(self.x, self.width, other.x, other.width) * along(self.y, self.height, other.y, other.height)
    }
}

/// The class's color, by its alphabetical index.
fn color_of(face: &Face) -> Color {
    let class = face.probabilities.keys().position(|class| *class == face.label).unwrap_or(0);
    COLORS[class % COLORS.len()]
}

/// A bright line between two dark ones is visible on any photo.
fn frame(canvas: &mut Canvas, place: Place, scale: usize, color: Color) {
    let around = |by: usize| {
        let (x, y) = (place.x.saturating_sub(by), place.y.saturating_sub(by));
        [x, y, place.x + place.width + by - x, place.y + place.height + by - y]
    };
    canvas.frame(around(scale), scale, DARK);
    canvas.frame(around(0), 2 * scale, color);
    let inner = 2 * scale;
    if place.width > 2 * inner && place.height > 2 * inner {
        let inside = [place.x + inner, place.y + inner, place.width - 2 * inner, place.height - 2 * inner];
        canvas.frame(inside, scale, DARK);
    }
}

fn label(canvas: &mut Canvas, face: &Face, place: Place, scale: usize, color: Color) {
    let mark = if face.uncertain { "?" } else { "" };
    let text = format!("{}{mark} {:.0}%", face.label, face.confidence * 100.0);
    let (width, height) = (Canvas::text_width(&text) * scale + 2 * GAP * scale, LINE * scale);
    let [across, down] = canvas.extent();
    let x = place.x.min(across.saturating_sub(width));
    let y = match place.y.checked_sub(height + scale) {
        Some(above) => above,
        None => (place.y + place.height + scale).min(down.saturating_sub(height)),
    };
    canvas.rectangle(x, y, width, height, color);
    canvas.large_text(x + GAP * scale, y, &text, scale, true, DARK);
}

/// A position next to the face where the chart overlaps other faces and charts least.
fn free_place(face: Place, taken: &[Place], [across, down]: [usize; 2], scale: usize, classes: usize) -> Place {
    let width = (LETTERS * LETTER + BAR + 3 * GAP) * scale;
    let height = (classes * LINE + 2 * GAP) * scale;
    let gap = 2 * scale;
    let label = LINE * scale + gap;
    let within = |x: usize, y: usize| Place {
        x: x.min(across.saturating_sub(width)),
        y: y.min(down.saturating_sub(height)),
        width,
        height,
    };
    let candidates = [
        within(face.x + face.width + gap, face.y),
        within(face.x.saturating_sub(width + gap), face.y),
        within(face.x, face.y + face.height + gap + label),
        within(face.x, face.y.saturating_sub(height + gap + label)),
        within(face.x + face.width + gap, face.y + face.height),
        within(face.x.saturating_sub(width + gap), face.y + face.height),
    ];
    let covered = |place: &Place| taken.iter().map(|other| place.common(other)).sum::<usize>();
    let [first, rest @ ..] = candidates;
    rest.into_iter().fold(first, |best, place| if covered(&place) < covered(&best) { place } else { best })
}

fn chart(canvas: &mut Canvas, face: &Face, panel: Place, scale: usize) {
    canvas.veil(panel.x, panel.y, panel.width, panel.height, DARK, 190);
    for (row, (class, &p)) in face.probabilities.iter().enumerate() {
        let y = panel.y + (GAP + row * LINE) * scale;
        let name: String = class.chars().take(LETTERS).collect();
        canvas.large_text(panel.x + GAP * scale, y, &name, scale, *class == face.label, LIGHT);
        let x = panel.x + (2 * GAP + LETTERS * LETTER) * scale;
        let length = ((p * (BAR * scale) as f32).round() as usize).max(scale);
        canvas.rectangle(x, y + 4 * scale, length, (LINE - 8) * scale, COLORS[row % COLORS.len()]);
    }
}

/// Side of an enlarged face.
const EXPLAINED: u32 = 336;

/// The network's input (`[H, W, C]`), enlarged, next to the same face with its saliency map.
#[must_use]
pub fn explained(pixels: &[u8], input: [usize; 3], explanation: &Explanation) -> RgbImage {
    let face = enlarged(pixels, input);
    let mut both = RgbImage::new(2 * face.width(), face.height());
    imageops::replace(&mut both, &face, 0, 0);
    imageops::replace(&mut both, &overlaid(&face, explanation), i64::from(face.width()), 0);
    both
}

/// The network's input (`[H, W, C]`), enlarged.
#[must_use]
pub fn enlarged(pixels: &[u8], [height, width, channels]: [usize; 3]) -> RgbImage {
    let face = RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = (y as usize * width + x as usize) * channels;
        image::Rgb(if channels == 1 { [pixels[at]; 3] } else { [pixels[at], pixels[at + 1], pixels[at + 2]] })
    });
    let across = (EXPLAINED * width as u32 / height.max(1) as u32).max(1);
    imageops::resize(&face, across, EXPLAINED, imageops::FilterType::CatmullRom)
}

/// A face in gray, overlaid with its saliency map from blue (low) to red (high).
#[must_use]
pub fn overlaid(face: &RgbImage, explanation: &Explanation) -> RgbImage {
    RgbImage::from_fn(face.width(), face.height(), |x, y| {
        let share = |at: u32, extent: u32| (at as f32 + 0.5) / extent as f32;
        let value = explanation.at(share(y, face.height()), share(x, face.width()));
        let gray = face.get_pixel(x, y).0.map(f32::from).iter().sum::<f32>() / 3.0;
        image::Rgb(heat(value).map(|color| (0.5 * gray + 0.5 * color) as u8))
    })
}

/// Sets the `explanation` of each face: its crop (`[H, W, C]` of the network's input, 0–255)
/// overlaid with the saliency map of its label.
pub fn explain_faces(explainer: &Explainer, faces: &mut [Face], crops: &[Vec<u8>]) {
    for (face, crop) in faces.iter_mut().zip(crops) {
        let explanation = explainer.explain(crop, &face.label, Method::GradCam);
        let overlay = overlaid(&enlarged(crop, explainer.input()), &explanation);
        let shape = [overlay.height() as usize, overlay.width() as usize, 3];
        face.explanation = image_url(overlay.as_raw(), shape);
    }
}

/// Blue, green, yellow, red.
fn heat(value: f32) -> [f32; 3] {
    let ramp = |from: f32, to: f32| ((value - from) / (to - from)).clamp(0.0, 1.0) * 255.0;
    [ramp(0.35, 0.65), ramp(0.1, 0.4) - ramp(0.65, 0.95), 255.0 - ramp(0.3, 0.6)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Point;
    use std::collections::BTreeMap;

    fn face(x: u32, y: u32, side: u32) -> Face {
        let probabilities = ["angry", "happy", "surprise"].map(|class| (class.to_owned(), 0.3)).into();
        Face {
            place: FaceBox { x, y, width: side, height: side },
            label: "happy".into(),
            confidence: 0.3,
            uncertain: true,
            probabilities,
            score: None,
            landmarks: None,
            roll: None,
            explanation: None,
        }
    }

    #[test]
    fn faces_are_framed_at_all_positions() {
        let photo = RgbImage::from_pixel(600, 400, image::Rgb([7, 7, 7]));
        for (x, y, side) in [(0, 0, 50), (550, 350, 50), (100, 100, 300), (0, 0, 400), (599, 399, 1), (10, 10, 0)] {
            let picture = annotated(photo.clone(), &[face(x, y, side)]);
            assert_eq!(picture.dimensions(), (600, 400));
            let framed = picture.pixels().filter(|pixel| pixel.0 == COLORS[1]).count();
            assert!(framed > 0, "{x} {y} {side}");
        }
    }

    #[test]
    fn landmarks_are_drawn_inside_the_picture() {
        let mut picture = RgbImage::new(60, 60);
        let mut marked = face(10, 10, 40);
        marked.landmarks =
            Some([[20.0, 20.0], [40.0, 20.0], [30.4, 30.6], [-9.0, 99.0], [40.0, 59.9]].map(|[x, y]| Point { x, y }));
        draw_landmarks(&mut picture, &[marked, face(0, 0, 5)]);
        assert_eq!((picture.get_pixel(30, 30).0, picture.get_pixel(40, 59).0), (COLORS[1], COLORS[1]));
        assert_eq!(picture.get_pixel(10, 30).0, [0; 3]);
    }

    #[test]
    fn small_pictures_are_enlarged_until_text_fits() {
        let photo = RgbImage::new(48, 48);
        assert_eq!(annotated(photo.clone(), &[face(0, 0, 48)]).dimensions(), (480, 480));
        assert_eq!(annotated(photo, &[]).dimensions(), (480, 480));
    }

    #[test]
    fn charts_do_not_cover_adjacent_faces() {
        let places = [Place { x: 100, y: 50, width: 80, height: 80 }, Place { x: 190, y: 50, width: 80, height: 80 }];
        let panel = free_place(places[0], &places, [900, 600], 1, 7);
        assert!(places.iter().all(|place| panel.common(place) == 0));
    }

    #[test]
    fn faces_without_probabilities_are_annotated() {
        let mut bare = face(5, 5, 20);
        bare.probabilities = BTreeMap::new();
        let _ = annotated(RgbImage::new(100, 100), &[bare]);
    }

    #[test]
    fn the_saliency_overlay_colors_the_salient_half() {
        let map = Explanation { height: 1, width: 2, values: vec![0.0, 1.0] };
        let picture = explained(&[100; 16], [4, 4, 1], &map);
        assert_eq!(picture.dimensions(), (672, 336));
        assert_eq!(picture.get_pixel(10, 10).0, [100; 3]);
        let [cold, hot] = [340, 668].map(|x| picture.get_pixel(x, 100).0);
        assert!(cold[2] > 150 && cold[0] < 80 && hot[0] > 150 && hot[2] < 80, "{cold:?} {hot:?}");
    }
}
