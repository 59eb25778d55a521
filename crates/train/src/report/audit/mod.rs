//! The page of an audit: galleries of the images with issues, in which a person decides on them.
//!
//! The page contains a table of its items and thumbnails on sheets; its script draws the visible part only.

use super::page::{data_element, page, percent};
use super::sheet;
use crate::audit::{Audit, AuditDocument, Kind};
use crate::data::{Dataset, FixAction, Split};
use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The folder of the thumbnails next to a page.
pub const ASSETS: &str = "audit-assets";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// The page and the files next to it, by their paths in the folder of the audit. The page comes last.
#[must_use]
pub fn audit(audit: &Audit, dataset: &Dataset) -> Vec<(String, Vec<u8>)> {
    let (galleries, order) = galleries(audit, dataset);
    let images: Vec<usize> = order.iter().map(|(_, image)| *image).collect();
    let (names, mut files) = sheet::placed(dataset, &images, ASSETS, dataset.len() < sheet::MANY);
    let data = json!({
        "key": crate::audit::key_name(dataset),
        "classes": dataset.classes(),
        "splits": Split::ALL.map(|split| dataset.describe(split)),
        "kinds": Kind::ALL.map(Kind::title),
        "galleries": galleries,
        "items": order.iter().map(|&(gallery, image)| item(audit, dataset, gallery, image)).collect::<Vec<_>>(),
        "sheets": names,
        "side": sheet::side(dataset),
        "columns": sheet::ACROSS,
        "name": identity(audit, dataset),
        "fixes": dataset.fixes().map(|own| own.fixes.iter().map(|fix| json!([fix.key, fix.action, fix.label])).collect::<Vec<_>>()).unwrap_or_default(),
    });
    files.push(("audit.html".to_owned(), document(audit, dataset, &galleries, &data).into_bytes()));
    files
}

/// The names of the galleries, and each image with the number of its gallery: pairs of classes, the largest first, then
/// the other kinds of issues; in a gallery the worst first.
fn galleries(audit: &Audit, dataset: &Dataset) -> (Vec<String>, Vec<(usize, usize)>) {
    let mut names: Vec<String> =
        audit.document.pairs.iter().map(|pair| format!("{} → {}", pair.given, pair.suggested)).collect();
    let pairs = names.len();
    names.extend(Kind::ALL[1..].iter().map(|kind| kind.title()));
    let class = |class: usize| dataset.classes()[class].as_str();
    let mut order: Vec<(usize, usize)> = audit
        .order
        .iter()
        .map(|&image| {
            let own = &audit.images[image];
            let kind = own.issues.first().map_or(Kind::Label, |(kind, _)| *kind);
            let gallery = match (kind, own.suggested) {
                (Kind::Label, Some(suggested)) => {
                    let given = class(dataset.labels()[image] as usize);
                    let of_pair =
                        |pair: &crate::audit::NoisePair| pair.given == given && pair.suggested == class(suggested);
                    audit.document.pairs.iter().position(of_pair).unwrap_or(0)
                }
                (kind, _) => pairs + Kind::ALL[1..].iter().position(|own| *own == kind).unwrap_or(0),
            };
            (gallery, image)
        })
        .collect();
    // The order within a gallery is kept.
    order.sort_by_key(|(gallery, _)| *gallery);
    (names, order)
}

/// One image, in the order in which the script reads the fields.
fn item(audit: &Audit, dataset: &Dataset, gallery: usize, image: usize) -> Value {
    let own = &audit.images[image];
    let kinds = own.issues.iter().fold(0u32, |mask, (kind, _)| mask | 1 << (*kind as u32));
    let id = &dataset.ids()[image];
    let mark = dataset.fixes().and_then(|fixes| {
        let (row, before) = fixes.by_id.get(id)?;
        let action = if fixes.fixes[*row].action == FixAction::Relabel { "relabel" } else { "keep" };
        Some(json!([action, before]))
    });
    let rounded = |value: f32| (f64::from(value) * 1e4).round() / 1e4;
    json!([
        id,
        dataset.splits()[image] as usize,
        dataset.labels()[image],
        own.suggested.map_or(-1, |class| class as i64),
        rounded(own.score()),
        kinds,
        own.self_confidence.map(rounded),
        gallery,
        mark,
    ])
}

/// Identifies the data, so that decisions about other data are kept apart.
fn identity(audit: &Audit, dataset: &Dataset) -> String {
    let hash = base16ct::lower::encode_string(&Sha256::digest(dataset.hash())[..6]);
    format!("{} {hash}", audit.document.data)
}

fn document(audit: &Audit, dataset: &Dataset, galleries: &[String], data: &Value) -> String {
    let found = &audit.document;
    let title = format!("Audit of {}", found.data);
    page(
        &title,
        &html! {
            style { (PreEscaped(sheet::STYLE)) (PreEscaped(STYLE)) }
            h1 { (title) }
            (summary(found, dataset))
            (tables(found))
            (toolbar(found, dataset, galleries))
            div #gallery.gallery tabindex="0" role="listbox" aria-label="Images with issues" {}
            (detail(dataset))
            (data_element(data))
            script { (PreEscaped(sheet::SCRIPT)) (PreEscaped(SCRIPT)) }
        },
    )
}

fn share(value: f64, [low, high]: [f64; 2]) -> Markup {
    html! { (percent(value)) " % (95 % interval " (percent(low)) "–" (percent(high)) " %)" }
}

fn summary(found: &AuditDocument, dataset: &Dataset) -> Markup {
    html! {
        p.big { (found.label_issues) " of " (found.audited) " labels" }
        p {
            "are probably wrong (" (found.split) "). " (found.images_with_issues) " of " (found.images) " images have an issue. "
            "Estimated share of wrong labels: " (share(found.noise, found.noise_ci95)) ". "
            @match (found.folds, found.epochs) {
                (Some(folds), Some(epochs)) => {
                    "Each image was predicted by a network (" (found.model) ", " (epochs) " epochs) that was trained on the other "
                    (folds - 1) " of " (folds) " folds"
                }
                _ => { "The images were predicted by " (found.model) }
            }
            "; " (share(found.agreement, found.agreement_ci95)) " of the predictions are the label."
        }
        @if let Some(overlap) = found.training_overlap.filter(|overlap| *overlap > 0) {
            p { b { "The model was trained on " (overlap) " of these images." } " It reproduces their labels, so that many issues are missed." }
        }
        @if let Some(fixes) = dataset.fixes() {
            p { "Fixes are applied already: " (fixes.relabeled) " labels changed, " (fixes.dropped) " images left out. Exported fixes include them." }
        }
    }
}

fn tables(found: &AuditDocument) -> Markup {
    html! {
        details {
            summary { "Noise by class, and by pair of classes" }
            div.scroll { table {
                thead { tr { th { "label" } th { "images" } th { "issues" } th { "wrong %" } th { "95 % interval" } } }
                tbody { @for class in &found.classes { tr {
                    td { (class.label) } td { (class.images) } td { (class.issues) } td { (percent(class.noise)) }
                    td { (class.noise_ci95.map(percent).join("–")) }
                } } }
            } }
            div.scroll { table {
                thead { tr { th { "label" } th { "probably" } th { "issues" } th { "estimated" } th { "% of the label" } th { "95 % interval" } } }
                tbody { @for pair in &found.pairs { tr {
                    td { (pair.given) } td { (pair.suggested) } td { (pair.issues) } td { (format!("{:.0}", pair.estimated)) }
                    td { (percent(pair.share)) } td { (pair.share_ci95.map(percent).join("–")) }
                } } }
            } }
            p.soft {
                "Confident learning (Northcutt et al. 2021). An image is an issue if a class other than its label has at least the mean probability "
                "that this class has among its own images. Intervals cover the sampling of images, not errors of the network: a class "
                "that the network confuses with another looks noisy."
            }
        }
        @if !found.conflicts.is_empty() || !found.leaks.is_empty() {
            p {
                "Of " (found.duplicate_groups) " groups of near-duplicates, " (found.conflicts.len()) " have different labels and "
                (found.leaks.len()) " are in the training split and another one; audit.json lists them."
            }
        }
    }
}

fn toolbar(found: &AuditDocument, dataset: &Dataset, galleries: &[String]) -> Markup {
    let pairs = found.pairs.len();
    html! {
        p.soft {
            "Arrow keys choose an image. " kbd { "K" } " keeps its label, " kbd { "R" } " relabels it as suggested, "
            @for (number, class) in dataset.classes().iter().enumerate().take(9) { kbd { (number + 1) } " " (class) ", " }
            kbd { "D" } " drops it, " kbd { "U" } " undoes. Decisions stay in this browser; export them as fixes.csv and pass it to "
            code { "--fixes" } "."
        }
        div #bar.bar role="toolbar" aria-label="Filters" {
            select #pair aria-label="Gallery" {
                option value="" { "all galleries" }
                @for (number, name) in galleries.iter().enumerate() {
                    @let count = match number.checked_sub(pairs) {
                        None => found.pairs[number].issues,
                        Some(kind) => found.issues.get(kind + 1).map_or(0, |count| count.images),
                    };
                    @if count > 0 { option value=(number) { (name) } }
                }
            }
            select #kind aria-label="Kind of issue" {
                option value="" { "all issues" }
                @for (number, count) in found.issues.iter().enumerate().filter(|(_, count)| count.images > 0) {
                    option value=(number) { (count.kind.title()) " (" (count.images) ")" }
                }
            }
            select #split aria-label="Split" {
                option value="" { "all splits" }
                @for split in Split::ALL.into_iter().filter(|split| dataset.splits().contains(split)) {
                    option value=(split as usize) { (dataset.describe(split)) }
                }
            }
            select #state aria-label="Decision" {
                option value="" { "all decisions" }
                @for (value, name) in [("none", "undecided"), ("keep", "kept"), ("relabel", "relabeled"), ("drop", "dropped")] {
                    option value=(value) { (name) }
                }
            }
            input #search type="search" placeholder="row or file" aria-label="Row or file";
            span #count.count aria-live="polite" {}
            button #export.main { "Export fixes.csv" }
        }
    }
}

fn detail(dataset: &Dataset) -> Markup {
    html! {
        div #detail.detail role="toolbar" aria-label="Chosen image" {
            span #about.about aria-live="polite" {}
            button #keep { "Keep" }
            select #label aria-label="New label" {
                @for (number, class) in dataset.classes().iter().enumerate() { option value=(number) { (class) } }
            }
            button #relabel { "Relabel" }
            button #drop { "Drop" }
            button #undo { "Undo" }
        }
    }
}
