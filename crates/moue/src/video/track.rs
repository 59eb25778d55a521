//! Tracks faces from frame to frame and smooths their predictions over time.

use crate::prediction::{Face, FaceBox};
use std::collections::BTreeMap;

/// Minimum intersection over union of two boxes of the same face.
const SAME_FACE: f32 = 0.3;

/// Half-life of the exponential smoothing, in seconds.
const HALF_LIFE: f64 = 0.25;

/// Seconds without a detection after which a track ends.
const PATIENCE: f64 = 0.6;

/// Minimum difference in probability by which another label replaces the current one.
const HYSTERESIS: f32 = 0.05;

/// A tracked face.
#[derive(Clone, Debug)]
struct Track {
    number: u32,
    seen: f64,
    /// The last detected box.
    found: FaceBox,
    /// `[x, y, width, height]`, smoothed.
    place: [f32; 4],
    probabilities: BTreeMap<String, f32>,
    label: String,
}

/// Tracks the faces of a video.
#[derive(Debug, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    made: u32,
}

impl Tracker {
    /// The faces of the frame at `time` (in seconds, increasing), smoothed, each with the number of
    /// its track, from 1.
    pub fn follow(&mut self, time: f64, faces: Vec<Face>) -> Vec<(u32, Face)> {
        self.tracks.retain(|track| time - track.seen <= PATIENCE);
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (t, track) in self.tracks.iter().enumerate() {
            pairs.extend(faces.iter().enumerate().map(|(f, face)| (overlap(&track.found, &face.place), t, f)));
        }
        pairs.retain(|pair| pair.0 >= SAME_FACE);
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut track_of = vec![None; faces.len()];
        let mut taken = vec![false; self.tracks.len()];
        for (_, t, f) in pairs {
            if track_of[f].is_none() && !taken[t] {
                (track_of[f], taken[t]) = (Some(t), true);
            }
        }
        faces.into_iter().zip(track_of).map(|(face, track)| self.smoothed(time, face, track)).collect()
    }

    fn smoothed(&mut self, time: f64, mut face: Face, track: Option<usize>) -> (u32, Face) {
        let extents = |place: FaceBox| [place.x, place.y, place.width, place.height].map(|value| value as f32);
        let Some(track) = track.and_then(|track| self.tracks.get_mut(track)) else {
            self.made += 1;
            self.tracks.push(Track {
                number: self.made,
                seen: time,
                found: face.place,
                place: extents(face.place),
                probabilities: face.probabilities.clone(),
                label: face.label.clone(),
            });
            return (self.made, face);
        };
        let share = (1.0 - libm::exp2(-(time - track.seen).max(0.0) / HALF_LIFE)) as f32;
        // A frame without a duration still has a weight.
        let share = share.max(0.05);
        for (old, new) in track.probabilities.values_mut().zip(face.probabilities.values()) {
            *old += share * (new - *old);
        }
        for (old, new) in track.place.iter_mut().zip(extents(face.place)) {
            *old += share.max(0.5) * (new - *old);
        }
        (track.seen, track.found) = (time, face.place);
        let of = |label: &str| track.probabilities.get(label).copied().unwrap_or(0.0);
        let best = track.probabilities.iter().max_by(|a, b| a.1.total_cmp(b.1));
        if let Some((best, &p)) = best.filter(|(_, p)| **p > of(&track.label) + HYSTERESIS) {
            debug_assert!(p > 0.0);
            track.label.clone_from(best);
        }
        face.label.clone_from(&track.label);
        face.confidence = track.probabilities.get(&track.label).copied().unwrap_or(0.0);
        face.probabilities.clone_from(&track.probabilities);
        let [x, y, width, height] = track.place.map(|value| value.round() as u32);
        face.place = FaceBox { x, y, width, height };
        (track.number, face)
    }
}

fn overlap(a: &FaceBox, b: &FaceBox) -> f32 {
    let along = |a: u32, extent: u32, b: u32, other: u32| f64::from((a + extent).min(b + other)) - f64::from(a.max(b));
    let common = along(a.x, a.width, b.x, b.width).max(0.0) * along(a.y, a.height, b.y, b.height).max(0.0);
    let area = |place: &FaceBox| f64::from(place.width) * f64::from(place.height);
    (common / (area(a) + area(b) - common).max(1.0)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: u32, happy: f32) -> Face {
        let probabilities = BTreeMap::from([("happy".to_owned(), happy), ("sad".to_owned(), 1.0 - happy)]);
        Face {
            place: FaceBox { x, y: 50, width: 100, height: 100 },
            label: if happy > 0.5 { "happy" } else { "sad" }.to_owned(),
            confidence: happy.max(1.0 - happy),
            uncertain: false,
            probabilities,
            score: Some(0.9),
            landmarks: None,
            roll: None,
            explanation: None,
        }
    }

    #[test]
    fn tracks_survive_motion_and_short_gaps() {
        let mut tracker = Tracker::default();
        let numbers = |found: Vec<(u32, Face)>| found.into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        assert_eq!(numbers(tracker.follow(0.0, vec![face(0, 0.9), face(300, 0.9)])), [1, 2]);
        assert_eq!(numbers(tracker.follow(0.1, vec![face(30, 0.9), face(270, 0.9)])), [1, 2]);
        assert_eq!(numbers(tracker.follow(0.2, vec![face(240, 0.9)])), [2]);
        assert_eq!(numbers(tracker.follow(0.5, vec![face(40, 0.9), face(600, 0.9)])), [1, 3]);
        assert_eq!(numbers(tracker.follow(2.0, vec![face(40, 0.9)])), [4]);
    }

    #[test]
    fn labels_change_only_after_a_lasting_change() {
        let mut tracker = Tracker::default();
        let mut label = |frame: u32, happy: f32| {
            let found = tracker.follow(f64::from(frame) * 0.04, vec![face(0, happy)]);
            found[0].1.label.clone()
        };
        (0..10).for_each(|frame| assert_eq!(label(frame, 0.9), "happy"));
        assert_eq!(label(10, 0.1), "happy");
        assert_eq!(label(11, 0.9), "happy");
        let late: Vec<String> = (12..40).map(|frame| label(frame, 0.1)).collect();
        assert_eq!(late.last().unwrap(), "sad");
        assert_eq!(late.windows(2).filter(|pair| pair[0] != pair[1]).count(), 1, "it changes once");
    }
}
