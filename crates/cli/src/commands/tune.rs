//! `moue tune`.

use super::{
    open_source, precision_line, print, print_warning, run_error, show_event, stop_on_interrupt, training_device,
};
use crate::args::{Common, TrainingPrecision, TuneArgs};
use crate::environment::INTERRUPTED;
use crate::error::UsageError;
use crate::output::table::table;
use crate::progress::Progress;
use moue::Device;
use moue_train::config::{Config, ConfigError};
use moue_train::data::{DataSource, ImageSpec};
use moue_train::experiment::RunOptions;
use moue_train::report::{interval, percent};
use moue_train::train::Event;
use moue_train::tune::{
    Best, Limit, Metric, Space, SpaceError, TrialResult, TuneError, TuneEvent, TuneOptions, Tuning, describe, tune,
};
use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The budget if neither a time nor a number of trials is given.
const DEFAULT_BUDGET: Duration = Duration::from_secs(600);

/// Number of trials in the table.
const SHOWN: usize = 10;

pub fn run(args: &TuneArgs, common: &Common, started: Instant) -> anyhow::Result<ExitCode> {
    let space = Space::open(&args.space).map_err(space_error)?;
    let options = options(args, common, training_device(&args.device, common)?, started);
    let source = args.data.clone().map_or(DataSource::Synthetic, DataSource::Given);
    let mut open = |config: &Config| {
        let form = ImageSpec::of_input(config.model.input);
        open_source(&source, form, &config.data, config.train.seed, common)
    };
    let stop = stop_on_interrupt()?;
    let mut view = View { common, metric: options.metric, bar: None, warnings: HashSet::new(), seed: None };
    if let Some(precision) = options.run.precision {
        let line = precision_line(precision.into(), args.precision == Some(TrainingPrecision::Auto));
        line.iter().for_each(|line| view.line(line));
    }
    let found = tune(&space, &options, args.out.as_deref(), &mut open, &stop, &mut |event| view.observe(event));
    view.end();
    let found = found.map_err(tune_error)?;
    let stopped = stop.load(Ordering::Relaxed) && !found.complete;
    if common.json {
        print(&format!("{}\n", serde_json::to_string(&found)?))?;
    } else {
        print(&text(&found, stopped))?;
    }
    Ok(match (stopped, &found.best) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, None) => ExitCode::FAILURE,
        (false, Some(_)) => ExitCode::SUCCESS,
    })
}

fn options(args: &TuneArgs, common: &Common, device: Device, started: Instant) -> TuneOptions {
    let limit = match args.trials {
        Some(trials) => Limit::Trials(trials as usize),
        None => Limit::Budget(args.budget.unwrap_or(DEFAULT_BUDGET)),
    };
    TuneOptions {
        limit,
        metric: args.metric.into(),
        sampler: args.sampler.into(),
        early_stopping: !args.no_early_stopping,
        epochs: args.epochs.map(|epochs| epochs as usize),
        workers: args.workers.into(),
        seeds: args.seeds.into(),
        test: args.test,
        run: RunOptions {
            data: args.data.clone(),
            votes: args.votes.clone(),
            set: args.set.clone(),
            precision: args.precision.map(|precision| precision.resolve(&device)),
            seed: common.seed,
            no_teachers: args.no_teachers,
            official_split: args.split_of.official_split,
            as_given: args.split_of.as_given,
            ..RunOptions::default()
        },
        device,
        started,
    }
}

/// A space that does not exist is wrong usage; a file that is not valid is not.
fn space_error(error: SpaceError) -> anyhow::Error {
    match error {
        SpaceError::Config(
            ConfigError::Run(_) | ConfigError::Comparison(_) | ConfigError::Folder(_) | ConfigError::Dataset(_),
        ) => UsageError(moue::with_causes(&error)).into(),
        _ => error.into(),
    }
}

fn tune_error(error: TuneError) -> anyhow::Error {
    match error {
        TuneError::Options(error) => run_error(error),
        TuneError::NoTest(_) | TuneError::OtherSearch(_) => UsageError(error.to_string()).into(),
        other => other.into(),
    }
}

/// Shows the events of a search.
struct View<'a> {
    common: &'a Common,
    metric: Metric,
    bar: Option<Progress>,
    /// Most trials have the same data.
    warnings: HashSet<String>,
    /// The seed that is trained.
    seed: Option<u64>,
}

impl View<'_> {
    fn bar(&mut self) -> &Progress {
        let quiet = self.common.quiet;
        self.bar.get_or_insert_with(|| Progress::new(quiet, 0, "images/s"))
    }

    fn line(&mut self, text: &str) {
        self.bar().line(text);
    }

    fn warn(&mut self, text: &str) {
        if self.warnings.insert(text.to_owned()) {
            self.bar().suspend(|| print_warning(text));
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.done();
        }
    }

    fn observe(&mut self, event: TuneEvent<'_>) {
        match event {
            TuneEvent::Note(text) => self.line(&format!("note: {text}")),
            TuneEvent::Warning(text) => self.warn(&text),
            TuneEvent::Bracket { number, trials, rungs } => {
                let rungs: Vec<String> = rungs.iter().map(ToString::to_string).collect();
                let trials = if trials == 1 { "1 trial".to_owned() } else { format!("{trials} trials") };
                self.line(&format!("bracket {number}: {trials}, compared after {} epochs", rungs.join(", ")));
            }
            TuneEvent::Images { done, of, message } => {
                let bar = self.bar();
                bar.total(of.max(done));
                bar.set(done, message);
            }
            TuneEvent::Trial { number, epochs, values, value, best, error } => {
                let result = match (error, value) {
                    (Some(error), _) => format!("failed: {error}"),
                    (None, Some(value)) => self.metric.text(value),
                    (None, None) => "–".to_owned(),
                };
                let mark = if best { " (best)" } else { "" };
                self.line(&format!("trial {number:>3}, {epochs} epochs: {result}{mark}  {}", describe(values)));
            }
            TuneEvent::Best { seed, seeds, event } => self.best(seed, seeds, event),
        }
    }

    fn best(&mut self, seed: u64, seeds: usize, event: Event<'_>) {
        if self.seed.is_none_or(|shown| shown != seed) {
            self.end();
            self.seed = Some(seed);
            self.line(&format!("best configuration, seed {seed} ({seeds} in total)"));
        }
        if let Event::Warning(text) = event {
            return self.warn(&text);
        }
        let bar = self.bar();
        if let Event::Step { epochs, of, .. } = event {
            bar.total(epochs * of);
        }
        show_event(&event, bar);
    }
}

fn text(found: &Tuning, stopped: bool) -> String {
    let score = |trial: &TrialResult| trial.score(found.metric).unwrap_or(f64::NEG_INFINITY);
    let mut trials: Vec<&TrialResult> = found.trials.iter().collect();
    trials.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.number.cmp(&b.number)));
    let head = ["trial", "epochs", "", "validation %", "train %", "gap", "parameters", "seconds"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let cell = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
    rows.extend(trials.iter().take(SHOWN).map(|trial| {
        vec![
            trial.number.to_string(),
            trial.epochs.to_string(),
            trial.state.name().to_owned(),
            cell(trial.best.map(|best| best.validation_accuracy)),
            cell(trial.best.map(|best| best.train_accuracy)),
            cell(trial.gap),
            trial.parameters.to_string(),
            format!("{:.0}", trial.seconds),
        ]
    }));
    let more = found.trials.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("and {more} more, in trials.csv\n") } else { String::new() };
    let saved = &found.saved;
    let early = format!(
        "{} of {} trials were stopped early, which saved {} epochs (about {:.0} s)\n",
        saved.trials,
        found.trials.len(),
        saved.epochs,
        saved.seconds
    );
    format!(
        "{}{}{more}\n{}{}Validated on {} (n = {}); majority-class baseline (always \"{}\"): {} %\nReport: {}\n",
        if stopped { "Interrupted; checkpoints were saved. Repeat the command to continue.\n" } else { "" },
        table(&rows),
        if found.early_stopping { early } else { String::new() },
        match &found.best {
            Some(best) => best_text(found, best),
            None if stopped => String::new(),
            None => "No trial has finished an epoch: every training failed, or the budget is too short.\n".to_owned(),
        },
        found.split,
        found.validation_images,
        found.majority_class,
        percent(found.majority_accuracy),
        found.out.join("report.html").display(),
    )
}

fn best_text(found: &Tuning, best: &Best) -> String {
    let metric = found.metric;
    let mut text = format!("Best:   trial {} of {}: {}\n", best.trial, best.trials, describe(&best.values));
    let name = metric.name();
    text += &format!(
        "        {name} {} in the search (optimistic: the best of {} trials)\n",
        metric.text(best.selected_value),
        best.trials
    );
    if let Some(value) = best.value {
        let interval = match best.value_ci95 {
            Some(_) => {
                format!(" (95 % interval of the mean {})", interval(best.value_ci95, |value| metric.text(value)))
            }
            None => String::new(),
        };
        let seeds = best.seeds.iter().filter(|seed| seed.best.is_some()).count();
        text += &format!("        {name} {}{interval}, trained again with {seeds} other seeds\n", metric.text(value));
    }
    if let Some(test) = &best.test {
        text += &format!(
            "Test:   accuracy {} %, macro F1 {} % on {} (n = {}), means of {} trainings\n",
            percent(test.accuracy),
            percent(test.macro_f1),
            test.split,
            test.images,
            test.accuracies.len()
        );
    }
    text + &format!("Config: {}\n", best.config.display())
}
