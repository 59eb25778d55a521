//! Plots of points and lines, with linear or logarithmic axes, and axes of names.

use super::chart::{Scale, ticks};
use maud::{Markup, html};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 44.0;

/// Characters of the longest name below an axis.
const LONGEST_NAME: usize = 14;

/// A point, with a text that is shown when the pointer is over it.
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// CSS classes.
    pub class: &'static str,
    pub about: String,
}

/// The horizontal axis.
pub enum Across {
    Linear,
    Log,
    /// Positions 0, 1, … with these names.
    Names(Vec<String>),
}

/// A plot.
pub struct Plot {
    pub title: String,
    pub label: String,
    pub across: Across,
    pub points: Vec<Point>,
    /// Lines, each with its CSS classes.
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

impl Plot {
    /// Places of the horizontal axis with their labels, in the units of [`Self::x`].
    fn columns(&self, low: f64, high: f64) -> Vec<(f64, String)> {
        match &self.across {
            Across::Names(names) => (0..).map(f64::from).zip(names.iter().map(|name| shortened(name))).collect(),
            Across::Linear => {
                let columns = ticks(low, high).into_iter().filter(|tick| (low..=high).contains(tick));
                columns.map(|tick| (tick, compact(tick))).collect()
            }
            Across::Log => {
                let decades = (low.floor() as i32..=high.ceil() as i32)
                    .flat_map(|power| [1.0, 2.0, 5.0].map(|first| first * 10f64.powi(power)));
                let all: Vec<f64> = decades.filter(|value| (low..=high).contains(&value.log10())).collect();
                // Powers of ten are enough for a wide range.
                let wide = all.len() > 6;
                let is_power = |value: &f64| (value.log10() - value.log10().round()).abs() < 1e-9;
                all.into_iter()
                    .filter(|value| !wide || is_power(value))
                    .map(|value| (value.log10(), compact(value)))
                    .collect()
            }
        }
    }

    fn x(&self, value: f64) -> f64 {
        if matches!(self.across, Across::Log) { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }

    pub fn svg(&self) -> Markup {
        let all = || {
            let points = self.points.iter().map(|point| (point.x, point.y));
            let lines = self.lines.iter().flat_map(|(_, line)| line.iter().copied());
            points.chain(lines).filter(|(x, y)| x.is_finite() && y.is_finite())
        };
        let fold = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (left, right) = fold(&mut all().map(|(x, _)| self.x(x)));
        let (low, high) = fold(&mut all().map(|(_, y)| y));
        if left > right {
            return html! {};
        }
        let (left, right) = match &self.across {
            Across::Names(names) => (-0.5, names.len() as f64 - 0.5),
            Across::Log => (left - 0.08, right + 0.08),
            Across::Linear => {
                let margin = (right - left).max(1e-9) * 0.04;
                (left - margin, right + margin)
            }
        };
        let rows = ticks(low, high.max(low + 1e-6));
        let (bottom, top) = (rows.first().copied().unwrap_or(low), rows.last().copied().unwrap_or(high));
        let x = Scale { low: left, high: right, from: LEFT, to: WIDTH - RIGHT };
        let y = Scale { low: bottom, high: top.max(bottom + 1e-9), from: HEIGHT - BOTTOM, to: TOP };
        let place = |(a, b): &(f64, f64)| format!("{:.1},{:.1}", x.at(self.x(*a)), y.at(*b));
        html! {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.title) {
                text.title x="8" y="16" { (self.title) }
                @for row in &rows {
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(format!("{:.1}", y.at(*row))) y2=(format!("{:.1}", y.at(*row))) {}
                    text.tick x=(LEFT - 6.0) y=(format!("{:.1}", y.at(*row) + 4.0)) text-anchor="end" { (compact(*row)) }
                }
                @for (at, name) in self.columns(left, right) {
                    text.tick x=(format!("{:.1}", x.at(at))) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (name) }
                }
                text.tick x=((LEFT + WIDTH - RIGHT) / 2.0) y=(HEIGHT - 6.0) text-anchor="middle" { (self.label) }
                @for (class, line) in &self.lines {
                    polyline class={ "curve " (class) } points=(line.iter().map(place).collect::<Vec<_>>().join(" ")) {}
                }
                @for point in self.points.iter().filter(|point| point.x.is_finite() && point.y.is_finite()) {
                    circle class={ "dot " (point.class) } cx=(format!("{:.1}", x.at(self.x(point.x)))) cy=(format!("{:.1}", y.at(point.y))) r="4" {
                        title { (point.about) }
                    }
                }
            }
        }
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    name.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}

/// A number with a unit prefix.
fn compact(value: f64) -> String {
    let text = |value: f64| {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match value.abs() {
        large if large >= 1e6 => text(value / 1e6) + "M",
        large if large >= 1e4 => text(value / 1e3) + "k",
        small if small > 0.0 && small < 0.001 => format!("{value:.0e}"),
        _ => text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(across: Across, xs: &[f64]) -> String {
        let point = |&x: &f64| Point { x, y: 3.0, class: "a", about: format!("{x}") };
        let line = xs.iter().map(|&x| (x, 1.0)).collect();
        let plot = Plot {
            title: "T".into(),
            label: "l".into(),
            across,
            points: xs.iter().map(point).collect(),
            lines: vec![("a", line)],
        };
        plot.svg().into_string()
    }

    #[test]
    fn axes_have_readable_labels() {
        let log = plot(Across::Log, &[1000.0, 4_000_000.0]);
        assert!(log.contains(">10k<") && log.contains(">1M<") && !log.contains(">2M<"), "{log}");
        assert!(plot(Across::Log, &[0.0004, 0.002]).contains(">5e-4<"));
        let names = plot(Across::Names(vec!["true".into(), "[16, 32, 64, 128, 256]".into()]), &[0.0, 1.0]);
        assert!(names.contains(">true<") && names.contains("[16, 32, 64, …"), "{names}");
        assert_eq!(compact(0.15), "0.15");
    }

    #[test]
    fn one_point_and_none_are_no_error() {
        for across in [Across::Linear, Across::Log, Across::Names(vec!["x".into()])] {
            let svg = plot(across, &[0.0]);
            assert!(svg.contains("<circle") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        assert_eq!(plot(Across::Linear, &[]), "");
        assert!(!plot(Across::Linear, &[f64::NAN, 1.0]).contains("NaN\""));
    }
}
