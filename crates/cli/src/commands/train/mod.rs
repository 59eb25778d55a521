//! `moue train`.

pub mod rates;

use super::watch::{LivePage, listen};
use super::{
    accuracy_text, open_source, precision_line, print, print_note, run_error, show_event, stop_on_interrupt,
    training_device,
};
use crate::args::{BatchSize, Common, TrainArgs, TrainingPrecision};
use crate::environment::INTERRUPTED;
use crate::error::UsageError;
use crate::progress::Progress;
use anyhow::Context;
use moue::model::Model;
use moue::{Device, DeviceChoice};
use moue_train::bench::{default_memory, fastest_batch_size};
use moue_train::config::Config;
use moue_train::data::{DataSource, Dataset, ImageSpec, Split};
use moue_train::experiment::{RunConfig, RunOptions, conclude, epochs_within};
use moue_train::report::vector_line;
use moue_train::train::{Communicator, Ending, Job, Outcome, RunFolder, TrainError, train};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Trains in one process, or as one rank of several that train together; only rank 0 prints
/// and writes files.
pub fn run(args: &TrainArgs, common: &Common, started: Instant) -> anyhow::Result<ExitCode> {
    let communicator = communicator()?;
    let device = device(args, common, communicator.as_deref())?;
    let mut run = resolve(args, &device, common)?;
    let Some(communicator) = communicator else {
        let dataset = open_data(&run, common)?;
        if args.find_learning_rate {
            return rates::find(args, common, &run, &dataset, device);
        }
        if args.batch_size == Some(BatchSize::Auto) {
            select_batch_size(args, common, &mut run, &dataset, &device)?;
        }
        if let Some(time) = args.time {
            fit_epochs(common, &mut run, &dataset, &device, time.saturating_sub(started.elapsed()))?;
        }
        return train_as(args, common, &run, &dataset, None, device);
    };
    // Ranks would measure different values.
    if args.find_learning_rate || args.time.is_some() || args.batch_size == Some(BatchSize::Auto) {
        let text = "--find-learning-rate, --time and --batch-size auto measure one process; run them without mpirun";
        return Err(UsageError(text.into()).into());
    }
    let quiet = Common { quiet: common.quiet || communicator.rank() > 0, ..common.clone() };
    let trained = open_data(&run, &quiet)
        .and_then(|dataset| train_as(args, &quiet, &run, &dataset, Some(Arc::clone(&communicator)), device));
    trained.map_err(|error| {
        // One write, so that output of `mpirun` does not split the line.
        let line = format!("moue: rank {}: {}\n", communicator.rank(), moue::with_causes(error.as_ref()));
        let _ = std::io::stderr().write_all(line.as_bytes());
        // Otherwise the other ranks would wait for this one forever.
        communicator.abort(1)
    })
}

/// The device; several processes train on the CPU.
fn device(args: &TrainArgs, common: &Common, communicator: Option<&dyn Communicator>) -> anyhow::Result<Device> {
    match communicator {
        None => training_device(&args.device, common),
        Some(_) if matches!(args.device.choice, DeviceChoice::Cpu | DeviceChoice::Auto) => Ok(Device::default()),
        Some(_) => Err(UsageError(TrainError::GpuWithRanks.to_string()).into()),
    }
}

/// Returns the communicator of the processes that `mpirun` started, if any.
fn communicator() -> anyhow::Result<Option<Arc<dyn Communicator>>> {
    #[cfg(feature = "mpi")]
    return Ok(moue_train::train::Mpi::start()?);
    #[cfg(not(feature = "mpi"))]
    for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] {
        let size = std::env::var(name).unwrap_or_default();
        if size.parse::<usize>().is_ok_and(|size| size > 1) {
            anyhow::bail!(
                "moue was built without MPI, so {size} processes would train {size} separate models; \
                 rebuild it with `cargo install --path crates/cli --features mpi`"
            );
        }
    }
    #[cfg(not(feature = "mpi"))]
    Ok(None)
}

fn train_as(
    args: &TrainArgs,
    common: &Common,
    run: &RunConfig,
    dataset: &Dataset,
    communicator: Option<Arc<dyn Communicator>>,
    device: Device,
) -> anyhow::Result<ExitCode> {
    let leads = communicator.as_ref().is_none_or(|communicator| communicator.rank() == 0);
    let RunConfig { config, source, .. } = run;
    let init = args.init.as_deref().map(Model::open).transpose()?;
    let listener = args.watch.filter(|_| leads).map(listen).transpose()?;
    let folder = match &args.resume {
        Some(path) => RunFolder::existing(path),
        // Only rank 0 writes.
        None if !leads => RunFolder::existing(Path::new("")),
        None => RunFolder::create(args.out.as_deref(), &run.name()).with_context(|| {
            args.out.as_ref().map_or("cannot create a run folder in runs/".to_owned(), |path| {
                format!("cannot use {}", path.display())
            })
        })?,
    };
    let progress = Progress::new(common.quiet, config.train.epochs * dataset.indices(Split::Train).len(), "images/s");
    introduce(config, dataset, source, &folder, &progress);
    if let Some(line) = precision_line(config.train.precision.into(), args.precision == Some(TrainingPrecision::Auto)) {
        progress.line(&line);
    }
    let stop = stop_on_interrupt()?;
    if let Some(address) = listener.as_ref().and_then(|listener| listener.local_addr().ok()) {
        progress.line(&format!("Live page: http://{address}"));
    }
    let page = listener.map(|listener| LivePage::open(listener, &folder)).transpose()?;
    let job = Job {
        config,
        dataset,
        source: source.clone(),
        folder: &folder,
        init: init.as_ref(),
        resume: args.resume.is_some(),
        communicator,
        device,
    };
    let outcome = train(&job, &stop, &mut |event| {
        if leads {
            show_event(&event, &progress);
        }
    });
    progress.done();
    let ended = outcome
        .map_err(anyhow::Error::from)
        .and_then(|outcome| if leads { finish(&outcome, &job, common) } else { Ok(exit_code(outcome.ending)) });
    if let Some(page) = page {
        page.close();
    }
    ended
}

/// Opens the data, and prints the notes of the run.
fn open_data(run: &RunConfig, common: &Common) -> anyhow::Result<Dataset> {
    // The other ranks are quiet.
    print_note(run, common);
    let RunConfig { config, source, .. } = run;
    let form = ImageSpec::of_input(config.model.input);
    Ok(open_source(source, form, &config.data, config.train.seed, common)?)
}

/// Sets the fastest batch size that fits the memory.
fn select_batch_size(
    args: &TrainArgs,
    common: &Common,
    run: &mut RunConfig,
    dataset: &Dataset,
    device: &Device,
) -> anyhow::Result<()> {
    let limit = args.memory.or_else(default_memory);
    let line = |text: String| {
        if !common.quiet {
            eprintln!("{text}");
        }
    };
    let images = dataset.indices(Split::Train).len();
    let best = fastest_batch_size(&run.config, images, limit, device, &mut |measured| {
        let bytes = measured.bytes.map(|bytes| format!(", {} MB", bytes >> 20)).unwrap_or_default();
        line(format!("batch size {:>3}: {:.0} images/s{bytes}", measured.batch_size, measured.images_per_second));
    })?;
    run.config.train.batch_size = best;
    line(format!("batch size {best} is used; the learning rate is unchanged"));
    Ok(())
}

/// Sets the number of epochs that fit the time.
fn fit_epochs(
    common: &Common,
    run: &mut RunConfig,
    dataset: &Dataset,
    device: &Device,
    time: Duration,
) -> anyhow::Result<()> {
    let folder = RunFolder::existing("");
    let job = Job { device: device.clone(), ..Job::new(&run.config, dataset, run.source.clone(), &folder) };
    let (epochs, seconds) = epochs_within(&job, time)?;
    run.config.train.epochs = epochs;
    if !common.quiet {
        eprintln!("an epoch takes {seconds:.1} s: {epochs} epochs");
    }
    Ok(())
}

/// Resolves the run from arguments and files.
fn resolve(args: &TrainArgs, device: &Device, common: &Common) -> anyhow::Result<RunConfig> {
    let options = RunOptions {
        arch: args.arch.clone(),
        data: args.data.clone(),
        votes: args.votes.clone(),
        fixes: args.fixes.clone(),
        resume: args.resume.clone(),
        set: args.set.clone(),
        epochs: args.epochs,
        batch_size: match args.batch_size {
            Some(BatchSize::Number(images)) => Some(images),
            Some(BatchSize::Auto) | None => None,
        },
        learning_rate: args.learning_rate,
        precision: args.precision.map(|precision| precision.resolve(device)),
        image_size: args.image_size,
        seed: common.seed,
        no_teachers: args.no_teachers,
        init: args.init.is_some(),
        official_split: args.split_of.official_split,
        as_given: args.split_of.as_given,
    };
    RunConfig::resolve(&options).map_err(run_error)
}

fn introduce(config: &Config, dataset: &Dataset, source: &DataSource, folder: &RunFolder, progress: &Progress) {
    let data = match source {
        DataSource::Synthetic => "synthetic faces".to_owned(),
        DataSource::Given(path) => path.display().to_string(),
    };
    let count = |split| dataset.indices(split).len();
    progress.line(&format!(
        "Training {} on {data}: {} training images, {} validation images ({}); run folder {}",
        config.model.name,
        count(Split::Train),
        count(Split::Validation),
        dataset.describe(Split::Validation),
        folder.path().display()
    ));
}

fn exit_code(ending: Ending) -> ExitCode {
    if ending == Ending::Interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS }
}

/// Evaluates the model of the best epoch on the validation split, writes the report and
/// prints the summary.
fn finish(outcome: &Outcome, job: &Job<'_>, common: &Common) -> anyhow::Result<ExitCode> {
    let resume = format!("moue train --resume {}", job.folder.path().display());
    let interrupted = outcome.ending == Ending::Interrupted;
    let code = exit_code(outcome.ending);
    let summary = conclude(outcome, job)?;
    if common.json {
        print(&format!("{}\n", serde_json::to_string(&summary)?))?;
        return Ok(code);
    }
    let Some(best) = summary.best else {
        print(&format!("Interrupted before the end of the first epoch; a checkpoint was saved.\nResume: {resume}\n"))?;
        return Ok(code);
    };
    let data = match &job.source {
        DataSource::Synthetic => String::new(),
        DataSource::Given(path) => format!(" --data {}", path.display()),
    };
    let votes = job.config.data.votes.as_ref().map(|votes| format!(" --votes {}", votes.display())).unwrap_or_default();
    let next = match &job.source {
        _ if interrupted => format!("Resume:   {resume}"),
        DataSource::Synthetic => "Next:     moue train --data PATH   with FER2013 or your own images".to_owned(),
        DataSource::Given(_) => format!("Next:     moue predict --model {} IMAGE...", best.model.display()),
    };
    print(&format!(
        "{}\nAccuracy {} on {}, best epoch {} of {}\n{}Model:    {}\nReport:   {}\nEvaluate: moue evaluate {}{data}{votes}\n{next}\n",
        if interrupted { "Interrupted; a checkpoint was saved." } else { "Training finished." },
        accuracy_text(&best.metrics),
        job.dataset.describe(Split::Validation),
        outcome.best_epoch,
        outcome.history.len(),
        best.vector.as_ref().map(|vector| vector_line(vector) + "\n").unwrap_or_default(),
        best.model.display(),
        best.report.display(),
        best.model.display(),
    ))?;
    Ok(code)
}
