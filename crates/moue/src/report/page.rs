//! The page around the charts: style sheet, headline, tables, pictures.

use super::Evaluation;
use crate::evaluate::Figures;
use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use moue_engine::loss::argmax;

/// Mistakes that are shown.
const MISTAKES: usize = 40;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c1c1f; --soft: #6a6a72; --line: #d9d9de; --paper: #fff; --a: #2f6fde; --b: #d9622b; --cell: 47,111,222; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --soft: #a0a0aa; --line: #3c3c44; --paper: #16161a; --a: #7aa7ff; --b: #ff9a66; --cell: 122,167,255; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 980px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.big { font-size: 2.4rem; font-weight: 650; margin: .2rem 0; } .soft, footer { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; } th:first-child, td:first-child { text-align: left; white-space: nowrap; }
thead th { border-bottom: 1px solid var(--line); font-weight: 600; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } svg { width: 460px; max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg .title { font-weight: 600; } svg .tick { fill: var(--soft); }
.grid { stroke: var(--line); } .mark { stroke: var(--soft); stroke-dasharray: 3 3; } .ideal { stroke: var(--ink); stroke-dasharray: 5 4; }
.curve { fill: none; stroke-width: 2; } .bar { fill: var(--a); } .a { --c: var(--a); } .b { --c: var(--b); }
svg.wide { width: 960px; min-width: 680px; } .dashed { stroke-dasharray: 4 4; stroke-width: 1.2; opacity: .75; } th.text, td.text { text-align: left; white-space: nowrap; }
.key, .gap { display: inline-block; height: .75rem; background: currentColor; vertical-align: middle; } .key { width: .75rem; margin-right: .5rem; }
.c0 { --c: #2f6fde; } .c1 { --c: #d9622b; } .c2 { --c: #2a9d5c; } .c3 { --c: #a64ac9; } .c4 { --c: #b8860b; }
.c5 { --c: #d63a6a; } .c6 { --c: #008c95; } .c7 { --c: #7a6a5a; } .c8 { --c: #6b7fd7; } .c9 { --c: #6f9a1e; }
.curve { stroke: var(--c); } .dot, svg text.name { fill: var(--c); } .key, .gap { color: var(--c); }
.strip { display: flex; flex-wrap: wrap; gap: .4rem; } .strip img { width: 64px; height: 64px; object-fit: contain; image-rendering: pixelated; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(108px, 1fr)); gap: .8rem; }
figure { margin: 0; font-size: .8rem; line-height: 1.25; } figure img { width: 96px; height: 96px; object-fit: contain; image-rendering: pixelated; display: block; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); font-size: .8rem; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; font-size: .85rem; }
";

/// A whole document.
pub fn page(title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                footer {
                    "An expression is an appearance: it does not determine what a person feels. The EU AI Act bans "
                    "inferring emotions at work and in education. Made by moue " (env!("CARGO_PKG_VERSION")) "."
                }
            }
        }
    }
    .into_string()
}

/// A share in percent, without the sign.
pub fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// Accuracy, large, with what it was measured on; `epochs` is the best one and
/// how many there were.
pub fn headline(report: &Evaluation<'_>, epochs: Option<(usize, usize)>) -> Markup {
    let f = report.figures;
    let [low, high] = f.accuracy_ci95;
    let most = f.per_class.iter().map(|class| class.support).max().unwrap_or(0) as f64 / f.n.max(1) as f64;
    html! {
        p.big { (percent(f.accuracy)) " % right" }
        p {
            "on " (f.n) " images of the split " (report.split)
            @if report.tta { ", each averaged with its mirror image" }
            "; 95 % interval " (percent(low)) "–" (percent(high)) " %. Macro F1 " (format!("{:.3}", f.macro_f1))
            ", NLL " (format!("{:.3}", f.nll)) ", expected calibration error " (format!("{:.3}", f.ece)) "."
        }
        p.soft {
            "Always answering the most frequent class would be right in " (percent(most)) " %."
            @if let Some((best, all)) = epochs {
                " Weights of epoch " (best) " of " (all)
                ", chosen on this split, so these figures are a little too good."
            }
        }
    }
}

/// Precision, recall, F1 and support.
pub fn per_class(figures: &Figures) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "class" } th { "precision %" } th { "recall %" } th { "F1 %" } th { "support" } } }
            tbody {
                @for class in &figures.per_class {
                    tr {
                        td { (class.label) } td { (percent(class.precision)) } td { (percent(class.recall)) }
                        td { (percent(class.f1)) } td { (class.support) }
                    }
                }
            }
        } }
    }
}

/// Counts, shaded by their share of the row.
pub fn confusion(figures: &Figures) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "true \\ answer" } @for label in &figures.labels { th { (label) } } } }
            tbody {
                @for (label, row) in figures.labels.iter().zip(&figures.confusion) {
                    @let sum = row.iter().sum::<usize>().max(1) as f64;
                    tr {
                        td { (label) }
                        @for &count in row {
                            td style=(format!("background:rgba(var(--cell),{:.2})", 0.75 * count as f64 / sum)) { (count) }
                        }
                    }
                }
            }
        } }
    }
}

/// The wrong answers that the model was most sure of.
pub fn mistakes(report: &Evaluation<'_>) -> Markup {
    let classes = &report.figures.labels;
    let rows = report.answers.probabilities.chunks_exact(classes.len());
    let mut wrong: Vec<(usize, usize, usize, f32)> = rows
        .zip(&report.answers.labels)
        .zip(&report.answers.images)
        .map(|((row, &label), &image)| (image, label as usize, argmax(row), row[argmax(row)]))
        .filter(|(_, label, answer, _)| label != answer)
        .collect();
    wrong.sort_by(|a, b| b.3.total_cmp(&a.3).then(a.0.cmp(&b.0)));
    wrong.truncate(MISTAKES);
    html! {
        @if wrong.is_empty() { p { "There are none." } }
        div.faces {
            @for (image, label, answer, confidence) in wrong {
                figure {
                    @if let Some(source) = data_url(report, image) {
                        img src=(source) alt=(format!("image {}", report.dataset.ids[image]));
                    }
                    figcaption {
                        b { (classes[answer]) } " " (percent(f64::from(confidence))) " %" br;
                        "true: " (classes[label]) br;
                        span.soft { (short(&report.dataset.ids[image])) }
                    }
                }
            }
        }
    }
}

/// The end of a long path.
fn short(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// An image of the data set as a PNG inside a URL.
fn data_url(report: &Evaluation<'_>, index: usize) -> Option<String> {
    let dataset = report.dataset;
    image_url(dataset.image(index), [dataset.height, dataset.width, dataset.channels])
}

/// An image `[H, W, C]` as a PNG inside a URL.
pub fn image_url(image: &[u8], [height, width, channels]: [usize; 3]) -> Option<String> {
    let colour = if channels == 1 { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::write_image(encoder, image, width as u32, height as u32, colour).ok()?;
    Some(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png)))
}
