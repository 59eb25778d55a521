//! `moue evaluate`.

use super::{accuracy_text, open_model, open_source, print, table};
use crate::UsageError;
use crate::args::{Common, EvaluateArgs};
use crate::progress::Progress;
use anyhow::Context;
use moue::data::{DataOptions, ImageForm};
use moue::evaluate::{self, Figures};
use moue::model::{Model, write_atomically};
use moue::report;
use moue::train::DataSource;
use serde_json::json;
use std::process::ExitCode;

pub fn run(args: &EvaluateArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let mut model = open_model(args.model.as_deref())?;
    let source = source(args, &model)?;
    // The split that was set aside in training is set aside again.
    let options = DataOptions {
        validation_fraction: if model.provenance.validation_fraction > 0.0 {
            model.provenance.validation_fraction
        } else {
            DataOptions::default().validation_fraction
        },
        official_split: args.official_split || (source != DataSource::Drawn && model.provenance.official_split),
        ..DataOptions::default()
    };
    let seed = common.seed.unwrap_or(model.provenance.seed);
    let dataset = open_source(&source, ImageForm::of_input(model.architecture.input), &options, seed, common)?;
    let split = dataset.split_named(args.split.as_deref())?;
    let progress = Progress::new(common.quiet, dataset.indices(split).len(), "images/s");
    let answers = evaluate::answer(&mut model, &dataset, split, args.tta, &mut |done| progress.set(done, "evaluating"));
    progress.done();
    let answers = answers?;
    let figures = evaluate::figures(&model.classes, &answers.labels, &answers.probabilities);
    let model_name = args.model.as_ref().map(|path| path.display().to_string());
    let data_name = match &source {
        DataSource::Drawn => "drawn".to_owned(),
        DataSource::Given(path) => path.display().to_string(),
    };
    let mut document = json!({"model": model_name, "data": data_name, "split": split, "tta": args.tta});
    document["source_split"] = json!(dataset.split_names[split as usize]);
    if let (Some(all), Ok(serde_json::Value::Object(figures))) =
        (document.as_object_mut(), serde_json::to_value(&figures))
    {
        all.extend(figures);
    }
    if let Some(folder) = &args.report {
        let page = report::evaluation(&report::Evaluation {
            title: &format!("{} on {}", model.architecture.name, source),
            figures: &figures,
            answers: &answers,
            dataset: &dataset,
            split: &dataset.describe(split),
            tta: args.tta,
        });
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(folder)
                .and_then(|()| write_atomically(&path, text.as_bytes()))
                .with_context(|| format!("cannot write {}", path.display()))
        };
        write("report.html", &page)?;
        write("evaluation.json", &format!("{document}\n"))?;
        if !common.quiet {
            eprintln!("report: {}", folder.join("report.html").display());
        }
    }
    if common.json {
        print(&format!("{document}\n"))?;
    } else {
        let tta = if args.tta { ", each image with its mirror image" } else { "" };
        print(&format!("split {}{tta}\n{}", dataset.describe(split), text(&figures)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn source(args: &EvaluateArgs, model: &Model) -> anyhow::Result<DataSource> {
    match &args.data {
        Some(path) => Ok(DataSource::Given(path.clone())),
        None if model.provenance.data == "drawn" => Ok(DataSource::Drawn),
        None => {
            Err(UsageError("this model was not trained on drawn faces: say with --data what to judge it on".into())
                .into())
        }
    }
}

fn text(figures: &Figures) -> String {
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    let mut classes = vec![["", "precision", "recall", "f1", "support"].map(str::to_owned).to_vec()];
    for class in &figures.per_class {
        classes.push(vec![
            class.label.clone(),
            percent(class.precision),
            percent(class.recall),
            percent(class.f1),
            class.support.to_string(),
        ]);
    }
    let mut confusion =
        vec![std::iter::once("true \\ answer".to_owned()).chain(figures.labels.iter().cloned()).collect::<Vec<_>>()];
    for (label, row) in figures.labels.iter().zip(&figures.confusion) {
        confusion.push(std::iter::once(label.clone()).chain(row.iter().map(ToString::to_string)).collect());
    }
    format!(
        "accuracy {}\nmacro F1 {:.3}   NLL {:.3}   ECE {:.3} (15 bins)\n\n{}\n{}",
        accuracy_text(figures),
        figures.macro_f1,
        figures.nll,
        figures.ece,
        table(&classes),
        table(&confusion)
    )
}
