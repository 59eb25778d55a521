//! `moue data`.

mod audit;
mod similar;

use super::{open_source, print, print_json, print_warning, stop_on_interrupt};
use crate::args::{Common, DataCommand, FacesArgs, SplitArgs};
use crate::environment::{INTERRUPTED, SOME_FAILED};
use crate::error::UsageError;
use crate::output::file::{extension, save};
use crate::output::table::table;
use crate::progress::Progress;
use anyhow::Context;
use moue_train::config::Config;
use moue_train::config::DataOptions;
use moue_train::data::faces::{self, CutFaces, FaceOptions, cut_faces};
use moue_train::data::statistics::{Duplicates, Extents, Statistics, describe};
use moue_train::data::table::{TableRow, rows, to_csv};
use moue_train::data::{
    DataSource, Dataset, ImageSpec, LabelAgreement, SplitAgreement, Votes, label_agreement, synthetic, warnings,
};
use moue_train::report::percent;
use moue_train::report::preview::{self, Preview};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

#[cfg(test)]
pub use similar::SimilarImages;

/// The written table, as `moue data table --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WrittenTable<'a> {
    /// The file, as given.
    out: &'a Path,
    /// Number of rows: one for each image.
    rows: usize,
    /// Format of the file: `csv` or `parquet`.
    form: &'a str,
}

/// The written preview, as `moue data preview --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WrittenPreview<'a> {
    /// The file, as given.
    out: &'a Path,
    /// Number of images in the dataset.
    images: usize,
    /// Format of the file: `png` or `html`.
    form: &'a str,
}

/// The written dataset, as `moue data draw --json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WrittenFaces<'a> {
    /// The folder, as given.
    dir: &'a Path,
    /// Number of synthetic faces.
    images: usize,
    /// The seed that they were generated from.
    seed: u64,
}

/// The faces cut out of photos, as `moue data faces --json` prints them.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WrittenCuts<'a> {
    /// The folder, as given.
    out: &'a Path,
    #[serde(flatten)]
    totals: &'a CutFaces,
}

pub fn run(command: &DataCommand, common: &Common) -> anyhow::Result<ExitCode> {
    let seed = common.seed.unwrap_or(0);
    let open = |path: &Path, split: &SplitArgs| -> anyhow::Result<Dataset> {
        let options = DataOptions::default().with_split(split.official_split, split.as_given);
        let source = DataSource::Given(path.to_owned());
        let dataset = open_source(&source, ImageSpec { size: None, channels: 1 }, &options, seed, common)?;
        warnings(&dataset).iter().for_each(|warning| print_warning(warning));
        Ok(dataset)
    };
    match command {
        DataCommand::Info { path, votes, split_of } => {
            let dataset = open(path, split_of)?;
            let votes = votes.as_ref().map(|votes| Votes::open(votes)?.matched(&dataset)).transpose()?;
            let mut statistics = describe(&dataset);
            statistics.votes = votes.map(|votes| label_agreement(&dataset, &votes));
            print(&if common.json { format!("{}\n", serde_json::to_string(&statistics)?) } else { text(&statistics) })?;
        }
        DataCommand::Table { path, out, split_of } => {
            let form = extension(out, &["csv", "parquet"])?;
            if form == "parquet" && !cfg!(feature = "parquet") {
                return Err(
                    UsageError("this build cannot write Parquet; rebuild with `--features parquet`".into()).into()
                );
            }
            let rows = rows(&open(path, split_of)?);
            save(out, &if form == "csv" { to_csv(&rows) } else { to_parquet(&rows)? })?;
            if common.json {
                print_json(&WrittenTable { out, rows: rows.len(), form })?;
            } else {
                print(&format!("Wrote {} rows to {}\n", rows.len(), out.display()))?;
            }
        }
        DataCommand::Preview { path, out, arch, split_of } => {
            let form = extension(out, &["png", "html"])?;
            let augmentation = Config::open(arch.as_deref().unwrap_or("small"))?.augment;
            let dataset = match path {
                Some(path) => open(path, split_of)?,
                None => synthetic::dataset(synthetic::STANDARD_COUNT, ImageSpec { size: None, channels: 1 }, seed),
            };
            let name = path.as_ref().and_then(|path| path.file_name());
            let title = name.map_or("synthetic faces".into(), |name| name.to_string_lossy());
            let shown = Preview::new(&title, &dataset, &augmentation, seed);
            let bytes = if form == "png" { preview::png(&shown) } else { preview::html(&shown).into_bytes() };
            save(out, &bytes)?;
            if common.json {
                print_json(&WrittenPreview { out, images: dataset.len(), form })?;
            } else {
                print(&format!("Wrote a preview of {} images to {}\n", dataset.len(), out.display()))?;
            }
        }
        DataCommand::Audit(args) => return audit::run(args, common),
        DataCommand::Similar(args) => return similar::run(args, common),
        DataCommand::Faces(args) => return faces(args, common),
        DataCommand::Draw { dir, count } => {
            let written = synthetic::write(dir, *count as usize, seed)
                .with_context(|| format!("cannot write synthetic faces to {}", dir.display()))?;
            if common.json {
                print_json(&WrittenFaces { dir, images: written, seed })?;
            } else {
                let dir = dir.display();
                print(&format!("Wrote {written} synthetic faces to {dir}\n"))?;
                if !common.quiet {
                    print(&format!("Next: moue train --data {dir}\n"))?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `moue data faces`.
fn faces(args: &FacesArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let options = FaceOptions {
        size: args.image_size,
        channels: if args.color { 3 } else { 1 },
        min_face: args.min_face.unwrap_or(0),
        min_score: args.min_score.unwrap_or(0.0),
        detector: args.detector.clone(),
    };
    let stop = stop_on_interrupt()?;
    let progress = Progress::new(common.quiet, 0, "photos/s");
    let done = cut_faces(&args.photos, &args.out, &options, &mut |photo, finished, of| {
        if let Some(error) = &photo.error {
            progress.line_always(&format!("{}: {error}", args.photos.join(&photo.source).display()));
        }
        progress.total(of);
        progress.set(finished, "cutting faces");
        !stop.load(Ordering::Relaxed)
    });
    progress.done();
    let done = done?;
    let out = args.out.display();
    let mut text = format!(
        "Wrote {} faces of {} photos to {out}; {} photos without a face, {} unreadable\nTable: {}\n",
        done.faces,
        done.photos,
        done.without_faces,
        done.unreadable,
        args.out.join(faces::TABLE).display(),
    );
    if done.complete {
        text.push_str(&format!("Next:  moue train --data {out}\n"));
    } else {
        text.push_str("Interrupted: the same command resumes\n");
    }
    if common.json {
        print_json(&WrittenCuts { out: &args.out, totals: &done })?;
    } else {
        print(&text)?;
    }
    Ok(match done.unreadable {
        _ if !done.complete => ExitCode::from(INTERRUPTED),
        0 => ExitCode::SUCCESS,
        all if all == done.photos => ExitCode::FAILURE,
        _ => ExitCode::from(SOME_FAILED),
    })
}

#[cfg(feature = "parquet")]
fn to_parquet(rows: &[TableRow]) -> anyhow::Result<Vec<u8>> {
    moue_train::data::to_parquet(rows).map_err(anyhow::Error::msg)
}

#[cfg(not(feature = "parquet"))]
fn to_parquet(_: &[TableRow]) -> anyhow::Result<Vec<u8>> {
    anyhow::bail!("this build cannot write Parquet")
}

fn text(statistics: &Statistics) -> String {
    let mut rows = vec![vec![String::new()]];
    for split in &statistics.splits {
        rows[0].push(match &split.source_name {
            Some(own) if own != split.split.name() => format!("{} ({own})", split.split.name()),
            _ => split.split.name().to_owned(),
        });
    }
    for (class, label) in statistics.classes.iter().enumerate() {
        let counts = statistics.splits.iter().map(|split| split.per_class[class].to_string());
        rows.push(std::iter::once(label.clone()).chain(counts).collect());
    }
    let totals = statistics.splits.iter().map(|split| split.images.to_string());
    rows.push(std::iter::once("total".to_owned()).chain(totals).collect());
    let Extents { height: [low, high], width: [narrow, wide] } = statistics.extents;
    let size = match (low == high, narrow == wide) {
        (true, true) => format!("{low}x{narrow}"),
        _ => format!("different sizes, {low} to {high} rows and {narrow} to {wide} columns"),
    };
    let duplicates = |name: &str, what: &Duplicates| {
        let counts = [what.images, what.groups, what.groups_across_splits, what.groups_with_conflicting_labels];
        std::iter::once(name.to_owned()).chain(counts.map(|count| count.to_string())).collect()
    };
    let names = ["", "images", "groups", "groups across splits", "groups with different labels"];
    let found = [
        names.map(str::to_owned).to_vec(),
        duplicates("exact duplicates", &statistics.duplicates),
        duplicates("near-duplicates", &statistics.near_duplicates),
    ];
    format!(
        "{} images of {size}, {} of them blank\n\n{}\n{}\n\
         A group contains images of the same picture; \"images\" counts those after the first of each group.\n\
         Near-duplicates differ in brightness, noise or compression, and include exact duplicates.\n{}",
        statistics.images,
        statistics.blank,
        table(&rows),
        table(&found),
        statistics.votes.as_ref().map(votes_text).unwrap_or_default(),
    )
}

/// The labels compared with votes.
fn votes_text(votes: &LabelAgreement) -> String {
    let LabelAgreement { splits, contradictions } = votes;
    let line = |name: &str, of: &dyn Fn(&SplitAgreement) -> String| {
        std::iter::once(name.to_owned()).chain(splits.iter().map(of)).collect::<Vec<_>>()
    };
    let counts = [
        line("", &|split| split.split.name().to_owned()),
        line("majority for a class of the votes", &|split| split.n.to_string()),
        line("majority for a class of the data", &|split| split.n_of_classes.to_string()),
        line("no majority", &|split| split.no_majority.to_string()),
        line("unknown", &|split| split.unknown.to_string()),
        line("not a face", &|split| split.not_a_face.to_string()),
        line("without votes", &|split| split.no_votes.to_string()),
        line("label is the majority, %", &|split| percent(split.agreement)),
        line("one person agrees with the majority, %", &|split| percent(split.agreement_of_one)),
    ];
    let classes: Vec<Vec<String>> = (0..splits.first().map_or(0, |split| split.per_class.len()))
        .map(|class| line(&splits[0].per_class[class].label, &|split| percent(split.per_class[class].agreement)))
        .collect();
    let head = vec![line("label, % with this majority", &|split| split.split.name().to_owned())];
    let mut pairs = vec![["label", "majority", "images", "% of the label"].map(str::to_owned).to_vec()];
    pairs.extend(
        contradictions
            .iter()
            .map(|pair| vec![pair.label.clone(), pair.majority.clone(), pair.images.to_string(), percent(pair.share)]),
    );
    format!(
        "\nVotes\n\n{}\n{}\nMost frequent contradictions of label and majority\n\n{}",
        table(&counts),
        table(&[head, classes].concat()),
        table(&pairs)
    )
}
