//! The report of a comparison: all learning curves in one chart, and one table.

use super::chart::{Band, Chart, Line};
use super::evaluation::points;
use super::page::{self, color, percent};
use crate::comparison::{Comparison, Row, SeedPairs};
use crate::train::EpochRecord;
use maud::{Markup, html};

/// Maximum length of a name next to the chart.
const LONGEST_NAME: usize = 38;

/// The report of a comparison as an HTML page.
#[must_use]
pub fn comparison(found: &Comparison) -> String {
    let title = format!("{} on {}", counted(found.rows.len(), "experiment"), found.data);
    page::page(
        &title,
        &html! {
            h1 { (title) }
            (verdict(found))
            @for warning in found.warnings() { p { b { "Warning: " } (warning) "." } }
            div.scroll { (curves(found)) }
            p.soft {
                "Solid: accuracy on " (found.split) " after each epoch. Dashed, in the same color: accuracy on the "
                "training images, a mean over the epoch's steps with dropout and augmentation. A growing gap between "
                "the two indicates overfitting."
                @if seeded(found) {
                    " Lines are means over the seeds; a shaded band reaches from the lowest to the highest seed."
                }
            }
            (table(found))
            p.soft {
                "Best: the epoch with the highest accuracy on " (found.split) "; optimistic: the epoch was selected on "
                "this split. Gap: training minus validation accuracy, in points, at the best epoch. Last: after all "
                "epochs."
                @if seeded(found) {
                    " Means over the seeds, with the 95 % confidence interval of the mean (Student's t). Difference: best "
                    "validation accuracy of the first experiment minus that of this one, in points, with the 95 % "
                    "confidence interval over common seeds. Every seed is in runs.csv."
                }
            }
            (failures(found))
        },
    )
}

/// Whether a configuration was trained with several seeds.
fn seeded(found: &Comparison) -> bool {
    found.rows.iter().any(|row| row.validation_ci95.is_some())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn verdict(found: &Comparison) -> Markup {
    let trained = found.rows.iter().filter_map(|row| Some((row, row.best_validation_accuracy?)));
    let best = trained.max_by(|a, b| a.1.total_cmp(&b.1));
    html! {
        @if let Some((row, accuracy)) = best {
            p.big { (row.name) ": " (percent(accuracy)) " %" }
        }
        p {
            "Each model was trained on " (training_images(found)) " images and validated on the "
            (found.validation_images) " images of " (found.split) ". Majority-class baseline (\""
            (found.majority_class) "\"): "
            (percent(found.majority_accuracy)) " %. A model near this accuracy has not learned to distinguish the "
            "classes."
        }
        @if !found.complete {
            p { b { "Not finished." } " Run the same command again to resume." }
        }
    }
}

fn training_images(found: &Comparison) -> String {
    let counts = || found.rows.iter().map(|row| row.train_images);
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    if least == most { most.to_string() } else { format!("{least} to {most}") }
}

/// Short names for the chart: without the words that all rows share, and with short keys where the
/// names are too long.
fn short_names(rows: &[Row]) -> Vec<String> {
    let shared = |word: &str| rows.iter().all(|row| row.name.split(' ').any(|other| other == word));
    let own = |row: &Row| row.name.split(' ').filter(|word| !shared(word)).map(str::to_owned).collect::<Vec<_>>();
    let mut names: Vec<Vec<String>> = rows.iter().map(own).collect();
    if names.iter().any(Vec::is_empty) {
        names = rows.iter().map(|row| vec![row.name.clone()]).collect();
    }
    if names.iter().any(|words| words.join(" ").chars().count() > LONGEST_NAME) {
        let key = |word: &String| match word.split_once('=') {
            Some((key, value)) => format!("{}={value}", key.rsplit('.').next().unwrap_or(key)),
            None => word.clone(),
        };
        names = names.iter().map(|words| words.iter().map(key).collect()).collect();
    }
    names.iter().map(|words| words.join(" ").chars().take(LONGEST_NAME).collect()).collect()
}

/// The values of a row's seeds in each epoch, up to the last epoch that all seeds have finished.
fn by_epoch(row: &Row, of: fn(&EpochRecord) -> f64) -> Vec<(f64, Vec<f64>)> {
    let runs: Vec<_> = row.runs.iter().filter(|run| !run.history.is_empty()).collect();
    let epochs = runs.iter().map(|run| run.history.len()).min().unwrap_or(0);
    let values = |epoch: usize| runs.iter().map(|run| of(&run.history[epoch]) * 100.0).collect();
    (0..epochs).map(|epoch| ((epoch + 1) as f64, values(epoch))).collect()
}

/// The curve of a row: the mean over its seeds.
fn mean(row: &Row, of: fn(&EpochRecord) -> f64) -> Vec<(f64, f64)> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    by_epoch(row, of).iter().map(|(epoch, values)| (*epoch, mean(values))).collect()
}

/// The range of a row's seeds; `None` for a single seed.
fn band(row: &Row, class: &str) -> Option<Band> {
    let range = |(epoch, values): &(f64, Vec<f64>)| {
        let fold = |start: f64, of: fn(f64, f64) -> f64| values.iter().copied().fold(start, of);
        (*epoch, fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
    };
    let values = by_epoch(row, |record| record.validation_accuracy);
    let several = values.first().is_some_and(|(_, seeds)| seeds.len() > 1);
    several.then(|| Band { class: class.to_owned(), points: values.iter().map(range).collect() })
}

fn curves(found: &Comparison) -> Markup {
    let (mut lines, mut bands) = (Vec::new(), Vec::new());
    for (number, (row, name)) in found.rows.iter().zip(short_names(&found.rows)).enumerate() {
        let class = color(number);
        let train = mean(row, |r| r.train_accuracy);
        bands.extend(band(row, &class));
        lines.push(Line { name: String::new(), class: format!("{class} dashed"), points: train });
        // A failed training has no line that a name could belong to.
        let name = if row.failed.is_some() { String::new() } else { name };
        lines.push(Line { name, class, points: mean(row, |r| r.validation_accuracy) });
    }
    let level = (found.majority_accuracy * 100.0, format!("baseline \"{}\"", found.majority_class));
    Chart { title: "Accuracy, %", across: "epoch", lines, bands, mark: None, level: Some(level), wide: true }.svg()
}

/// A share in percent, or a dash.
fn cell(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), percent)
}

fn table(found: &Comparison) -> Markup {
    let gap = |row: &Row| row.gap.unwrap_or(0.0);
    let widest = found.rows.iter().map(|row| gap(row).abs()).fold(0.01, f64::max);
    let seeded = seeded(found);
    let cell_of = |name: &str, content: Markup| html! { td data-name=(name) { (content) } };
    let seconds = |row: &Row| row.seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.0}"));
    html! {
        div.scroll { table.experiments {
            thead { tr {
                th { "experiment" } th { "best validation %" }
                @if seeded { th { "difference" } }
                th { "best train %" } th { "gap" } th { "last validation %" } th { "last train %" }
                th { "parameters" } th { "M MACs" } th { "epochs" } th { "seconds" }
            } }
            tbody {
                @for (number, row) in found.rows.iter().enumerate() {
                    @let color = color(number);
                    tr {
                        td {
                            span class={ "key " (color) } {} (breakable(&row.name))
                            @if let Some(claim) = &row.claim { br; span.soft.small { "source: " (claim) } }
                        }
                        @if let Some(reason) = &row.failed {
                            td.text colspan=(if seeded { 6 } else { 5 }) { "failed: " (reason) }
                        } @else {
                            (cell_of("best validation %", html! {
                                b { (cell(row.best_validation_accuracy)) }
                                @if row.validation_ci95.is_some() {
                                    br; span.soft.small { (interval(row.validation_ci95, percent)) }
                                }
                            }))
                            @if seeded {
                                (cell_of("difference", html! {
                                    @if let Some(paired) = &row.paired {
                                        (points(paired.difference)) br;
                                        span.soft.small { (interval(Some(paired.difference_ci95), points)) }
                                    }
                                }))
                            }
                            (cell_of("best train %", html! { (cell(row.best_train_accuracy)) }))
                            (cell_of("gap", html! {
                                (cell(row.gap))
                                @if gap(row) > 0.0 { br; span class={ "gap " (color) } style=(format!("width:{:.1}rem", 4.0 * gap(row) / widest)) {} }
                            }))
                            (cell_of("last validation %", html! { (cell(row.last_validation_accuracy)) }))
                            (cell_of("last train %", html! { (cell(row.last_train_accuracy)) }))
                        }
                        (cell_of("parameters", html! { (row.parameters) }))
                        (cell_of("M MACs", html! { (format!("{:.1}", row.macs as f64 / 1e6)) }))
                        (cell_of("epochs", html! { (row.epochs) }))
                        (cell_of("seconds", html! { (seconds(row)) }))
                    }
                }
            }
        } }
    }
}

/// A name that may continue on the next line after each part of a key.
fn breakable(name: &str) -> Markup {
    html! { @for part in name.split_inclusive(['.', '=', '/']) { (part) wbr; } }
}

/// Two bounds, or nothing.
#[must_use]
pub fn interval(bounds: Option<[f64; 2]>, text: impl Fn(f64) -> String) -> String {
    bounds.map(|[low, high]| format!("{} to {}", text(low), text(high))).unwrap_or_default()
}

/// The first row minus this one, in points, with the confidence interval; empty for the first row.
#[must_use]
pub fn difference(row: &Row) -> String {
    let text = |paired: &SeedPairs| {
        format!("{} ({})", points(paired.difference), interval(Some(paired.difference_ci95), points))
    };
    row.paired.as_ref().map(text).unwrap_or_default()
}

fn failures(found: &Comparison) -> Markup {
    let failed: Vec<_> = found
        .rows
        .iter()
        .flat_map(|row| row.runs.iter().map(move |run| (row, run)))
        .filter_map(|(row, run)| Some((row, run, run.error.as_ref()?)))
        .collect();
    html! {
        @if !failed.is_empty() {
            h2 { "Failed trainings" }
            ul { @for (row, run, error) in failed { li { (row.name) ", seed " (run.seed) ": " (error) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        Row { name: name.into(), ..Row::default() }
    }

    #[test]
    fn short_names_fit_next_to_the_chart() {
        let names = |names: &[&str]| short_names(&names.iter().map(|name| row(name)).collect::<Vec<_>>());
        assert_eq!(names(&["seed/model-6", "seed/model-8"]), ["seed/model-6", "seed/model-8"]);
        assert_eq!(names(&["net a.b=1 c.d=1", "net a.b=2 c.d=1"]), ["a.b=1", "a.b=2"]);
        assert_eq!(names(&["net"]), ["net"]);
        let long =
            names(&["n data.train_fraction=0.25 dropout.rate=0.1", "n data.train_fraction=0.5 dropout.rate=0.2"]);
        assert_eq!(long, ["train_fraction=0.25 rate=0.1", "train_fraction=0.5 rate=0.2"]);
    }
}
