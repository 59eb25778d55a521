//! `moue evaluate`.

use super::{accuracy_text, open_source, print, table};
use crate::UsageError;
use crate::args::{Common, EvaluateArgs};
use crate::progress::Progress;
use anyhow::Context;
use moue::Isa;
use moue::bench::latency_ms;
use moue::data::{DataOptions, Dataset, ImageForm, Split};
use moue::evaluate::{self, Answers, CrossFitted, Figures, corruptions};
use moue::model::{Model, stored, write_atomically};
use moue::report::{self, Card, Evaluation, Other, percent, points};
use moue::train::DataSource;
use std::path::Path;
use std::process::ExitCode;

pub fn run(args: &EvaluateArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let model = Model::open(&args.model)?;
    let source = source(args, &model)?;
    let mut judge = Judge { args, common, source, model };
    let dataset = judge.data_for(judge.model.architecture.input)?;
    let split = dataset.split_named(args.split.as_deref())?;
    let judged = judge.judged(&dataset, split, args.tta)?;
    let others = judge.others(&dataset, split, &judged.answers)?;
    let corruptions = judge.corruptions(&dataset, split, &judged.answers)?;
    let evaluation = Evaluation {
        title: &format!("{} on {}", judge.model.architecture.name, judge.source),
        model: &judge.model,
        figures: &judged.figures,
        fitted: &judged.fitted,
        answers: &judged.answers,
        dataset: &dataset,
        split: &dataset.describe(split),
        selection: split == Split::Validation,
        tta: args.tta,
        others: &others,
        corruptions: &corruptions,
    };
    let document = evaluation.document(&args.model, &judge.source, split);
    if let Some(folder) = &args.report {
        write(&folder.join("report.html"), &report::evaluation(&evaluation))?;
        write(&folder.join("evaluation.json"), &format!("{document}\n"))?;
        if !common.quiet {
            eprintln!("report: {}", folder.join("report.html").display());
        }
    }
    if common.json {
        print(&format!("{document}\n"))?;
    } else {
        print(&text(&evaluation))?;
    }
    if let Some(path) = &args.card {
        judge.write_card(path, &dataset, split, &judged, &others, &corruptions)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a model answers, and what comes of it.
struct Judged {
    answers: Answers,
    figures: Figures,
    fitted: CrossFitted,
}

/// The model that is judged, and what on.
struct Judge<'a> {
    args: &'a EvaluateArgs,
    common: &'a Common,
    source: DataSource,
    model: Model,
}

impl Judge<'_> {
    /// The data in the form that a network takes.
    fn data_for(&self, input: [usize; 3]) -> anyhow::Result<Dataset> {
        let provenance = &self.model.provenance;
        let given = self.source != DataSource::Drawn;
        let mut options = DataOptions::as_trained(provenance, given);
        options.official_split |= self.args.official_split;
        let seed = self.common.seed.unwrap_or(provenance.seed);
        Ok(open_source(&self.source, ImageForm::of_input(input), &options, seed, self.common)?)
    }

    fn judged(&mut self, dataset: &Dataset, split: Split, tta: bool) -> anyhow::Result<Judged> {
        let answers = answer(&mut self.model, dataset, split, tta, self.common)?;
        let (classes, labels, probabilities) = (&self.model.classes, &answers.labels, &answers.probabilities);
        Ok(Judged {
            figures: evaluate::figures(classes, labels, probabilities),
            fitted: evaluate::cross_fit(&self.model, &answers),
            answers,
        })
    }

    /// The models of `--compare` on the same images.
    fn others(&self, dataset: &Dataset, split: Split, answers: &Answers) -> anyhow::Result<Vec<Other>> {
        let mut others = Vec::new();
        for path in &self.args.compare {
            let mut model = Model::open(path)?;
            let own_form = [dataset.height, dataset.width, dataset.channels] != model.architecture.input;
            let own_data = own_form.then(|| self.data_for(model.architecture.input)).transpose()?;
            let other = answer(&mut model, own_data.as_ref().unwrap_or(dataset), split, self.args.tta, self.common)
                .with_context(|| format!("cannot compare with {}", path.display()))?;
            let paired = evaluate::compare(answers, &other)
                .with_context(|| format!("{} did not answer for the same images", path.display()))?;
            others.push(Other {
                model: path.display().to_string(),
                parameters: model.parameters(),
                figures: evaluate::figures(&model.classes, &other.labels, &other.probabilities),
                paired,
            });
        }
        Ok(others)
    }

    fn corruptions(
        &mut self,
        dataset: &Dataset,
        split: Split,
        clean: &Answers,
    ) -> anyhow::Result<Vec<corruptions::Row>> {
        if !self.args.corruptions {
            return Ok(Vec::new());
        }
        let count = corruptions::ALL.as_flattened().len() * clean.images.len();
        let progress = Progress::new(self.common.quiet, count, "images/s");
        let rows = corruptions::table(&mut self.model, dataset, split, self.args.tta, clean, &mut |done| {
            progress.set(done, "on worse pictures");
        });
        progress.done();
        Ok(rows?)
    }

    fn write_card(
        &mut self,
        path: &Path,
        dataset: &Dataset,
        split: Split,
        judged: &Judged,
        others: &[Other],
        corruptions: &[corruptions::Row],
    ) -> anyhow::Result<()> {
        // With and without mirror images: one of the two is there already.
        let counterpart = self.judged(dataset, split, !self.args.tta)?;
        let (plain, mirrored) = if self.args.tta { (&counterpart, judged) } else { (judged, &counterpart) };
        let latency_ms = latency_ms(&mut self.model);
        let model = &self.model;
        let card = report::card(&Card {
            evaluation: Evaluation {
                title: &model.architecture.name,
                model,
                figures: &plain.figures,
                fitted: &plain.fitted,
                answers: &plain.answers,
                dataset,
                split: &dataset.describe(split),
                selection: split == Split::Validation,
                tta: false,
                others,
                corruptions,
            },
            mirrored: &mirrored.figures,
            recipes: self.args.recipes,
            bytes: stored(&self.args.model)?.len(),
            macs: model.macs(),
            latency_ms,
            machine: &format!("{} threads, {}", rayon::current_num_threads(), Isa::in_use().name()),
        });
        write(path, &card)?;
        if !self.common.quiet {
            eprintln!("card: {}", path.display());
        }
        Ok(())
    }
}

fn answer(model: &mut Model, dataset: &Dataset, split: Split, tta: bool, common: &Common) -> anyhow::Result<Answers> {
    let progress = Progress::new(common.quiet, dataset.indices(split).len(), "images/s");
    let answers = evaluate::answer(model, dataset, split, tta, &mut |done| progress.set(done, "evaluating"));
    progress.done();
    Ok(answers?)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| write_atomically(path, text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
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

fn text(evaluation: &Evaluation<'_>) -> String {
    let figures = evaluation.figures;
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
        "split {}{}{}\naccuracy {}\nmacro F1 {:.3}   NLL {:.3}   ECE {:.3} (15 bins)\n\n{}\n{}{}{}",
        evaluation.split,
        if evaluation.selection { " (selection split, optimistic)" } else { "" },
        if evaluation.tta { ", each image with its mirror image" } else { "" },
        accuracy_text(figures),
        figures.macro_f1,
        figures.nll,
        figures.ece,
        table(&classes),
        table(&confusion),
        others_text(evaluation),
        corruptions_text(evaluation.corruptions)
    )
}

fn others_text(evaluation: &Evaluation<'_>) -> String {
    if evaluation.others.is_empty() {
        return String::new();
    }
    let line = |name: &str, figures: &Figures, rest: [String; 4]| {
        let mut cells = vec![name.to_owned(), percent(figures.accuracy), format!("{:.3}", figures.macro_f1)];
        cells.extend(rest);
        cells
    };
    let head = ["model", "accuracy", "macro F1", "difference", "95 % interval", "only first/this right", "p"];
    let mut rows = vec![
        head.map(str::to_owned).to_vec(),
        line(&evaluation.model.architecture.name, evaluation.figures, Default::default()),
    ];
    for other in evaluation.others {
        let paired = &other.paired;
        let [low, high] = paired.difference_ci95.map(|bound| points(-bound));
        rows.push(line(
            &other.model,
            &other.figures,
            [
                points(-paired.difference),
                format!("{high} to {low}"),
                format!("{} / {}", paired.only_first, paired.only_second),
                format!("{:.3}", paired.p_value),
            ],
        ));
    }
    format!("\n{}p by McNemar's exact test; differences in points, to the first model\n", table(&rows))
}

fn corruptions_text(rows: &[corruptions::Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut cells = vec![["", "", "accuracy", "lost"].map(str::to_owned).to_vec()];
    for row in rows {
        cells.push(vec![row.corruption.to_owned(), row.strength.clone(), percent(row.accuracy), percent(row.loss)]);
    }
    format!("\n{}", table(&cells))
}
