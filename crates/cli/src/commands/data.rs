//! `moue data`.

use super::{open_data, print, table};
use crate::args::{Common, DataCommand};
use anyhow::Context;
use moue::data::statistics::{Statistics, describe};
use moue::data::{DataOptions, ImageForm, drawn};
use serde_json::json;
use std::process::ExitCode;

pub fn run(command: &DataCommand, common: &Common) -> anyhow::Result<ExitCode> {
    let seed = common.seed.unwrap_or(0);
    match command {
        DataCommand::Info { path, official_split } => {
            let options = DataOptions { official_split: *official_split, ..DataOptions::default() };
            let dataset = open_data(path, ImageForm { size: None, channels: 1 }, &options, seed, common)?;
            let statistics = describe(&dataset);
            print(&if common.json { format!("{}\n", serde_json::to_string(&statistics)?) } else { text(&statistics) })?;
        }
        DataCommand::Draw { dir, count } => {
            let written = drawn::write(dir, *count as usize, seed)
                .with_context(|| format!("cannot draw into {}", dir.display()))?;
            let document = json!({"dir": dir, "images": written, "seed": seed});
            let text =
                format!("{written} faces drawn into {}\nNext:  moue train --data {}\n", dir.display(), dir.display());
            print(&if common.json { format!("{document}\n") } else { text })?;
        }
    }
    Ok(ExitCode::SUCCESS)
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
    rows.push(std::iter::once("all".to_owned()).chain(totals).collect());
    let [height, width, _] = statistics.shape;
    let duplicates = &statistics.duplicates;
    format!(
        "{} images of {height}x{width}\n\n{}\nblank images:     {}\n\
         exact duplicates: {} images in {} groups; {} groups reach over splits, {} have conflicting labels\n",
        statistics.images,
        table(&rows),
        statistics.blank,
        duplicates.images,
        duplicates.groups,
        duplicates.groups_across_splits,
        duplicates.groups_with_conflicting_labels
    )
}
