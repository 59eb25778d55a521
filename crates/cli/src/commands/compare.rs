//! `moue compare`.

use super::{
    open_source, precision_line, print, print_note, print_warning, run_error, show_event, stop_on_interrupt,
    training_device,
};
use crate::args::{Common, CompareArgs, TrainingPrecision};
use crate::environment::INTERRUPTED;
use crate::error::UsageError;
use crate::output::table::{table, table_with_text};
use crate::progress::Progress;
use anyhow::Context;
use moue::Device;
use moue_train::comparison::{Comparison, Row};
use moue_train::config::{Config, OverrideError};
use moue_train::data::{DataSource, Dataset, ImageSpec};
use moue_train::experiment::{
    Experiment, RunConfig, RunOptions, Variation, compare, comparison_folder, distinct_names, finished_run, plan,
};
use moue_train::report::{difference, interval, percent};
use moue_train::train::Event;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// The folder of the first comparison; others have a number after it.
const DEFAULT_FOLDER: &str = "runs/compare";

/// What the columns about several seeds mean.
const SEEDED: &str = "Means over the seeds, with the 95 % confidence interval of the mean. Difference: the first experiment \
    minus this one, in points, over common seeds\n";

pub fn run(args: &CompareArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let device = training_device(&args.device, common)?;
    let (experiments, source) = resolve(args, &device, common)?;
    let open = |config: &Config| {
        let form = ImageSpec::of_input(config.model.input);
        open_source(&source, form, &config.data, config.train.seed, common)
    };
    // The folder depends on the data, which the first experiment uses as well.
    let mut first = Some(open(&experiments[0].config)?);
    let out = folder(args, &experiments, first.as_ref(), common)?;
    let stop = stop_on_interrupt()?;
    let mut bar: Option<(usize, Progress)> = None;
    let mut warnings = HashSet::new();
    let found = compare(
        &experiments,
        &source,
        &device,
        &mut |config| first.take().map_or_else(|| open(config), Ok),
        &out,
        &stop,
        &mut |number, event| match &event {
            // Most trainings have the same data.
            Event::Warning(text) if !warnings.insert(text.clone()) => {}
            _ => observe(&experiments, number, &event, &mut bar, args, common),
        },
    )?;
    if let Some((_, progress)) = bar {
        progress.done();
    }
    found.warnings().iter().for_each(|warning| print_warning(warning));
    let stopped = stop.load(Ordering::Relaxed) && !found.complete;
    if common.json {
        print(&format!("{}\n", serde_json::to_string(&found)?))?;
    } else {
        print(&text(&found, &out, stopped))?;
    }
    let failed = found.rows.iter().flat_map(|row| &row.runs).any(|run| run.error.is_some());
    Ok(match (stopped, failed) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::SUCCESS,
    })
}

/// The folder of the comparison: the given one, or one that holds no other comparison.
fn folder(
    args: &CompareArgs,
    experiments: &[Experiment],
    dataset: Option<&Dataset>,
    common: &Common,
) -> anyhow::Result<PathBuf> {
    let out = match (&args.out, dataset) {
        (None, Some(dataset)) => {
            let found = comparison_folder(Path::new(DEFAULT_FOLDER), experiments, dataset)
                .context("cannot create a folder for the comparison in runs/")?;
            if !common.quiet && (found.resumed || found.path != Path::new(DEFAULT_FOLDER)) {
                let why = if found.resumed { "it has the same experiments" } else { "others have other experiments" };
                eprintln!("note: the folder of this comparison is {}: {why}", found.path.display());
            }
            found.path
        }
        (given, _) => given.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FOLDER)),
    };
    std::fs::create_dir_all(out.join("runs")).with_context(|| format!("cannot use {}", out.display()))?;
    Ok(out)
}

/// The experiments in the order of the arguments, and their data: the given data, or that of the
/// first finished run, or synthetic faces.
fn resolve(args: &CompareArgs, device: &Device, common: &Common) -> anyhow::Result<(Vec<Experiment>, DataSource)> {
    let usage = |error: OverrideError| UsageError(error.to_string());
    let variations: Result<Vec<Variation>, _> = args.vary.iter().map(|text| text.parse()).collect();
    let variations = variations.map_err(usage)?;
    let mut experiments = Vec::new();
    let runs: Result<Vec<_>, _> = args.archs.iter().map(|arch| finished_run(Path::new(arch))).collect();
    let runs = runs?;
    let of_runs = runs.iter().flatten().map(|(_, data)| data.clone()).next();
    let source = args.data.clone().map(DataSource::Given).or(of_runs);
    for (arch, run) in args.archs.iter().zip(runs) {
        if let Some((run, _)) = run {
            experiments.push(run);
            continue;
        }
        let options = RunOptions {
            arch: Some(arch.clone()),
            data: match &source {
                Some(DataSource::Given(path)) => Some(path.clone()),
                _ => None,
            },
            votes: args.votes.clone(),
            fixes: args.fixes.clone(),
            set: args.set.clone(),
            epochs: args.epochs,
            precision: args.precision.map(|precision| precision.resolve(device)),
            seed: common.seed,
            no_teachers: args.no_teachers,
            official_split: args.split_of.official_split,
            as_given: args.split_of.as_given,
            ..RunOptions::default()
        };
        let run = RunConfig::resolve_untaught(&options).map_err(run_error)?;
        print_note(&run, common);
        experiments.extend(plan(&[run.config], &variations, args.seeds).map_err(usage)?);
    }
    distinct_names(&mut experiments);
    Ok((experiments, source.unwrap_or(DataSource::Synthetic)))
}

fn observe(
    experiments: &[Experiment],
    number: usize,
    event: &Event<'_>,
    bar: &mut Option<(usize, Progress)>,
    args: &CompareArgs,
    common: &Common,
) {
    let experiment = &experiments[number];
    if bar.as_ref().is_none_or(|(shown, _)| *shown != number) {
        if let Some((_, progress)) = bar.take() {
            progress.done();
        }
        let progress = Progress::new(common.quiet, 0, "images/s");
        let options = &experiment.config.train;
        let (of, name) = (experiments.len(), &experiment.name);
        progress.line(&format!("[{}/{of}] {name}, seed {}", number + 1, options.seed));
        if let Some(line) = precision_line(options.precision.into(), args.precision == Some(TrainingPrecision::Auto)) {
            progress.line(&line);
        }
        *bar = Some((number, progress));
    }
    let Some((_, progress)) = bar else { return };
    if let Event::Step { epochs, of, .. } = event {
        progress.total(epochs * of);
    }
    show_event(event, progress);
}

fn text(found: &Comparison, out: &Path, stopped: bool) -> String {
    let seeded = found.rows.iter().any(|row| row.validation_ci95.is_some());
    let failed = found.rows.iter().any(|row| row.failed.is_some());
    let mut head = vec!["experiment", "parameters", "epochs", "seconds", "train %", "validation %"];
    if seeded {
        head.extend(["95 % interval", "difference"]);
    }
    head.extend(["gap", "last epoch %"]);
    if failed {
        head.push("");
    }
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    let cell = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
    rows.extend(found.rows.iter().map(|row| {
        let mut cells = vec![
            row.name.clone(),
            row.parameters.to_string(),
            row.epochs.to_string(),
            row.seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.0}")),
            cell(row.best_train_accuracy),
            cell(row.best_validation_accuracy),
        ];
        if seeded {
            cells.extend([interval(row.validation_ci95, percent), difference(row)]);
        }
        cells.extend([cell(row.gap), cell(row.last_validation_accuracy)]);
        if failed {
            cells.push(row.failed.as_ref().map(|reason| format!("failed: {reason}")).unwrap_or_default());
        }
        cells
    }));
    let failures: String = found.rows.iter().filter(|row| row.failed.is_none()).flat_map(failures).collect();
    format!(
        "{}{}\n{}Validated on {} (n = {}); majority-class baseline (always \"{}\"): {} %\n{failures}{}Report: {}\n",
        if stopped { "Interrupted; checkpoints were saved. Repeat the command to resume.\n" } else { "" },
        if failed { table_with_text(&rows) } else { table(&rows) },
        if seeded { SEEDED } else { "" },
        found.split,
        found.validation_images,
        found.majority_class,
        percent(found.majority_accuracy),
        if failures.is_empty() { "" } else { "\n" },
        out.join("report.html").display()
    )
}

fn failures(row: &Row) -> Vec<String> {
    let failed = row.runs.iter().filter_map(|run| Some((run.seed, run.error.as_ref()?)));
    failed.map(|(seed, error)| format!("{}, seed {seed}: failed: {error}\n", row.name)).collect()
}
