//! `moue evaluate`.

use super::{
    accuracy_text, precision_line, precision_text, print, print_device, print_notes, print_warning, warn_of_device,
};
use crate::args::{Common, CorruptionChoice, EvaluateArgs, PredictionPrecision, TtaChoice};
use crate::error::UsageError;
use crate::output::file::save;
use crate::output::table::table;
use crate::progress::Progress;
use moue::model::{ModelFileError, stored};
use moue::{Device, Isa, Tta};
use moue_train::bench::latency_ms;
use moue_train::data::split_warnings;
use moue_train::evaluate::{
    AdjustmentPoint, Errors, EvaluateEvent, EvaluateOptions, Evaluation, EvaluationError, EvaluationView, Metrics,
    VoteMetrics, corruptions, evaluate, evaluate_split,
};
use moue_train::report::{self, Card, p_value, percent, points};
use std::path::Path;
use std::process::ExitCode;

pub fn run(args: &EvaluateArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let device = Device::open(args.device.choice)?;
    print_device(&device, &args.device, common);
    let options = EvaluateOptions {
        model: args.model.clone(),
        data: args.data.clone(),
        split: args.split.clone(),
        tta: TtaChoice::resolve(args.tta),
        official_split: args.split_of.official_split,
        as_given: args.split_of.as_given,
        seed: common.seed,
        compare: args.compare.clone(),
        votes: args.votes.clone(),
        fixes: args.fixes.clone(),
        corruptions: args.corruptions.map(CorruptionChoice::resolve),
        precision: args.precision.into(),
        device: device.clone(),
    };
    let mut watcher = Watcher { common, progress: None };
    let evaluated = evaluate(&options, &mut |event| watcher.observe(&event)).map_err(|error| match error {
        EvaluationError::NoData => UsageError(error.to_string()).into(),
        EvaluationError::Model(ModelFileError::NotAModel { .. }) if args.data.is_none() => {
            anyhow::anyhow!("{}; if it is a dataset: --data {}", moue::with_causes(&error), args.model.display())
        }
        other => anyhow::Error::new(other),
    })?;
    let is_auto = args.precision == PredictionPrecision::Auto;
    if let (Some(line), false) = (precision_line(evaluated.classifier.precision(), is_auto), common.quiet) {
        eprintln!("{line}");
    }
    watcher.done();
    let name = &evaluated.classifier.model().architecture().name;
    let (title, split) = (format!("{name} on {}", evaluated.source), evaluated.dataset.describe(evaluated.split));
    let evaluation = evaluated.view(&title, &split);
    let document = evaluation.document(&args.model, &evaluated.source, evaluated.split);
    if let (Some(targets), None, false) =
        (&evaluated.classifier.model().provenance().targets, &args.votes, common.quiet || common.json)
    {
        eprintln!("note: this model was trained on {targets}, not on labels; --votes FILE compares it with votes");
    }
    evaluation.warnings().iter().chain(&evaluated.fixes_warning()).for_each(|warning| print_warning(warning));
    if let Some(folder) = &args.report {
        let errors = Errors::new(&evaluated, &mut |event| watcher.observe(&event));
        for (name, bytes) in report::evaluation(&evaluation, &errors, evaluated.image_votes.as_ref()) {
            save(&folder.join(name), &bytes)?;
        }
        save(&folder.join("evaluation.json"), format!("{document}\n").as_bytes())?;
        if !common.quiet {
            eprintln!("Report: {}", folder.join("report.html").display());
        }
    }
    if common.json {
        print(&format!("{document}\n"))?;
    } else {
        print(&text(&evaluation))?;
    }
    if let Some(path) = &args.card {
        write_card(path, &evaluated, args, &mut watcher)?;
    }
    warn_of_device(&device);
    Ok(ExitCode::SUCCESS)
}

/// Shows the progress of an evaluation.
struct Watcher<'a> {
    common: &'a Common,
    progress: Option<(Progress, String)>,
}

impl Watcher<'_> {
    fn begin(&mut self, total: usize, message: String) {
        self.begin_of(total, "images/s", message);
    }

    fn begin_of(&mut self, total: usize, unit: &'static str, message: String) {
        self.done();
        let progress = Progress::new(self.common.quiet, total, unit);
        progress.set(0, &message);
        self.progress = Some((progress, message));
    }

    fn set(&self, done: usize) {
        if let Some((progress, message)) = &self.progress {
            progress.set(done, message);
        }
    }

    fn done(&mut self) {
        if let Some((progress, _)) = self.progress.take() {
            progress.done();
        }
    }

    fn observe(&mut self, event: &EvaluateEvent<'_>) {
        match event {
            EvaluateEvent::Reading(path, images) => {
                if self.progress.is_none() {
                    self.begin(0, format!("reading {}", path.display()));
                }
                self.set(*images);
            }
            EvaluateEvent::Opened(dataset) => {
                self.done();
                print_notes(dataset, self.common);
                split_warnings(dataset).iter().for_each(|warning| print_warning(warning));
            }
            EvaluateEvent::Begin(images) => self.begin(*images, "evaluating".to_owned()),
            EvaluateEvent::BeginAltered(images) => self.begin(*images, "evaluating on corrupted images".to_owned()),
            EvaluateEvent::BeginSaliency(images) => self.begin(*images, "computing saliency maps".to_owned()),
            EvaluateEvent::BeginMap(steps) => self.begin_of(*steps, "steps/s", "mapping images".to_owned()),
            EvaluateEvent::Predicted(images) => self.set(*images),
            EvaluateEvent::End => self.done(),
        }
    }
}

fn write_card(
    path: &Path,
    evaluation: &Evaluation,
    args: &EvaluateArgs,
    watcher: &mut Watcher<'_>,
) -> anyhow::Result<()> {
    let Evaluation { classifier, dataset, split, result, tta, .. } = evaluation;
    // The card states metrics with and without TTA; one of the two exists already.
    let other = if tta.is_on() { Tta::None } else { Tta::Flip };
    let counterpart = evaluate_split(classifier, dataset, *split, other, &mut |event| watcher.observe(&event))?;
    let (plain, augmented) = if tta.is_on() { (&counterpart, result) } else { (result, &counterpart) };
    let model = classifier.model();
    let split = dataset.describe(*split);
    let card = report::card(&Card {
        evaluation: EvaluationView {
            metrics: &plain.metrics,
            fitted: &plain.fitted,
            vector: plain.vector.as_ref(),
            predictions: &plain.predictions,
            tta: Tta::None,
            ..evaluation.view(&model.architecture().name, &split)
        },
        augmented: &augmented.metrics,
        method: if tta.is_on() { *tta } else { other },
        recipes: args.recipes,
        bytes: stored(&args.model)?.len(),
        macs: model.macs(),
        latency_ms: latency_ms(classifier),
        machine: &format!(
            "{} threads, {}, {}",
            rayon::current_num_threads(),
            Isa::in_use().name(),
            precision_text(classifier.precision())
        ),
    });
    save(path, card.as_bytes())?;
    if !watcher.common.quiet {
        eprintln!("Model card: {}", path.display());
    }
    Ok(())
}

fn text(evaluation: &EvaluationView<'_>) -> String {
    let metrics = evaluation.metrics;
    let mut classes = vec![["", "precision", "recall", "F1", "support"].map(str::to_owned).to_vec()];
    for class in &metrics.per_class {
        classes.push(vec![
            class.label.clone(),
            percent(class.precision),
            percent(class.recall),
            percent(class.f1),
            class.support.to_string(),
        ]);
    }
    let mut confusion =
        vec![std::iter::once("true \\ predicted".to_owned()).chain(metrics.labels.iter().cloned()).collect::<Vec<_>>()];
    for (label, row) in metrics.labels.iter().zip(&metrics.confusion) {
        confusion.push(std::iter::once(label.clone()).chain(row.iter().map(ToString::to_string)).collect());
    }
    format!(
        "Accuracy {} on {}{}{}\nMacro F1 {:.3}   macro recall {:.3}   NLL {:.3}   ECE {:.3} (15 bins{})\n{}\n{}\n{}{}{}{}{}",
        accuracy_text(metrics),
        evaluation.split,
        evaluation.tta.name().map(|method| format!(", with test-time augmentation ({method})")).unwrap_or_default(),
        match evaluation.selection {
            true => " (optimistic: the epoch was selected on this split)",
            false if evaluation.split_is_training() => " (optimistic: these are training images)",
            false => "",
        },
        metrics.macro_f1,
        metrics.macro_recall,
        metrics.nll,
        metrics.ece,
        if evaluation.cross_fitted { "; NLL and ECE are cross-fitted" } else { "" },
        evaluation.vector.map(|vector| report::vector_line(vector) + "\n").unwrap_or_default(),
        table(&classes),
        table(&confusion),
        evaluation.votes.map(|votes| votes_text(metrics, votes)).unwrap_or_default(),
        adjustments_text(evaluation.adjustments),
        others_text(evaluation),
        corruptions_text(evaluation.corruptions)
    )
}

/// The metrics against votes, and the recall of each class for labels and votes.
fn votes_text(labels: &Metrics, votes: &VoteMetrics) -> String {
    let of = &votes.of_classes;
    let mut rows = vec![["", "recall: labels", "votes", "images: labels", "votes"].map(str::to_owned).to_vec()];
    for (label, vote) in labels.per_class.iter().zip(&of.per_class) {
        let [own, voted] = [label.recall, vote.recall].map(percent);
        rows.push(vec![label.label.clone(), own, voted, label.support.to_string(), vote.support.to_string()]);
    }
    format!("\nVotes\n{}\n\n{}", report::vote_lines(votes).join("\n"), table(&rows))
}

/// Accuracy against macro recall over the strength of a prior adjustment.
fn adjustments_text(points: &[AdjustmentPoint]) -> String {
    let Some(first) = points.first() else { return String::new() };
    let mut head = vec!["logit adjustment τ", "accuracy", "macro recall"];
    if first.votes_accuracy.is_some() {
        head.extend(["votes: accuracy", "macro recall"]);
    }
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for point in points {
        let mut cells = vec![point.tau.to_string(), percent(point.accuracy), format!("{:.3}", point.macro_recall)];
        cells.extend(point.votes_accuracy.map(percent));
        cells.extend(point.votes_macro_recall.map(|recall| format!("{recall:.3}")));
        rows.push(cells);
    }
    format!("\n{}", table(&rows))
}

fn others_text(evaluation: &EvaluationView<'_>) -> String {
    if evaluation.others.is_empty() {
        return String::new();
    }
    let line = |name: &str, metrics: &Metrics, votes: Option<&VoteMetrics>, rest: [String; 4]| {
        let mut cells = vec![name.to_owned(), percent(metrics.accuracy), format!("{:.3}", metrics.macro_f1)];
        cells.extend(votes.map(|votes| percent(votes.accuracy)));
        cells.extend(rest);
        cells
    };
    let mut head = vec!["model", "accuracy", "macro F1"];
    head.extend(evaluation.votes.map(|_| "votes: accuracy"));
    head.extend(["difference", "95 % interval", "only first / only this correct", "p"]);
    let mut rows = vec![
        head.into_iter().map(str::to_owned).collect(),
        line(&evaluation.model.architecture().name, evaluation.metrics, evaluation.votes, Default::default()),
    ];
    for other in evaluation.others {
        let paired = &other.paired;
        let [low, high] = paired.difference_ci95.map(points);
        rows.push(line(
            &other.model,
            &other.metrics,
            other.votes.as_ref(),
            [
                points(paired.difference),
                format!("{low} to {high}"),
                format!("{} / {}", paired.only_first, paired.only_second),
                p_value(paired.p_value),
            ],
        ));
    }
    format!(
        "\n{}difference: the first model minus this one, in percentage points; p: McNemar's exact test\n",
        table(&rows)
    )
}

fn corruptions_text(rows: &[corruptions::Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut head = vec!["corruption", "strength", "accuracy", "decrease"];
    if rows[0].votes_accuracy.is_some() {
        head.extend(["votes: accuracy", "decrease"]);
    }
    let mut cells = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let mut line = vec![row.corruption.to_owned(), row.strength.clone(), percent(row.accuracy), percent(row.loss)];
        line.extend(row.votes_accuracy.map(percent));
        line.extend(row.votes_loss.map(percent));
        cells.push(line);
    }
    format!("\n{}{}\n", table(&cells), report::corruption_line(rows))
}
