//! `moue data audit`.

use crate::args::{AuditArgs, Common};
use crate::commands::{open_source, print, print_warning, run_error, show_event, stop_on_interrupt};
use crate::environment::INTERRUPTED;
use crate::error::UsageError;
use crate::output::table::table;
use crate::progress::Progress;
use moue::Device;
use moue_train::audit::{AuditDocument, AuditError};
use moue_train::config::Config;
use moue_train::data::{DataError, DataSource, ImageSpec};
use moue_train::experiment::{AuditEvent, AuditOptions, AuditRunError, RunOptions, audit};
use moue_train::report::percent;
use moue_train::train::Event;
use std::process::ExitCode;

/// Number of pairs of classes in the table.
const SHOWN: usize = 10;

pub fn run(args: &AuditArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let options = options(args, common);
    let source = DataSource::Given(args.path.clone());
    let mut open = |config: &Config| {
        open_source(&source, ImageSpec::of_input(config.model.input), &config.data, config.train.seed, common)
    };
    let stop = stop_on_interrupt()?;
    let mut view = View { common, progress: None };
    let found = audit(&options, &mut open, &stop, &mut |event| view.observe(event));
    view.done();
    let Some(found) = found.map_err(refused)? else {
        print("Interrupted; finished folds and a checkpoint were saved. Repeat the command to continue.\n")?;
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let document = &found.audit.document;
    if common.json {
        print(&format!("{}\n", serde_json::to_string(document)?))?;
    } else {
        print(&text(document))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn options(args: &AuditArgs, common: &Common) -> AuditOptions {
    AuditOptions {
        run: RunOptions {
            arch: args.arch.clone(),
            data: Some(args.path.clone()),
            fixes: args.fixes.clone(),
            set: args.set.clone(),
            epochs: args.epochs,
            precision: args.precision.map(|precision| precision.resolve(&Device::default())),
            seed: common.seed,
            official_split: args.split_of.official_split,
            as_given: args.split_of.as_given,
            ..RunOptions::default()
        },
        folds: args.folds.into(),
        model: args.model.clone(),
        split: args.split.clone(),
        out: args.out.clone(),
    }
}

fn refused(error: AuditRunError) -> anyhow::Error {
    match error {
        AuditRunError::Options(error) => run_error(error),
        AuditRunError::Audit(error) => match error {
            AuditError::Folds(_)
            | AuditError::TooFew { .. }
            | AuditError::Other(_)
            | AuditError::Data(DataError::NoSplit { .. }) => UsageError(error.to_string()).into(),
            other => other.into(),
        },
        other => other.into(),
    }
}

/// Shows the progress of an audit.
struct View<'a> {
    common: &'a Common,
    progress: Option<Progress>,
}

impl View<'_> {
    fn progress(&mut self) -> &Progress {
        let quiet = self.common.quiet;
        self.progress.get_or_insert_with(|| Progress::new(quiet, 0, "images/s"))
    }

    fn done(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.done();
        }
    }

    fn observe(&mut self, event: AuditEvent<'_>) {
        match event {
            AuditEvent::Begin { images, split, out, resumed } => {
                let verb = if resumed { "Continuing" } else { "Beginning" };
                let line = format!("{verb} the audit of {images} images ({split}); results in {}", out.display());
                self.progress().line(&line);
            }
            AuditEvent::Warning(text) => self.progress().suspend(|| print_warning(&text)),
            AuditEvent::Step(text) => {
                self.done();
                self.progress().line(text);
            }
            AuditEvent::Images { fold, folds, done, of, event } => {
                let progress = self.progress();
                match event {
                    Event::Step { epoch, epochs, loss, .. } => {
                        progress.total(of);
                        let message = format!("fold {fold}/{folds}, epoch {epoch}/{epochs}, loss {loss:.3}");
                        progress.set(done, &message);
                    }
                    Event::Epoch { record, epochs, .. } if record.epoch == *epochs => progress.line(&format!(
                        "fold {fold}/{folds}: {} % of the labels are predicted without having seen them",
                        percent(record.validation_accuracy)
                    )),
                    Event::Note(_) => show_event(event, progress),
                    // Warnings about splits are those of the folds.
                    _ => {}
                }
            }
        }
    }
}

fn text(found: &AuditDocument) -> String {
    let share = |value: f64, [low, high]: [f64; 2]| {
        format!("{} % (95 % interval {}–{} %)", percent(value), percent(low), percent(high))
    };
    let mut pairs =
        vec![["label", "probably", "issues", "estimated", "% of the label", "interval"].map(str::to_owned).to_vec()];
    pairs.extend(found.pairs.iter().take(SHOWN).map(|pair| {
        vec![
            pair.given.clone(),
            pair.suggested.clone(),
            pair.issues.to_string(),
            format!("{:.0}", pair.estimated),
            percent(pair.share),
            pair.share_ci95.map(percent).join("–"),
        ]
    }));
    let counts = found.issues.iter().filter(|count| count.images > 0);
    let mut rows = vec![vec!["issue".to_owned(), "images".to_owned()]];
    rows.extend(counts.map(|count| vec![count.kind.title(), count.images.to_string()]));
    let [issues, scores, page] =
        ["issues.csv", "scores.csv", "audit.html"].map(|name| found.out.join(name).display().to_string());
    format!(
        "{} of {} images have issues\n\n{}\n{}\n{} of {} labels are probably wrong. Estimated share of wrong labels: {}\n\
         Predicted out of fold: {} of the labels\n\
         Groups of near-duplicates: {}, {} with different labels, {} across splits\n\
         Issues: {issues}, worst first; every image: {scores}\nPage:   {page}\n\
         Next:   decide in the page, export fixes.csv, and pass it on: moue train --data … --fixes fixes.csv\n",
        found.images_with_issues,
        found.images,
        table(&rows),
        table(&pairs),
        found.label_issues,
        found.audited,
        share(found.noise, found.noise_ci95),
        share(found.agreement, found.agreement_ci95),
        found.duplicate_groups,
        found.conflicts.len(),
        found.leaks.len(),
    )
}
