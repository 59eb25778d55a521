//! The cascade: sliding windows over the picture, and the windows that each stage accepts.

use super::lab::Map;
use super::model::Model;
use super::surf::{self, Surf};
use super::window::{Grey, WINDOW};

/// Scale of each level of the image pyramid, relative to the previous one.
const SHRINK: f32 = 0.8;

/// Intersection over union from which two windows are merged, between stages and at the end.
const SAME_WINDOW: f32 = 0.8;
const SAME_FACE: f32 = 0.3;

/// A candidate square, in the picture's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Left edge; may be outside the picture.
    pub x: i32,
    /// Upper edge.
    pub y: i32,
    /// Side in pixels.
    pub side: i32,
    /// Sum of the scores of all merged windows.
    pub score: f32,
}

impl Candidate {
    fn overlap(&self, other: &Self) -> f32 {
        let common = |a: i32, b: i32| ((a + self.side).min(b + other.side) - a.max(b)).max(0) as f32;
        let both = common(self.x, other.x) * common(self.y, other.y);
        let area = |side: i32| side as f32 * side as f32;
        both / (area(self.side) + area(other.side) - both)
    }
}

/// The detector; each thread has its own.
pub struct SeetaFace {
    model: &'static Model,
    map: Map,
    surf: Surf,
    /// The scaled picture, and a window of it.
    scaled: Vec<u8>,
    window: Vec<u8>,
}

impl SeetaFace {
    /// Creates a detector with the bundled model; `None` when the model cannot be read.
    pub fn new() -> Option<Self> {
        let model = Model::embedded()?;
        let (map, surf) = (Map::default(), Surf::default());
        Some(Self { model, map, surf, scaled: Vec::new(), window: Vec::new() })
    }

    /// The faces with at least this score in a picture, in decreasing order of the score.
    pub fn find(&mut self, picture: Grey<'_>, min_score: f32) -> Vec<Candidate> {
        if picture.width < WINDOW || picture.height < WINDOW {
            return Vec::new();
        }
        let mut found: Vec<Vec<Candidate>> =
            self.slide(picture).into_iter().map(|all| suppressed(all, SAME_WINDOW)).collect();
        for (number, level) in self.model.levels.iter().enumerate() {
            let last = number + 1 == self.model.levels.len();
            let mut kept = Vec::new();
            for cascade in level {
                let mut candidates: Vec<Candidate> =
                    cascade.sources.iter().flat_map(|&source| found.get(source).cloned().unwrap_or_default()).collect();
                let own = cascade.sources.first().copied().unwrap_or(0);
                for (stage, network) in cascade.stages.iter().enumerate() {
                    candidates =
                        candidates.into_iter().filter_map(|one| self.apply_stage(network, picture, one)).collect();
                    let between = stage + 1 < cascade.stages.len();
                    if between || last {
                        candidates = suppressed(candidates, if between { SAME_WINDOW } else { SAME_FACE });
                        // A later cascade of this level starts from the candidates of this one.
                        if let Some(place) = found.get_mut(own) {
                            place.clone_from(&candidates);
                        }
                    }
                }
                kept.push(candidates);
            }
            for (place, candidates) in found.iter_mut().zip(kept) {
                *place = candidates;
            }
        }
        let mut faces = found.into_iter().next().unwrap_or_default();
        faces.retain(|face| face.score >= min_score);
        faces
    }

    /// The accepted windows of each boosted classifier.
    fn slide(&mut self, picture: Grey<'_>) -> Vec<Vec<Candidate>> {
        let mut found = vec![Vec::new(); self.model.boosted.len()];
        let least = WINDOW as f32 / picture.width.min(picture.height) as f32;
        let mut scale = 1.0_f32;
        while scale >= least {
            let width = (picture.width as f32 * scale) as usize;
            let height = (picture.height as f32 * scale) as usize;
            if width < WINDOW || height < WINDOW {
                break;
            }
            resize(picture, width, height, &mut self.scaled);
            let scaled = Grey { pixels: &self.scaled, width, height };
            self.map.compute(scaled);
            let rounded = |at: usize| (at as f32 / scale + 0.5) as i32;
            for (boosted, found) in self.model.boosted.iter().zip(&mut found) {
                boosted.slide(&self.map, scaled, |x, y, score| {
                    found.push(Candidate { x: rounded(x), y: rounded(y), side: rounded(WINDOW), score });
                });
            }
            scale *= SHRINK;
        }
        found
    }

    /// Applies a stage to a candidate: moves it onto the face, or rejects it.
    fn apply_stage(
        &mut self,
        network: &surf::StageNetwork,
        picture: Grey<'_>,
        candidate: Candidate,
    ) -> Option<Candidate> {
        let Candidate { x, y, side, .. } = candidate;
        let outside = x + side <= 0 || y + side <= 0 || x >= picture.width as i32 || y >= picture.height as i32;
        if side < 2 || outside {
            return None;
        }
        cut(picture, candidate, &mut self.window);
        let window = Grey { pixels: &self.window, width: side as usize, height: side as usize };
        resize(window, WINDOW, WINDOW, &mut self.scaled);
        let [score, right, down, larger] = network.predict(&mut self.surf, &self.scaled)?;
        // Pixels outside the picture are black; the square begins inside.
        let (x, y, side) = (x.max(0) as f32, y.max(0) as f32, side as f32);
        let moved = |share: f32| (share * 2.0 - 1.0) * side;
        let now = (moved(larger) + side + 0.5).floor();
        let place = |at: f32, share: f32| (moved(share) + at + (side - now) * 0.5 + 0.5).floor() as i32;
        Some(Candidate { x: place(x, right), y: place(y, down), side: now as i32, score })
    }
}

/// Non-maximum suppression: of overlapping candidates the one with the highest score, with the
/// scores of the others added.
fn suppressed(mut all: Vec<Candidate>, same: f32) -> Vec<Candidate> {
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    let mut open = vec![true; all.len()];
    for first in 0..all.len() {
        if !open[first] {
            continue;
        }
        let mut one = all[first];
        for other in first + 1..all.len() {
            if open[other] && all[first].overlap(&all[other]) > same {
                open[other] = false;
                one.score += all[other].score;
            }
        }
        kept.push(one);
    }
    kept
}

/// The pixels of a square, 0 outside the picture.
fn cut(picture: Grey<'_>, Candidate { x, y, side, .. }: Candidate, out: &mut Vec<u8>) {
    let side = side as usize;
    out.clear();
    out.resize(side * side, 0);
    let left = (-x).max(0) as usize;
    let from = x.max(0) as usize;
    let len = (side - left).min(picture.width - from);
    for (row, out) in (y..).zip(out.chunks_exact_mut(side)) {
        if (0..picture.height as i32).contains(&row) {
            let start = row as usize * picture.width + from;
            out[left..left + len].copy_from_slice(&picture.pixels[start..start + len]);
        }
    }
}

/// Bilinear resizing from the upper left corner without averaging, as in the training of the model.
fn resize(from: Grey<'_>, width: usize, height: usize, out: &mut Vec<u8>) {
    out.clear();
    if (from.width, from.height) == (width, height) {
        out.extend_from_slice(from.pixels);
        return;
    }
    let place = |at: usize, extent: usize, of: usize| {
        let exact = of as f64 / extent as f64 * at as f64;
        let before = (exact as usize).min(of - 2);
        (before, (exact - before as f64) as f32)
    };
    let columns: Vec<(usize, f32)> = (0..width).map(|x| place(x, width, from.width)).collect();
    let mut blended = vec![0.0_f32; from.width];
    for y in 0..height {
        let (row, weight) = place(y, height, from.height);
        let rows = &from.pixels[row * from.width..(row + 2) * from.width];
        let (upper, lower) = rows.split_at(from.width);
        for ((out, &upper), &lower) in blended.iter_mut().zip(upper).zip(lower) {
            *out = (1.0 - weight) * f32::from(upper) + weight * f32::from(lower);
        }
        out.extend(columns.iter().map(|&(at, weight)| ((1.0 - weight) * blended[at] + weight * blended[at + 1]) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moue_engine::random::Stream;

    /// The detections of the port of the authors' program.
    fn by_rustface(picture: Grey<'_>, min_score: f32) -> Vec<Candidate> {
        let mut detector =
            rustface::create_detector_with_model(rustface::read_model(crate::detect::seetaface::model::FILE).unwrap());
        detector.set_score_thresh(f64::from(min_score));
        let found =
            detector.detect(&rustface::ImageData::new(picture.pixels, picture.width as u32, picture.height as u32));
        let face = |face: &rustface::FaceInfo| {
            let place = face.bbox();
            Candidate { x: place.x(), y: place.y(), side: place.width() as i32, score: face.score() as f32 }
        };
        found.iter().map(face).collect()
    }

    /// Compares both detectors. Rounding differs, which can move a window that the networks then
    /// move again.
    fn same(picture: Grey<'_>, min_score: f32) -> usize {
        let mut own = SeetaFace::new().unwrap();
        let (found, expected) = (own.find(picture, min_score), by_rustface(picture, min_score));
        let close =
            |a: &Candidate, b: &Candidate| a.overlap(b) > 0.75 && (a.score - b.score).abs() < 0.2 * b.score.max(1.0);
        for one in &expected {
            assert!(found.iter().any(|other| close(other, one)), "{one:?} is not among {found:?}");
        }
        assert_eq!(found.len(), expected.len());
        found.len()
    }

    /// An oval with eyes, brows and a mouth that differ by number, 48 × 48.
    fn face(number: usize) -> Vec<u8> {
        let oval = |x: f32, y: f32, middle: [f32; 2], radius: [f32; 2]| {
            ((x - middle[0]) / radius[0]).powi(2) + ((y - middle[1]) / radius[1]).powi(2) < 1.0
        };
        let n = number as f32;
        let shade = |x: f32, y: f32| match () {
            () if oval(x, y, [16.0, 19.0], [4.0, 2.0 + n / 4.0]) || oval(x, y, [32.0, 19.0], [4.0, 2.0 + n / 4.0]) => {
                50
            }
            () if oval(x, y, [24.0, 36.0], [4.0 + n, 2.0 + n / 3.0]) => 70,
            () if (y - 13.0 - n / 3.0).abs() < 1.5 && (10.0..38.0).contains(&x) && (x - 24.0).abs() > 3.0 => 60,
            () if oval(x, y, [24.0, 24.0], [18.0, 22.0]) => 190 - (x + y) as u8 / 2,
            () => 110,
        };
        (0..48 * 48).map(|i| shade((i % 48) as f32, (i / 48) as f32)).collect()
    }

    /// The detector finds no face in noise, lines and synthetic faces, but some stages accept
    /// windows.
    #[test]
    fn detections_in_synthetic_pictures_equal_those_of_rustface() {
        for number in 0..7 {
            let (width, height) = (150 + 13 * number, 120 + 7 * number);
            let mut stream = Stream::new(number as u64);
            let mut pixels: Vec<u8> = (0..width * height).map(|_| 90 + stream.below(60) as u8).collect();
            for (row, face) in pixels.chunks_exact_mut(width).skip(20).zip(face(number).chunks_exact(48)) {
                row[30..78].copy_from_slice(face);
            }
            same(Grey { pixels: &pixels, width, height }, 0.01);
        }
    }

    #[test]
    fn detections_in_photos_equal_those_of_rustface() {
        let Some(folder) = std::env::var_os("MOUE_TEST_DATA") else {
            eprintln!("SKIPPED: MOUE_TEST_DATA is not set to a folder");
            return;
        };
        for photo in ["portrait-smile.jpg", "couple.jpg", "no-face.jpg"] {
            let photo = image::open(std::path::Path::new(&folder).join("photos").join(photo)).unwrap().to_luma8();
            for side in [200, 480] {
                let small = image::imageops::thumbnail(&photo, side, side * photo.height() / photo.width());
                let (width, height) = (small.width() as usize, small.height() as usize);
                let faces = same(Grey { pixels: small.as_raw(), width, height }, 2.0);
                eprintln!("{side}: {faces}");
            }
        }
    }

    #[test]
    fn squares_are_black_outside_the_picture() {
        let pixels: Vec<u8> = (1..=12).collect();
        let picture = Grey { pixels: &pixels, width: 4, height: 3 };
        let mut out = Vec::new();
        cut(picture, Candidate { x: -1, y: -1, side: 3, score: 0.0 }, &mut out);
        assert_eq!(out, [0, 0, 0, 0, 1, 2, 0, 5, 6]);
        cut(picture, Candidate { x: 2, y: 1, side: 3, score: 0.0 }, &mut out);
        assert_eq!(out, [7, 8, 0, 11, 12, 0, 0, 0, 0]);
        cut(picture, Candidate { x: -3, y: 2, side: 9, score: 0.0 }, &mut out);
        assert_eq!(out[3..9], [9, 10, 11, 12, 0, 0]);
    }
}
