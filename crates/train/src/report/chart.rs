//! Line and bar charts as SVG; the page's style sheet defines the colors.

use crate::evaluate::Reliability;
use maud::{Markup, html};

/// Size of a small chart.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const RIGHT: f64 = 84.0;
/// Size of a wide chart, with space for long names.
const WIDE: [f64; 3] = [960.0, 520.0, 290.0];
const LEFT: f64 = 46.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 34.0;
/// Distance between the labels next to a chart.
const LABEL: f64 = 15.0;

/// A named line.
pub struct Line {
    /// Label at the line's end; empty for none.
    pub name: String,
    /// CSS classes.
    pub class: String,
    pub points: Vec<(f64, f64)>,
}

/// A shaded range around a line: for each position, the lowest and the highest value.
pub struct Band {
    /// CSS classes.
    pub class: String,
    pub points: Vec<(f64, f64, f64)>,
}

/// A line chart.
pub struct Chart {
    pub title: &'static str,
    /// Label of the x axis.
    pub across: &'static str,
    pub lines: Vec<Line>,
    /// Ranges, drawn behind the lines.
    pub bands: Vec<Band>,
    /// Position of a vertical line: the best epoch.
    pub mark: Option<f64>,
    /// Position of a horizontal line, and its label next to the chart.
    pub level: Option<(f64, String)>,
    /// Whether the chart is wide.
    pub wide: bool,
}

/// Maps values of an axis to pixels.
pub struct Scale {
    pub low: f64,
    pub high: f64,
    pub from: f64,
    pub to: f64,
}

impl Scale {
    pub fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// About five round values that cover the range.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = (high - low).max(1e-9);
    let magnitude = 10f64.powf((span / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|step| span / step <= 6.0).unwrap_or(span);
    let first = (low / step).floor() as i64;
    let last = (high / step).ceil() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

fn label(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Chart {
    pub fn svg(&self) -> Markup {
        let edges = self.bands.iter().flat_map(|band| &band.points).flat_map(|&(x, low, high)| [(x, low), (x, high)]);
        let drawn: Vec<(f64, f64)> =
            self.lines.iter().flat_map(|line| line.points.iter().copied()).chain(edges).collect();
        let points = || drawn.iter().filter(|point| point.1.is_finite());
        let range = |of: fn(&(f64, f64)) -> f64| {
            let values = points().map(of);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((first, last), (low, high)) = (range(|p| p.0), range(|p| p.1));
        if first > last {
            return html! {};
        }
        let named: Vec<&Line> = self.lines.iter().filter(|line| !line.name.is_empty()).collect();
        let [width, height, names] = if self.wide { WIDE } else { [WIDTH, HEIGHT, RIGHT] };
        let height = height.max(TOP + BOTTOM + LABEL * (named.len() + 1) as f64);
        let right = width - names;
        let level = self.level.as_ref().map(|level| level.0);
        let rows = ticks(low.min(level.unwrap_or(low)), high.max(level.unwrap_or(high)));
        let (bottom, top) = (rows.first().copied().unwrap_or(low), rows.last().copied().unwrap_or(high));
        let x = Scale { low: first.min(last - 1.0), high: last, from: LEFT, to: right };
        let y = Scale { low: bottom, high: top.max(bottom + 1e-9), from: height - BOTTOM, to: TOP };
        let columns = ticks(x.low, x.high).into_iter().filter(|t| *t >= x.low && *t <= x.high && t.fract() == 0.0);
        // Labels are next to the chart, where they cover no curve.
        let end =
            |line: &Line| line.points.iter().rfind(|point| point.1.is_finite()).map_or(TOP, |point| y.at(point.1));
        let ends = named.iter().map(|line| (format!("name {}", line.class), line.name.as_str(), end(line)));
        let level_end = self.level.iter().map(|(level, name)| ("tick".to_owned(), name.as_str(), y.at(*level)));
        let labels: Vec<(String, &str, f64)> = ends.chain(level_end).collect();
        let places = label_places(&labels.iter().map(|label| label.2).collect::<Vec<_>>(), height - BOTTOM);
        html! {
            svg.wide[self.wide] viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(self.title) {
                text.title x=(LEFT) y="16" { (self.title) }
                @for row in &rows {
                    line.grid x1=(LEFT) x2=(right) y1=(y.at(*row)) y2=(y.at(*row)) {}
                    text.tick x=(LEFT - 6.0) y=(y.at(*row) + 4.0) text-anchor="end" { (label(*row)) }
                }
                @for column in columns {
                    text.tick x=(x.at(column)) y=(height - BOTTOM + 16.0) text-anchor="middle" { (label(column)) }
                }
                text.tick x=((LEFT + right) / 2.0) y=(height - 4.0) text-anchor="middle" { (self.across) }
                @if let Some(mark) = self.mark {
                    line.mark x1=(x.at(mark)) x2=(x.at(mark)) y1=(TOP) y2=(height - BOTTOM) {}
                }
                @if let Some((level, _)) = &self.level {
                    line.mark x1=(LEFT) x2=(right) y1=(y.at(*level)) y2=(y.at(*level)) {}
                }
                @for band in &self.bands { (shape(band, &x, &y)) }
                @for line in &self.lines { (curve(line, &x, &y)) }
                @for ((class, name, _), at) in labels.iter().zip(places) {
                    text class=(class) x=(right + 8.0) y=(at + 4.0) { (name) }
                }
            }
        }
    }
}

/// The outline of a band: along the highest values and back along the lowest.
fn shape(band: &Band, x: &Scale, y: &Scale) -> Markup {
    let finite = || band.points.iter().filter(|(_, low, high)| low.is_finite() && high.is_finite());
    let above = finite().map(|&(at, _, high)| (at, high));
    let below = finite().rev().map(|&(at, low, _)| (at, low));
    let place = |(at, value): (f64, f64)| format!("{:.1},{:.1}", x.at(at), y.at(value));
    let points: Vec<String> = above.chain(below).map(place).collect();
    html! { @if !points.is_empty() { polygon class={ "band " (band.class) } points=(points.join(" ")) {} } }
}

/// A line, interrupted where a value is NaN.
fn curve(line: &Line, x: &Scale, y: &Scale) -> Markup {
    let stretches = line.points.split(|point| !point.1.is_finite()).filter(|stretch| !stretch.is_empty());
    let place = |point: &(f64, f64)| format!("{:.1},{:.1}", x.at(point.0), y.at(point.1));
    let paths: Vec<String> = stretches.map(|stretch| stretch.iter().map(place).collect::<Vec<_>>().join(" ")).collect();
    let last = line.points.iter().rfind(|point| point.1.is_finite());
    html! {
        @for path in paths { polyline class={ "curve " (line.class) } points=(path) {} }
        @if let Some((a, b)) = last { circle class={ "dot " (line.class) } cx=(x.at(*a)) cy=(y.at(*b)) r="3" {} }
    }
}

/// Vertical positions of labels, near the ends of their lines without overlap, down to `lowest`.
fn label_places(ends: &[f64], lowest: f64) -> Vec<f64> {
    let mut places: Vec<(usize, f64)> = ends.iter().copied().enumerate().collect();
    places.sort_by(|a, b| a.1.total_cmp(&b.1));
    for i in 1..places.len() {
        places[i].1 = places[i].1.max(places[i - 1].1 + LABEL);
    }
    // Labels beyond the bottom are moved up again.
    for i in (0..places.len()).rev() {
        let limit = places.get(i + 1).map_or(lowest, |below: &(usize, f64)| below.1 - LABEL);
        places[i].1 = places[i].1.min(limit);
    }
    places.sort_by_key(|place| place.0);
    places.into_iter().map(|place| place.1).collect()
}

/// The reliability diagram: accuracy over confidence, one bar for each bin.
pub fn reliability(bins: &[Reliability]) -> Markup {
    let x = Scale { low: 0.0, high: 1.0, from: LEFT, to: WIDTH - RIGHT };
    let y = Scale { low: 0.0, high: 1.0, from: HEIGHT - BOTTOM, to: TOP };
    let width = (x.at(1.0) - x.at(0.0)) / bins.len() as f64;
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1) as f64;
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label="Reliability diagram" {
            text.title x=(LEFT) y="16" { "Accuracy by confidence" }
            @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(y.at(tick)) y2=(y.at(tick)) {}
                text.tick x=(LEFT - 6.0) y=(y.at(tick) + 4.0) text-anchor="end" { (label(tick)) }
                text.tick x=(x.at(tick)) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (label(tick)) }
            }
            text.tick x=((LEFT + WIDTH - RIGHT) / 2.0) y=(HEIGHT - 4.0) text-anchor="middle" { "confidence" }
            @for (i, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
                // Bins with few predictions are pale.
                rect.bar x=(LEFT + i as f64 * width + 1.0) y=(y.at(bin.accuracy)) width=(width - 2.0)
                    height=(y.at(0.0) - y.at(bin.accuracy))
                    fill-opacity=(format!("{:.2}", 0.25 + 0.75 * (bin.count as f64 / most).sqrt())) {
                    title { (bin.count) " predictions, mean confidence " (format!("{:.3}", bin.confidence))
                        ", accuracy " (format!("{:.3}", bin.accuracy)) }
                }
            }
            line.ideal x1=(x.at(0.0)) y1=(y.at(0.0)) x2=(x.at(1.0)) y2=(y.at(1.0)) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(ticks(17.3, 64.9), [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]);
        assert_eq!(ticks(1.0, 12.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
        assert_eq!(ticks(0.5, 0.5).len(), 1);
    }

    #[test]
    fn a_chart_of_one_epoch_has_no_nan() {
        let line = Line { name: "training".into(), class: "a".into(), points: vec![(1.0, 2.0)] };
        let chart = Chart {
            title: "Loss",
            across: "epoch",
            lines: vec![line],
            bands: Vec::new(),
            mark: Some(1.0),
            level: None,
            wide: false,
        };
        let svg = chart.svg().into_string();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn labels_do_not_overlap() {
        let places = label_places(&[50.0, 49.0, 100.0, 99.0], 100.0);
        let mut sorted = places.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= LABEL) && sorted[3] <= 100.0, "{places:?}");
    }

    /// The number after each occurrence of an attribute in the elements that begin with `element`.
    fn attributes(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
        let parts = svg.split(element).skip(1).map(|part| part.split('>').next().unwrap());
        parts.map(|part| part.split(attribute).nth(1).unwrap().split('"').nth(1).unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn labels_are_next_to_the_chart_and_inside_the_picture() {
        for count in [1_usize, 8, 60] {
            let line = |number| Line {
                name: format!("experiment {number}"),
                class: "a".into(),
                points: vec![(1.0, 20.0), (9.0, 60.0 + number as f64 / 100.0)],
            };
            let chart = Chart {
                title: "Accuracy, %",
                across: "epoch",
                lines: (0..count).map(line).collect(),
                bands: Vec::new(),
                mark: None,
                level: Some((25.0, "baseline".into())),
                wide: true,
            };
            let svg = chart.svg().into_string();
            let (x, y) = (attributes(&svg, "<text class=\"name", " x="), attributes(&svg, "<text class=\"name", " y="));
            assert_eq!(x.len(), count);
            let right = attributes(&svg, "<line class=\"grid", " x2=")[0];
            let level = svg.split("baseline").next().unwrap().rsplit("<text").next().unwrap().to_owned();
            assert!(attributes(&format!("<text{level}>"), "<text", " x=")[0] > right, "{level}");
            assert!(x.iter().all(|x| *x > right) && y.iter().all(|y| *y >= TOP), "{x:?} {y:?}");
        }
    }
}
