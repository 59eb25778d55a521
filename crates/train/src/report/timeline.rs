//! Predicted expressions in a video over time.

use super::chart::{Chart, Line};
use super::page;
use maud::html;

/// Maximum number of points of a line; beyond it, adjacent bins are merged.
const MOST_BINS: usize = 600;

/// Minimum width of a bin, in seconds.
const FINEST: f64 = 0.2;

/// Aggregates the predictions of a video. Its memory does not depend on the length of the video.
pub struct Timeline {
    classes: Vec<String>,
    /// Width of a bin, in seconds.
    width: f64,
    bins: Vec<Bin>,
}

#[derive(Clone, Default)]
struct Bin {
    faces: usize,
    sums: Vec<f64>,
}

impl Bin {
    fn add(&mut self, faces: usize, values: impl Iterator<Item = f64>) {
        self.faces += faces;
        for (i, value) in values.enumerate() {
            match self.sums.get_mut(i) {
                Some(sum) => *sum += value,
                None => self.sums.push(value),
            }
        }
    }
}

impl Timeline {
    /// An empty timeline for these classes; `spacing` is the time between predicted frames in seconds.
    #[must_use]
    pub fn new(classes: &[String], spacing: f64) -> Self {
        // A bin shorter than the time between two frames would be a gap.
        Self { classes: classes.to_vec(), width: FINEST.max(spacing), bins: Vec::new() }
    }

    /// Adds a face at `time` (in seconds) with its probabilities in the order of the classes.
    pub fn add(&mut self, time: f64, probabilities: impl Iterator<Item = f32>) {
        while time / self.width >= MOST_BINS as f64 {
            self.width *= 2.0;
            let merge = |pair: &[Bin]| {
                let mut both = pair[0].clone();
                if let Some(second) = pair.get(1) {
                    both.add(second.faces, second.sums.iter().copied());
                }
                both
            };
            self.bins = self.bins.chunks(2).map(merge).collect();
        }
        // A frame at the edge of two bins belongs to the later one, also where the quotient is rounded down.
        let at = (time.max(0.0) / self.width + 1e-6) as usize;
        if self.bins.len() <= at {
            self.bins.resize(at + 1, Bin::default());
        }
        self.bins[at].add(1, probabilities.map(f64::from));
    }

    /// A page with the mean probability of each expression over time.
    #[must_use]
    pub fn page(&self, title: &str) -> String {
        let seen: usize = self.bins.iter().map(|bin| bin.faces).sum();
        let line = |(class, name): (usize, &String)| Line {
            name: name.clone(),
            class: page::color(class),
            points: self.points(|bin| bin.sums[class] / bin.faces as f64 * 100.0),
        };
        let chart = Chart {
            title: "Mean probability of each expression, %",
            across: "seconds",
            lines: self.classes.iter().enumerate().map(line).collect(),
            bands: Vec::new(),
            mark: None,
            level: None,
            wide: true,
        };
        page::page(
            title,
            &html! {
                h1 { (title) }
                @if seen == 0 { p { "No faces were detected." } }
                @else {
                    div.scroll { (chart.svg()) }
                    p.soft {
                        "Each point is the mean over all detected faces in " (format!("{:.1}", self.width))
                        " seconds. Gaps in the lines are times without a detected face."
                    }
                }
            },
        )
    }

    /// Points of the bins; bins without faces are NaN.
    fn points(&self, of: impl Fn(&Bin) -> f64) -> Vec<(f64, f64)> {
        let bins = self.bins.iter().enumerate();
        bins.map(|(i, bin)| ((i as f64 + 0.5) * self.width, if bin.faces == 0 { f64::NAN } else { of(bin) })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_does_not_depend_on_the_length_of_the_video() {
        let mut timeline = Timeline::new(&["happy".into(), "sad".into()], 0.04);
        for frame in 0..90_000 {
            timeline.add(f64::from(frame) * 0.04, [0.75, 0.25].into_iter());
        }
        assert!(timeline.bins.len() <= MOST_BINS);
        assert_eq!(timeline.bins.iter().map(|bin| bin.faces).sum::<usize>(), 90_000);
        assert!(
            timeline.points(|bin| bin.sums[0] / bin.faces as f64).iter().all(|point| (point.1 - 0.75).abs() < 1e-9)
        );
        let page = timeline.page("video");
        assert!(page.contains("happy") && page.contains("seconds") && !page.contains("NaN"), "{page}");
    }

    #[test]
    fn frames_at_the_edges_of_bins_leave_no_gap() {
        for rate in [5.0, 4.1, 2.5, 0.7] {
            let mut timeline = Timeline::new(&["happy".into()], 1.0 / rate);
            (0..100).for_each(|frame| timeline.add(f64::from(frame) / rate, [1.0].into_iter()));
            assert!(timeline.bins.iter().all(|bin| bin.faces == 1), "{rate}");
        }
    }

    #[test]
    fn a_video_without_faces_is_reported() {
        assert!(Timeline::new(&["happy".into()], 0.2).page("video").contains("No face"));
    }
}
