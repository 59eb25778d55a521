//! Tables of classes: their metrics, and the confusion matrix.

use super::page::{self, percent};
use crate::evaluate::Metrics;
use maud::{Markup, html};

/// Table of precision, recall, F1 and support.
pub fn per_class(metrics: &Metrics) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "class" } th { "precision %" } th { "recall %" } th { "F1 %" } th { "support" } } }
            tbody {
                @for (number, class) in metrics.per_class.iter().enumerate() {
                    tr {
                        td { span class={ "key " (page::color(number)) } {} (class.label) } td { (percent(class.precision)) } td { (percent(class.recall)) }
                        td { (percent(class.f1)) } td { (class.support) }
                    }
                }
            }
        } }
    }
}

/// The confusion matrix, shaded by the share of the row.
pub fn confusion(metrics: &Metrics) -> Markup {
    matrix(metrics, &|_, _, count| html! { (count) })
}

/// A confusion matrix whose cells `cell` makes of the number of the label, that of the predicted class, and the count.
pub fn matrix(metrics: &Metrics, cell: &dyn Fn(usize, usize, usize) -> Markup) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "true \\ predicted" } @for label in &metrics.labels { th { (label) } } } }
            tbody {
                @for (label, (name, row)) in metrics.labels.iter().zip(&metrics.confusion).enumerate() {
                    @let sum = row.iter().sum::<usize>().max(1) as f64;
                    tr {
                        td { (name) }
                        @for (predicted, &count) in row.iter().enumerate() {
                            td style=(format!("background:rgba(var(--cell),{:.2})", 0.75 * count as f64 / sum)) {
                                (cell(label, predicted, count))
                            }
                        }
                    }
                }
            }
        } }
    }
}
