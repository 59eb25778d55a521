//! The page template: style sheet, title and footer.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use moue::render::CLASS_COLORS;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c1c1f; --soft: #6a6a72; --line: #d9d9de; --paper: #fff; --a: #2f6fde; --b: #d9622b; --cell: 47,111,222; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --soft: #a0a0aa; --line: #3c3c44; --paper: #16161a; --a: #7aa7ff; --b: #ff9a66; --cell: 122,167,255; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 980px; margin: 2rem auto; padding: 0 1rem; }
h1, .big { overflow-wrap: anywhere; } h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.big { font-size: 2.4rem; font-weight: 650; margin: .2rem 0; } .soft, footer { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; } th:first-child, td:first-child { text-align: left; white-space: nowrap; }
thead th { border-bottom: 1px solid var(--line); font-weight: 600; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } svg { width: 460px; max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg .title { font-weight: 600; } svg .tick { fill: var(--soft); }
.grid { stroke: var(--line); } .mark { stroke: var(--soft); stroke-dasharray: 3 3; } .ideal { stroke: var(--ink); stroke-dasharray: 5 4; }
.curve { fill: none; stroke-width: 2; } .band { fill: var(--c); opacity: .18; } .bar { fill: var(--a); } .a { --c: var(--a); } .b { --c: var(--b); }
svg.wide { width: 960px; min-width: 680px; } .dashed { stroke-dasharray: 4 4; stroke-width: 1.2; opacity: .75; } th.text, td.text { text-align: left; white-space: nowrap; }
.key, .gap { display: inline-block; height: .75rem; background: currentColor; vertical-align: middle; } .key { width: .75rem; margin-right: .5rem; }
.curve { stroke: var(--c); } .dot, svg text.name { fill: var(--c); } .key, .gap { color: var(--c); }
.gray { --c: color-mix(in srgb, var(--soft) 45%, var(--paper)); } .trial { fill: none; stroke: color-mix(in srgb, var(--a) var(--share), var(--line)); stroke-width: 1.4; } .trial.stopped { opacity: .6; } .trial.best { stroke: var(--b); stroke-width: 3; } .axis { stroke: var(--soft); } .parallel .tick { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.strip { display: flex; flex-wrap: wrap; gap: .4rem; } .strip img { width: 64px; height: 64px; object-fit: contain; image-rendering: pixelated; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; } .small { font-size: .85rem; font-weight: 400; }
.experiments { font-size: .9rem; } .experiments td:first-child { white-space: normal; min-width: 11rem; } .experiments .small { white-space: nowrap; } .experiments td:first-child .small { white-space: normal; } .experiments th, .experiments td { padding: .3rem .4rem; vertical-align: top; }
@media (max-width: 640px) {
.experiments thead { display: none; } .experiments, .experiments tbody, .experiments tr, .experiments td { display: block; }
.experiments tr { padding: .6rem 0; border-bottom: 1px solid var(--line); } .experiments td { text-align: right; padding: .1rem 0; }
.experiments td:first-child { text-align: left; font-weight: 600; } .experiments td:empty { display: none; } .experiments td[data-name]::before { content: attr(data-name); float: left; color: var(--soft); }
}
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(108px, 1fr)); gap: .8rem; }
figure { margin: 0; font-size: .8rem; line-height: 1.25; } figure img { width: 96px; height: 96px; object-fit: contain; image-rendering: pixelated; display: block; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); font-size: .8rem; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; font-size: .85rem; }
";

/// A page with the style sheet and the footer.
pub fn page(title: &str, body: &Markup) -> String {
    let footed = html! {
        (body)
        footer {
            "An expression is an appearance: it does not determine what a person feels. The EU AI Act bans "
            "inferring emotions at work and in education. Made by moue " (env!("CARGO_PKG_VERSION")) "."
        }
    };
    document(title, &html! { style { (PreEscaped(STYLE)) (PreEscaped(colors())) } }, &footed)
}

/// The style of `c0`, `c1`, …: the colors of classes, and of experiments.
fn colors() -> String {
    let rule = |(number, [r, g, b]): (usize, &[u8; 3])| format!(".c{number} {{ --c: rgb({r} {g} {b}); }}\n");
    CLASS_COLORS.iter().enumerate().map(rule).collect()
}

/// The CSS class of the color of a class or of an experiment.
#[must_use]
pub fn color(number: usize) -> String {
    format!("c{}", number % CLASS_COLORS.len())
}

/// An HTML document with its title, style and body.
#[must_use]
pub fn document(title: &str, style: &Markup, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                (style)
            }
            body { (body) }
        }
    }
    .into_string()
}

/// The data of a page for its script.
#[must_use]
pub fn data_element(data: &serde_json::Value) -> Markup {
    // A script element ends at `</`.
    let data = data.to_string().replace('<', "\\u003c");
    html! { script #data type="application/json" { (PreEscaped(data)) } }
}

/// A share in percent, without the percent sign.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}
