//! The preview as a self-contained HTML page.

use super::{Preview, described};
use crate::report::page;
use maud::{Markup, html};
use moue::render::image_url;

/// The preview as an HTML page.
#[must_use]
pub fn html(preview: &Preview<'_>) -> String {
    let statistics = &preview.statistics;
    let [height, width, _] = statistics.shape;
    page::page(
        &preview.title,
        &html! {
            h1 { (preview.title) }
            p {
                (statistics.images) " images of " (height) "×" (width) ", " (statistics.blank) " of them blank. "
                (statistics.near_duplicates.images) " are near-duplicates of an earlier image, "
                (statistics.duplicates.images) " of them exact duplicates."
            }
            h2 { "Samples and mean image of each class" }
            @for ((class, samples), mean) in preview.dataset.classes.iter().zip(&preview.samples).zip(&preview.means) {
                h3 { (class) }
                div.strip {
                    @for &index in samples {
                        (picture(preview, preview.dataset.image(index), &preview.dataset.ids[index]))
                    }
                    (picture(preview, mean, &format!("mean of {class}")))
                }
            }
            p.soft { "The last image of each row is the mean of the class's training images." }
            h2 { "Images by class and split" }
            (counts(preview))
            h2 { "Augmented versions of one image" }
            p { "Augmentation: " (described(preview.augmentation)) "." }
            div.strip {
                @for (number, image) in preview.versions.iter().enumerate() {
                    (picture(preview, image, if number == 0 { "original" } else { "augmented" }))
                }
            }
            @if !preview.changes.is_empty() {
                h3 { "Robust changes at both ends of their ranges" }
                div.faces {
                    @for (name, image) in &preview.changes {
                        figure { (picture(preview, image, name)) figcaption { (name) } }
                    }
                }
            }
        },
    )
}

fn picture(preview: &Preview<'_>, image: &[u8], text: &str) -> Markup {
    html! {
        @if let Some(url) = image_url(image, preview.statistics.shape) {
            img src=(url) alt=(text) title=(text);
        }
    }
}

fn counts(preview: &Preview<'_>) -> Markup {
    let splits = &preview.statistics.splits;
    let most = splits.iter().flat_map(|split| &split.per_class).copied().max().unwrap_or(0).max(1);
    html! {
        div.scroll { table {
            thead { tr { th { "class" } @for split in splits {
                th { (split.split.name()) @if let Some(own) = &split.source_name { " (" (own) ")" } } th {}
            } } }
            tbody {
                @for (class, label) in preview.dataset.classes.iter().enumerate() {
                    tr {
                        td { (label) }
                        @for (number, split) in splits.iter().enumerate() {
                            @let count = split.per_class[class];
                            td { (count) }
                            td.text { span class={ "gap c" (number) } style=(format!("width:{:.2}rem", 7.0 * count as f64 / most as f64)) {} }
                        }
                    }
                }
                tr { td { b { "all" } } @for split in splits { td { b { (split.images) } } td {} } }
            }
        } }
    }
}
