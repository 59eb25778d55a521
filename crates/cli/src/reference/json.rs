//! The page of JSON and CSV output, and the JSON Schemas.

use super::markdown::{anchor, code, table};
use super::schema::{output, rows, string};
use crate::commands::arch::{ListedPreset, ShownNetwork};
use crate::commands::bench::BenchDocument;
use crate::commands::data::{SimilarImages, WrittenCuts, WrittenFaces, WrittenPreview, WrittenTable};
use crate::commands::doctor::Report;
use crate::commands::export::ExportedModel;
use crate::commands::man::WrittenPages;
use crate::commands::predict::output::csv_header;
use crate::commands::serve::{ExportedPage, Listening};
use crate::commands::train::rates::FoundRate;
use crate::commands::watch::{Watching, WrittenPage};
use moue::prediction::Prediction;
use moue::video::FramePrediction;
use moue_train::audit::{AuditDocument, ISSUE_COLUMNS, SCORE_COLUMNS};
use moue_train::comparison::Comparison;
use moue_train::data::statistics::Statistics;
use moue_train::evaluate::EvaluationDocument;
use moue_train::experiment::RunSummary;
use moue_train::train::{EpochRecord, ValidationDocument};
use moue_train::tune::{FIRST, LAST, Tuning};
use moue_train::{comparison, data, train};
use serde_json::{Value, json};

/// A kind of JSON document.
struct Document {
    /// Name of its schema's file.
    name: &'static str,
    title: &'static str,
    about: &'static str,
    schema: Value,
}

impl Document {
    fn new(name: &'static str, title: &'static str, about: &'static str, mut schema: Value) -> Self {
        schema["title"] = json!(title.replace('`', ""));
        Self { name, title, about, schema }
    }
}

fn documents() -> Vec<Document> {
    vec![
        Document::new(
            "train",
            "`moue train`",
            "One document at the end of the training. The fields `figures`, `model`, `report` and `split` are missing if no epoch \
             is finished.",
            output::<RunSummary>(),
        ),
        Document::new(
            "train-find-learning-rate",
            "`moue train --find-learning-rate`",
            "One document.",
            output::<FoundRate<'_>>(),
        ),
        Document::new(
            "watch",
            "`moue watch`",
            "One document on one line, as soon as the page can be opened.",
            output::<Watching>(),
        ),
        Document::new("watch-out", "`moue watch --out`", "One document.", output::<WrittenPage<'_>>()),
        Document::new(
            "compare",
            "`moue compare`",
            "One document at the end; `comparison.json` in the output folder has the same content.",
            output::<Comparison>(),
        ),
        Document::new(
            "tune",
            "`moue tune`",
            "One document at the end; `tune.json` in the output folder has the same content.",
            output::<Tuning>(),
        ),
        Document::new(
            "evaluate",
            "`moue evaluate`",
            "One document; `evaluation.json` in the folder of `--report` has the same content.",
            output::<EvaluationDocument<'_>>(),
        ),
        Document::new(
            "predict",
            "`moue predict`",
            "One document on one line for each image; `--format json` prints the same as `--json`. An input that cannot be \
             read has `error` and no faces.",
            output::<Prediction>(),
        ),
        Document::new(
            "predict-video",
            "`moue predict` with a video or camera",
            "One document on one line for each predicted frame. A video that cannot be read gives a document as for an image, \
             with `error`.",
            output::<FramePrediction>(),
        ),
        Document::new("export", "`moue export`", "One document.", output::<ExportedModel<'_>>()),
        Document::new(
            "serve",
            "`moue serve`",
            "One document on one line, as soon as the service accepts connections. The HTTP API has \
             [a page of its own](http.md).",
            output::<Listening>(),
        ),
        Document::new("serve-export", "`moue serve --export`", "One document.", output::<ExportedPage>()),
        Document::new("data-info", "`moue data info`", "One document.", output::<Statistics>()),
        Document::new(
            "data-audit",
            "`moue data audit`",
            "One document at the end; `audit.json` in the output folder has the same content.",
            output::<AuditDocument>(),
        ),
        Document::new("data-similar", "`moue data similar`", "One document.", output::<SimilarImages<'_>>()),
        Document::new("data-table", "`moue data table`", "One document.", output::<WrittenTable<'_>>()),
        Document::new("data-preview", "`moue data preview`", "One document.", output::<WrittenPreview<'_>>()),
        Document::new("data-faces", "`moue data faces`", "One document.", output::<WrittenCuts<'_>>()),
        Document::new("data-draw", "`moue data draw`", "One document.", output::<WrittenFaces<'_>>()),
        Document::new(
            "arch-list",
            "`moue arch list`",
            "One document: an array with an object for each preset.",
            output::<Vec<ListedPreset>>(),
        ),
        Document::new("arch-show", "`moue arch show`", "One document.", output::<ShownNetwork<'_>>()),
        Document::new("bench", "`moue bench`", "One document.", output::<BenchDocument<'_>>()),
        Document::new("doctor", "`moue doctor`", "One document.", output::<Report>()),
        Document::new("man", "`moue man`", "One document.", output::<WrittenPages<'_>>()),
        Document::new(
            "metrics",
            "`metrics.jsonl` in a run folder",
            "One document on one line for each epoch.",
            output::<EpochRecord>(),
        ),
        Document::new(
            "validation",
            "`validation.json` in a run folder",
            "Predictions of the last epoch for the validation split, which the live page shows.",
            output::<ValidationDocument<'_>>(),
        ),
    ]
}

/// The schemas by the names of their files.
pub fn schemas() -> impl Iterator<Item = (&'static str, Value)> {
    documents().into_iter().map(|document| (document.name, document.schema))
}

pub fn page() -> String {
    let documents = documents();
    let list: Vec<Vec<String>> = documents
        .iter()
        .map(|Document { name, title, .. }| {
            vec![format!("[{title}](#{})", anchor(title)), format!("[{name}.json](schemas/{name}.json)")]
        })
        .collect();
    let mut page = format!(
        "With `--json` a command prints its result as JSON on stdout and nothing else there. `moue completions` and \
        `moue licenses` print text only. Accuracies, probabilities and other shares are numbers from 0 to 1. Later versions \
        may add fields, but do not rename or remove them. A path such as `faces[].box.x` names the field `x` of the object \
        `box` of each object in the array `faces`. The schemas are JSON Schemas (2020-12).\n\n{}",
        table(&["output", "schema"], &list)
    );
    for Document { name, title, about, schema } in &documents {
        let object = if schema["type"] == "array" { super::schema::resolved(&schema["items"], schema) } else { schema };
        page += &format!(
            "## {title}\n\n{about} Schema: [{name}.json](schemas/{name}.json).\n\n{}",
            table(&["field", "type", "description"], &rows(object, schema))
        );
    }
    page + &csv_tables()
}

/// What `moue predict --format csv` prints in the columns of fixed names.
const PREDICTED: [(&str, &str, &str); 13] = [
    ("input", "string", "The name of the input, as given."),
    ("frame", "integer", "Number of the frame, from 0; only if an input is a video, and empty for images."),
    ("time_s", "number", "Time of the frame in seconds, with 3 decimals; only if an input is a video."),
    ("track", "integer", "Number of the tracked face, from 1; only if an input is a video."),
    ("x", "integer", "Left edge of the face in pixels."),
    ("y", "integer", "Upper edge of the face in pixels."),
    ("width", "integer", "Width of the face in pixels."),
    ("height", "integer", "Height of the face in pixels."),
    ("label", "string", "The predicted class."),
    ("confidence", "number", "The probability of the predicted class."),
    ("uncertain", "boolean", "Whether the confidence is below the threshold of the model."),
    ("score", "number", "The score of the face detector; empty without a detector."),
    ("error", "string", "Why the input cannot be read; empty otherwise."),
];

fn csv_tables() -> String {
    let mut text = "## CSV files\n\nThe first line contains the names of the columns.\n\n".to_owned();
    for (title, about, schema) in [
        ("`metrics.csv` in a run folder", "One row for each epoch.", output::<train::CsvRow>()),
        (
            "`comparison.csv`",
            "Written by `moue compare`: one row for each configuration, with means over its seeds.",
            output::<comparison::CsvRow<'_>>(),
        ),
        ("`runs.csv`", "Written by `moue compare`: one row for each training.", output::<comparison::CsvRun<'_>>()),
        (
            "`faces.csv` of `moue data faces`",
            "One row for each face, for each photo without a face, and for each photo that cannot be read.",
            output::<data::faces::FaceRow>(),
        ),
        (
            "The table of `moue data table`",
            "One row for each image; a Parquet file has the same columns.",
            output::<data::table::CsvRow<'_>>(),
        ),
    ] {
        let columns: Vec<Vec<String>> = rows(&schema, &schema)
            .into_iter()
            .map(|row| row.into_iter().map(|cell| cell.replace(" or null", "")).collect())
            .collect();
        assert!(!string(&schema, "type").is_empty());
        text += &format!("### {title}\n\n{about}\n\n{}", table(&["column", "type", "description"], &columns));
    }
    text + &trials_table() + &audit_tables() + &predicted_table()
}

/// What `trials.csv` contains in the columns of fixed names.
const TRIALS: [(&str, &str, &str); 13] = [
    ("trial", "integer", "Number of the trial, from 1."),
    ("bracket", "integer", "Number of the bracket of trials that are compared with each other, from 1."),
    ("state", "string", "`finished`, `stopped` (early), `failed`, or `unfinished` (the budget was used, or Ctrl-C)."),
    ("epochs", "integer", "Number of finished epochs."),
    ("best_epoch", "integer", "The epoch with the best validation accuracy, from 1."),
    (
        "validation_accuracy",
        "number",
        "Validation accuracy at that epoch, 0–1, with 6 decimals like all metrics; optimistic.",
    ),
    ("validation_macro_f1", "number", "Validation macro F1 at that epoch."),
    ("validation_loss", "number", "Validation loss at that epoch."),
    ("train_accuracy", "number", "Training accuracy at that epoch."),
    ("gap", "number", "Training minus validation accuracy."),
    ("parameters", "integer", "Number of parameters of the network."),
    ("macs", "integer", "Multiply-adds for one image."),
    ("error", "string", "Why the training failed; empty otherwise."),
];

/// The columns of trials: those of the parameters of the space are between others of fixed names.
fn trials_table() -> String {
    let row = |name: &str| {
        let known = TRIALS.iter().find(|(column, ..)| *column == name);
        let (name, kind, about) = known.unwrap_or_else(|| panic!("describe the column {name} of trials.csv here"));
        vec![code(name), (*kind).to_owned(), (*about).to_owned()]
    };
    let about = "The value of each parameter of the space, in a column with its name; empty where it is not active.";
    let parameters = vec!["one for each parameter".to_owned(), "string or number".to_owned(), about.to_owned()];
    assert_eq!(FIRST.len() + LAST.len(), TRIALS.len(), "a column that is described here does not exist");
    let columns: Vec<Vec<String>> =
        FIRST.into_iter().map(row).chain([parameters]).chain(LAST.into_iter().map(row)).collect();
    format!(
        "### `trials.csv`\n\nWritten by `moue tune`: one row for each trial. It contains no times, and is equal for any number of \
         workers.\n\n{}",
        table(&["column", "type", "description"], &columns)
    )
}

/// The columns of an audit's tables, whose first one is `row` or `file`.
fn audit_tables() -> String {
    let key = "Row of a table (from 0, the header not counted), or path of an image file.";
    let known = [
        ("split", "string", "Split of the image."),
        ("given", "string", "Its label."),
        (
            "predicted",
            "string",
            "The most probable class, out of fold; empty for images whose labels were not audited.",
        ),
        ("suggested", "string", "The class that the image probably belongs to; empty without a suggestion."),
        ("self_confidence", "number", "Out-of-fold probability of the label, with 6 decimals."),
        (
            "margin",
            "number",
            "Normalized margin, 0–1: probability of the label minus that of the most probable other class, plus 1, halved.",
        ),
        ("distance", "number", "Distance of the features to those of the nearest neighbors; 1 is the median."),
        ("score", "number", "Score of the first kind, 0–1, lower for worse images; the margin of a label issue."),
        ("kinds", "string", "Kinds of issues, separated by semicolons."),
    ];
    let row = |name: &str| {
        let found = known.iter().find(|(column, ..)| *column == name);
        let (name, kind, about) = found.unwrap_or_else(|| panic!("describe the column {name} of audits here"));
        vec![code(name), (*kind).to_owned(), (*about).to_owned()]
    };
    let first = vec!["`row` or `file`".to_owned(), "integer or string".to_owned(), key.to_owned()];
    let rows = |columns: &[&str]| {
        std::iter::once(first.clone()).chain(columns.iter().map(|name| row(name))).collect::<Vec<_>>()
    };
    let mut scores = rows(&SCORE_COLUMNS);
    let about = "Out-of-fold probability of each class, in a column with its name after `p_`.";
    scores.push(vec!["one for each class".to_owned(), "number".to_owned(), about.to_owned()]);
    let head = ["column", "type", "description"];
    format!(
        "### `issues.csv`\n\nWritten by `moue data audit`: one row for each image with an issue, label issues first, worst first.\n\n{}\
         ### `scores.csv`\n\nWritten by `moue data audit`: one row for each image.\n\n{}",
        table(&head, &rows(&ISSUE_COLUMNS)),
        table(&head, &scores)
    )
}

/// The columns of predictions: those of fixed names, with the classes of the model before the last.
fn predicted_table() -> String {
    let class = "CLASS".to_owned();
    let header = csv_header(std::slice::from_ref(&class), true);
    let row = |column: &str| {
        if column == class {
            let about = "The probability of each class, in a column with the name of the class; classes are in alphabetical order.";
            return vec!["one for each class".to_owned(), "number".to_owned(), about.to_owned()];
        }
        let known = PREDICTED.iter().find(|(name, ..)| *name == column);
        let (name, kind, about) =
            known.unwrap_or_else(|| panic!("describe the column {column} of `moue predict` here"));
        vec![code(name), (*kind).to_owned(), (*about).to_owned()]
    };
    assert_eq!(header.len(), PREDICTED.len() + 1, "a column that is described here does not exist");
    let columns: Vec<Vec<String>> = header.into_iter().map(row).collect();
    format!(
        "### `moue predict --format csv`\n\nOne row for each face, for each input without a face, and for each input that cannot be \
         read; in the latter two, the other columns are empty.\n\n{}",
        table(&["column", "type", "description"], &columns)
    )
}
