//! Draws predictions: a photo with boxes, labels and a small bar chart for each face.

use super::canvas::{Canvas, Color, LINE};
use super::palette::{class_color, text_color};
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

/// The photo with a frame around each face, a label, and a bar chart of the probabilities where
/// there is space that no face, label or other chart takes. Uncertain predictions have a question
/// mark.
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
    let mut labels = Vec::new();
    for (face, place) in faces.iter().zip(&places) {
        frame(&mut canvas, *place, scale, color_of(face));
        let label = Label::near(*place, &text_of(face), &taken, canvas.extent(), scale);
        taken.push(label.place);
        labels.push(label);
    }
    for (face, place) in faces.iter().zip(&places) {
        let size = chart_size(face.probabilities.len(), scale);
        // Above and below, a label may be between the face and the chart.
        let candidates = around(*place, size, [2 * scale, (LINE + 2) * scale], canvas.extent());
        let (vertical, horizontal) = candidates.split_at(4);
        if let Some(panel) = horizontal.iter().chain(vertical).find(|panel| panel.covers(&taken) == 0) {
            chart(&mut canvas, face, *panel, scale);
            taken.push(*panel);
        }
    }
    for (face, label) in faces.iter().zip(&labels) {
        label.draw(&mut canvas, &text_of(face), color_of(face));
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

    /// Area that this rectangle covers of the others.
    fn covers(&self, others: &[Self]) -> usize {
        others.iter().map(|other| self.common(other)).sum()
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
    class_color(face.probabilities.keys().position(|class| *class == face.label).unwrap_or(0))
}

fn text_of(face: &Face) -> String {
    let mark = if face.uncertain { "?" } else { "" };
    format!("{}{mark} {:.0}%", face.label, face.confidence * 100.0)
}

/// Positions for a rectangle around a face, at these distances and inside the canvas: above and below, then to the
/// right and to the left. A rectangle that does not fit is moved over the face.
fn around(face: Place, [width, height]: [usize; 2], gap: [usize; 2], [across, down]: [usize; 2]) -> [Place; 8] {
    let [left, top] = [face.x, face.y];
    let [right, bottom] = [left + face.width, top + face.height];
    let at = |x: usize, y: usize| Place {
        x: x.min(across.saturating_sub(width)),
        y: y.min(down.saturating_sub(height)),
        width,
        height,
    };
    let [above, below] = [top.saturating_sub(height + gap[1]), bottom + gap[1]];
    let [before, after] = [left.saturating_sub(width + gap[0]), right + gap[0]];
    let [last_x, last_y] = [right.saturating_sub(width), bottom.saturating_sub(height)];
    [
        at(left, above),
        at(left, below),
        at(last_x, above),
        at(last_x, below),
        at(after, top),
        at(before, top),
        at(after, last_y),
        at(before, last_y),
    ]
}

/// A bright line between two dark ones is visible on any photo.
fn frame(canvas: &mut Canvas, place: Place, scale: usize, color: Color) {
    let outline = |by: usize| {
        let (x, y) = (place.x.saturating_sub(by), place.y.saturating_sub(by));
        [x, y, place.x + place.width + by - x, place.y + place.height + by - y]
    };
    canvas.frame(outline(scale), scale, DARK);
    canvas.frame(outline(0), 2 * scale, color);
    let inner = 2 * scale;
    if place.width > 2 * inner && place.height > 2 * inner {
        let inside = [place.x + inner, place.y + inner, place.width - 2 * inner, place.height - 2 * inner];
        canvas.frame(inside, scale, DARK);
    }
}

/// The label of a face: its place, and the size of its text.
struct Label {
    place: Place,
    scale: usize,
}

impl Label {
    /// A place that covers no face and no label, with smaller text where that is needed; otherwise
    /// the place that covers least besides its own face.
    fn near(face: Place, text: &str, taken: &[Place], extent: [usize; 2], scale: usize) -> Self {
        let labels = || {
            (1..=scale).rev().flat_map(|scale| {
                let size = [(Canvas::text_width(text) + 2 * GAP) * scale, LINE * scale];
                around(face, size, [scale; 2], extent).map(|place| Self { place, scale })
            })
        };
        let free = labels().find(|label| label.place.covers(taken) == 0);
        let least = || labels().min_by_key(|label| label.place.covers(taken) - label.place.common(&face));
        free.or_else(least).unwrap_or(Self { place: face, scale })
    }

    fn draw(&self, canvas: &mut Canvas, text: &str, color: Color) {
        let Place { x, y, width, height } = self.place;
        canvas.rectangle(x, y, width, height, color);
        canvas.large_text(x + GAP * self.scale, y, text, self.scale, true, text_color(color));
    }
}

/// Width and height of a chart.
fn chart_size(classes: usize, scale: usize) -> [usize; 2] {
    [(LETTERS * LETTER + BAR + 3 * GAP) * scale, (classes * LINE + 2 * GAP) * scale]
}

fn chart(canvas: &mut Canvas, face: &Face, panel: Place, scale: usize) {
    canvas.veil(panel.x, panel.y, panel.width, panel.height, DARK, 190);
    for (row, (class, &p)) in face.probabilities.iter().enumerate() {
        let y = panel.y + (GAP + row * LINE) * scale;
        let name: String = class.chars().take(LETTERS).collect();
        canvas.large_text(panel.x + GAP * scale, y, &name, scale, *class == face.label, LIGHT);
        let x = panel.x + (2 * GAP + LETTERS * LETTER) * scale;
        let length = ((p * (BAR * scale) as f32).round() as usize).max(scale);
        canvas.rectangle(x, y + 4 * scale, length, (LINE - 8) * scale, class_color(row));
    }
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
            let framed = picture.pixels().filter(|pixel| pixel.0 == class_color(1)).count();
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
        assert_eq!((picture.get_pixel(30, 30).0, picture.get_pixel(40, 59).0), (class_color(1), class_color(1)));
        assert_eq!(picture.get_pixel(10, 30).0, [0; 3]);
    }

    #[test]
    fn small_pictures_are_enlarged_until_text_fits() {
        let photo = RgbImage::new(48, 48);
        assert_eq!(annotated(photo.clone(), &[face(0, 0, 48)]).dimensions(), (480, 480));
        assert_eq!(annotated(photo, &[]).dimensions(), (480, 480));
    }

    /// The pixels that an annotation changes beyond the frames of faces.
    fn covered(picture: &RgbImage, place: Place) -> bool {
        let [x, y] = [place.x + 6, place.y + 6];
        let inside = |x, y| picture.get_pixel(x as u32, y as u32).0 == [7; 3];
        !(x..place.x + place.width - 6).all(|x| (y..place.y + place.height - 6).all(|y| inside(x, y)))
    }

    #[test]
    fn no_face_is_covered_where_there_is_space_for_labels() {
        let photo = RgbImage::from_pixel(800, 500, image::Rgb([7; 3]));
        for step in [70, 95, 130, 200] {
            let at = (0..16).map(|number| (60 + number % 4 * step, 40 + number / 4 * 110));
            let faces: Vec<Face> = at.map(|(x, y)| face(x, y, 60)).collect();
            let picture = annotated(photo.clone(), &faces);
            for face in &faces {
                assert!(!covered(&picture, Place::of(face.place, 1)), "{step}: {:?}", face.place);
            }
        }
    }

    #[test]
    fn a_face_without_space_has_a_label_only() {
        let photo = RgbImage::from_pixel(600, 600, image::Rgb([7; 3]));
        let dark = |picture: &RgbImage| picture.pixels().filter(|pixel| pixel.0 == LIGHT).count();
        let [alone, filling] = [face(40, 100, 100), face(20, 30, 560)].map(|face| annotated(photo.clone(), &[face]));
        assert!(dark(&alone) > 0, "the chart has light text");
        assert_eq!(dark(&filling), 0);
        assert!(!covered(&filling, Place { x: 20, y: 30, width: 560, height: 560 }));
    }

    #[test]
    fn faces_without_probabilities_are_annotated() {
        let mut bare = face(5, 5, 20);
        bare.probabilities = BTreeMap::new();
        let _ = annotated(RgbImage::new(100, 100), &[bare]);
    }
}
