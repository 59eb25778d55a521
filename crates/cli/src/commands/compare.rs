//! `moue compare`.

use super::{INTERRUPTED, open_source, print, run_error, show_event, stop_on_interrupt};
use crate::args::{Common, CompareArgs};
use crate::error::UsageError;
use crate::output::table::table;
use crate::progress::Progress;
use anyhow::Context;
use moue_train::comparison::{Comparison, Row};
use moue_train::config::OverrideError;
use moue_train::data::DataSource;
use moue_train::data::ImageSpec;
use moue_train::experiment::{Experiment, RunConfig, RunOptions, Variation, compare, plan};
use moue_train::train::Event;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

pub fn run(args: &CompareArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let experiments = resolve(args, common)?;
    let source = args.data.clone().map_or(DataSource::Synthetic, DataSource::Given);
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs/compare"));
    std::fs::create_dir_all(out.join("runs")).with_context(|| format!("cannot use {}", out.display()))?;
    let stop = stop_on_interrupt()?;
    let mut bar: Option<(usize, Progress)> = None;
    let found = compare(
        &experiments,
        &source,
        &mut |config| {
            let form = ImageSpec::of_input(config.model.input);
            open_source(&source, form, &config.data, config.train.seed, common)
        },
        &out,
        &stop,
        &mut |number, event| observe(&experiments, number, &event, &mut bar, common),
    )?;
    if let Some((_, progress)) = bar {
        progress.done();
    }
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

fn resolve(args: &CompareArgs, common: &Common) -> anyhow::Result<Vec<Experiment>> {
    let mut configs = Vec::new();
    for arch in &args.archs {
        let options = RunOptions {
            arch: Some(arch.clone()),
            data: args.data.clone(),
            epochs: args.epochs,
            seed: common.seed,
            official_split: args.split_of.official_split,
            as_given: args.split_of.as_given,
            ..RunOptions::default()
        };
        configs.push(RunConfig::resolve_untaught(&options).map_err(run_error)?.config);
    }
    let usage = |error: OverrideError| UsageError(error.to_string());
    let variations: Result<Vec<Variation>, _> = args.vary.iter().map(|text| text.parse()).collect();
    Ok(plan(&configs, &variations.map_err(usage)?, args.seeds).map_err(usage)?)
}

fn observe(
    experiments: &[Experiment],
    number: usize,
    event: &Event<'_>,
    bar: &mut Option<(usize, Progress)>,
    common: &Common,
) {
    let experiment = &experiments[number];
    if bar.as_ref().is_none_or(|(shown, _)| *shown != number) {
        if let Some((_, progress)) = bar.take() {
            progress.done();
        }
        let progress = Progress::new(common.quiet, 0, "images/s");
        let seed = experiment.config.train.seed;
        progress.line(&format!("[{}/{}] {}, seed {seed}", number + 1, experiments.len(), experiment.name));
        *bar = Some((number, progress));
    }
    let Some((_, progress)) = bar else { return };
    if let Event::Step { epochs, of, .. } = event {
        progress.total(epochs * of);
    }
    show_event(event, progress);
}

fn text(found: &Comparison, out: &Path, stopped: bool) -> String {
    let head = ["experiment", "parameters", "epochs", "seconds", "train %", "validation %", "gap", "last epoch %"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    rows.extend(found.rows.iter().map(|row| {
        let deviation = row.validation_deviation.map(|d| format!(" ± {}", percent(d))).unwrap_or_default();
        vec![
            row.name.clone(),
            row.parameters.to_string(),
            row.epochs.to_string(),
            format!("{:.0}", row.seconds),
            percent(row.best_train_accuracy),
            percent(row.best_validation_accuracy) + &deviation,
            percent(row.gap),
            percent(row.last_validation_accuracy),
        ]
    }));
    let failures: String = found.rows.iter().flat_map(failures).collect();
    format!(
        "{}{}\nValidated on {} (n = {}); majority-class baseline (always \"{}\"): {} %\n{failures}{}Report: {}\n",
        if stopped { "Interrupted; checkpoints were saved. Repeat the command to resume.\n" } else { "" },
        table(&rows),
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
