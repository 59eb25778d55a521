//! `moue data`.

use super::{open_source, print};
use crate::args::{Common, DataCommand, SplitArgs};
use crate::error::UsageError;
use crate::output::table::table;
use anyhow::Context;
use moue::fs::write_atomically;
use moue_train::config::Config;
use moue_train::config::DataOptions;
use moue_train::data::statistics::{Duplicates, Statistics, describe};
use moue_train::data::table::{TableRow, rows, to_csv};
use moue_train::data::{DataSource, Dataset, ImageSpec, synthetic};
use moue_train::report::preview::{self, Preview};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub fn run(command: &DataCommand, common: &Common) -> anyhow::Result<ExitCode> {
    let seed = common.seed.unwrap_or(0);
    let open = |path: &Path, split: &SplitArgs| -> anyhow::Result<Dataset> {
        let options = DataOptions::default().with_split(split.official_split, split.as_given);
        let source = DataSource::Given(path.to_owned());
        Ok(open_source(&source, ImageSpec { size: None, channels: 1 }, &options, seed, common)?)
    };
    match command {
        DataCommand::Info { path, split_of } => {
            let dataset = open(path, split_of)?;
            let statistics = describe(&dataset);
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
            let document = json!({"out": out, "rows": rows.len(), "form": form});
            let text = format!("Wrote {} rows to {}\n", rows.len(), out.display());
            print(&if common.json { format!("{document}\n") } else { text })?;
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
            let document = json!({"out": out, "images": dataset.len(), "form": form});
            let text = format!("Wrote a preview of {} images to {}\n", dataset.len(), out.display());
            print(&if common.json { format!("{document}\n") } else { text })?;
        }
        DataCommand::Draw { dir, count } => {
            let written = synthetic::write(dir, *count as usize, seed)
                .with_context(|| format!("cannot write synthetic faces to {}", dir.display()))?;
            let document = json!({"dir": dir, "images": written, "seed": seed});
            let text = format!(
                "Wrote {written} synthetic faces to {}\nNext: moue train --data {}\n",
                dir.display(),
                dir.display()
            );
            print(&if common.json { format!("{document}\n") } else { text })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "parquet")]
fn to_parquet(rows: &[TableRow]) -> anyhow::Result<Vec<u8>> {
    moue_train::data::to_parquet(rows).map_err(anyhow::Error::msg)
}

#[cfg(not(feature = "parquet"))]
fn to_parquet(_: &[TableRow]) -> anyhow::Result<Vec<u8>> {
    anyhow::bail!("this build cannot write Parquet")
}

/// Returns the format that the file extension selects.
fn extension<'a>(out: &Path, forms: &[&'a str]) -> Result<&'a str, UsageError> {
    let own = out.extension().map(|own| own.to_string_lossy().to_ascii_lowercase());
    forms.iter().copied().find(|form| own.as_deref() == Some(form)).ok_or_else(|| {
        let forms = forms.iter().map(|form| format!(".{form}")).collect::<Vec<_>>().join(" or ");
        UsageError(format!("--out {} must end in {forms}", out.display()))
    })
}

fn save(out: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    write_atomically(out, bytes).with_context(|| format!("cannot write {}", out.display()))
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
    let [height, width, _] = statistics.shape;
    let found = |what: &Duplicates| {
        format!(
            "{} images in {} groups; {} groups span several splits, {} have conflicting labels",
            what.images, what.groups, what.groups_across_splits, what.groups_with_conflicting_labels
        )
    };
    format!(
        "{} images of {height}x{width}\n\n{}\nblank images:     {}\nexact duplicates: {}\nnear-duplicates:  {}\n",
        statistics.images,
        table(&rows),
        statistics.blank,
        found(&statistics.duplicates),
        found(&statistics.near_duplicates),
    )
}
