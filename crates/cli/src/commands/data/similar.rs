//! `moue data similar`.

use crate::args::{Common, SimilarArgs};
use crate::commands::{open_source, print, print_json};
use crate::output::file::{extension, save};
use crate::output::table::table;
use crate::progress::Progress;
use moue::Model;
use moue_train::config::DataOptions;
use moue_train::data::{DataSource, ImageSpec};
use moue_train::evaluate::{Neighbor, Query, similar};
use moue_train::report;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// The images that are similar to an image, as `moue data similar --json` prints them.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SimilarImages<'a> {
    /// The dataset, as given.
    data: &'a Path,
    /// The model, as given.
    model: &'a Path,
    /// The image, as given.
    image: &'a Path,
    /// Whether it is an image of the dataset. It is then not among the similar ones.
    in_data: bool,
    /// The most similar first.
    similar: Vec<SimilarImage<'a>>,
}

/// An image that is similar.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SimilarImage<'a> {
    /// Its row number (from 0) or path in the dataset.
    id: &'a str,
    /// Its label.
    label: &'a str,
    /// Its split: `train`, `validation` or `test`.
    split: &'a str,
    /// Cosine similarity of the features, −1 to 1.
    similarity: f32,
}

pub fn run(args: &SimilarArgs, common: &Common) -> anyhow::Result<ExitCode> {
    if let Some(out) = &args.out {
        extension(out, &["html"])?;
    }
    let model = Model::open(&args.model)?;
    let options = DataOptions::default().with_split(args.split_of.official_split, args.split_of.as_given);
    let source = DataSource::Given(args.path.clone());
    let spec = ImageSpec::of_input(model.input());
    let dataset = open_source(&source, spec, &options, common.seed.unwrap_or(0), common)?;
    let query = Query::find(&args.image, &dataset)?;
    let progress = Progress::new(common.quiet, dataset.len(), "images/s");
    let found =
        similar(&model, &dataset, &query, args.count as usize, &mut |done| progress.set(done, "computing features"));
    progress.done();
    let found = found?;
    let neighbor = |neighbor: &Neighbor| SimilarImage {
        id: &dataset.ids()[neighbor.image],
        label: &dataset.classes()[dataset.labels()[neighbor.image] as usize],
        split: dataset.splits()[neighbor.image].name(),
        similarity: neighbor.similarity,
    };
    let images: Vec<SimilarImage<'_>> = found.iter().map(neighbor).collect();
    if let Some(out) = &args.out {
        let name = args.image.to_string_lossy();
        let title = format!("Images similar to {name} in {source}");
        save(out, report::similar(&title, &name, &dataset, &query, &found).as_bytes())?;
    }
    if common.json {
        let (data, model, image) = (args.path.as_path(), args.model.as_path(), args.image.as_path());
        print_json(&SimilarImages { data, model, image, in_data: matches!(query, Query::Image(_)), similar: images })?;
    } else {
        let mut rows = vec![["image", "label", "split", "similarity"].map(str::to_owned).to_vec()];
        rows.extend(images.iter().map(|own| {
            vec![own.id.to_owned(), own.label.to_owned(), own.split.to_owned(), format!("{:.3}", own.similarity)]
        }));
        print(&table(&rows))?;
        if let Some(out) = args.out.as_ref().filter(|_| !common.quiet) {
            eprintln!("Page: {}", out.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
