//! `moue train --find-learning-rate`.

use crate::args::{Common, TrainArgs};
use crate::commands::{print, print_json, show_event, stop_on_interrupt};
use crate::environment::INTERRUPTED;
use crate::progress::Progress;
use anyhow::Context;
use moue::Device;
use moue::fs::write_atomically;
use moue::model::Model;
use moue_train::data::Dataset;
use moue_train::experiment::RunConfig;
use moue_train::report;
use moue_train::train::{Event, Job, RangeTest, RunFolder, range_test};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// The result of a range test, as `--json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FoundRate<'a> {
    /// The report.
    report: &'a Path,
    /// The test.
    #[serde(flatten)]
    test: &'a RangeTest,
}

/// Runs the test, writes `learning-rate.html`, and prints the suggestion.
pub fn find(
    args: &TrainArgs,
    common: &Common,
    run: &RunConfig,
    dataset: &Dataset,
    device: Device,
) -> anyhow::Result<ExitCode> {
    let init = args.init.as_deref().map(Model::open).transpose()?;
    let folder = RunFolder::existing("");
    let job = Job { init: init.as_ref(), device, ..Job::new(&run.config, dataset, run.source.clone(), &folder) };
    let stop = stop_on_interrupt()?;
    let progress = Progress::new(common.quiet, 0, "steps/s");
    let found = range_test(&job, &stop, &mut |event| {
        if let Event::Step { of, .. } = event {
            progress.total(of);
        }
        show_event(&event, &progress);
    });
    progress.done();
    let found = found?;
    if stop.load(Ordering::Relaxed) {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let path = write(args, run, &found)?;
    if common.json {
        print_json(&FoundRate { report: &path, test: &found })?;
        return Ok(ExitCode::SUCCESS);
    }
    let lowest = found.lowest.map(|rate| format!("The loss is lowest at {rate:.1e}.\n")).unwrap_or_default();
    print(&match found.suggestion {
        Some(rate) => format!(
            "Learning rate: {rate}, where the loss decreases fastest\n{lowest}Report: {}\nTrain:  moue train {} --learning-rate {rate}\n",
            path.display(),
            args.arch.as_deref().unwrap_or("small"),
        ),
        None => format!("No learning rate decreased the loss. {lowest}Report: {}\n", path.display()),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the report into the given folder, or a new one in `runs/`.
fn write(args: &TrainArgs, run: &RunConfig, found: &RangeTest) -> anyhow::Result<PathBuf> {
    let folder = match &args.out {
        Some(out) => {
            std::fs::create_dir_all(out).with_context(|| format!("cannot use {}", out.display()))?;
            out.clone()
        }
        None => RunFolder::create(None, &format!("{}-rates", run.name()))
            .context("cannot create a folder in runs/")?
            .path()
            .to_owned(),
    };
    let path = folder.join("learning-rate.html");
    let title = format!("Learning rates for {} on {}", run.config.model.name, run.source);
    write_atomically(&path, report::learning_rate(&title, found).as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
