//! The live page of runs. A service provides it with the documents that its script fetches each second; as a file, it
//! contains them.

use super::page::{data_element, page};
use maud::{PreEscaped, html};
use serde_json::{Value, json};

/// The script of the page. A service provides it as `page.js` next to the page.
pub const LIVE_SCRIPT: &str = include_str!("page.js");

const STYLE: &str = include_str!("style.css");

/// The live page. Without `runs`, it fetches `runs.json` (`{"ended": false, "runs": […]}`) and `runs/NUMBER.json`, the
/// validation of a run, and in the end `end.json`; otherwise it contains them: `runs` has each run with its `validation`.
#[must_use]
pub fn live(title: &str, runs: Option<&[Value]>) -> String {
    let data = runs.map_or(Value::Null, |runs| json!({"runs": runs}));
    page(
        title,
        &html! {
            style { (PreEscaped(STYLE)) }
            h1 { (title) }
            p #state role="status" { noscript { "This page needs JavaScript." } }
            div.scroll.runs { table #runs hidden {
                thead { tr { th { "run" } th { "epochs" } th { "last %" } th { "best %" } th { "images/s" } } }
                tbody {}
            } }
            div #curves.charts {}
            p #about.soft hidden {
                "Solid: the validation split after each epoch. Dashed: the training images, a mean over the epoch's steps, with "
                "augmentation, dropout and label smoothing, if any. Best: the highest validation accuracy, and its epoch."
            }
            section #last hidden {
                h2 #heading {}
                p #choose hidden { label { "Run " select #which {} } }
                div.scroll { table #confusion {} }
                h2 { "Predictions for images of the split" }
                div #samples.faces {}
            }
            (data_element(&data))
            @if runs.is_some() { script { (PreEscaped(LIVE_SCRIPT)) } } @else { script src="page.js" {} }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_end_the_script() {
        let run = json!({"name": "</script><b>", "history": []});
        let page = live("<runs>", Some(&[run]));
        assert!(!page.contains("</script><b>") && page.contains("\\u003c/script>"), "{page}");
        assert!(page.contains("<title>&lt;runs&gt;</title>") && page.contains("\"use strict\""));
        let served = live("runs", None);
        assert!(served.contains("src=\"page.js\"") && !served.contains("\"use strict\""));
    }
}
