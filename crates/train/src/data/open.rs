//! Opens a data set from a path.

use super::cache::Cache;
use super::dataset::{Dataset, ImageSpec};
use super::error::DataError;
use super::raw::Raw;
#[cfg(feature = "parquet")]
use super::sources::parquet;
use super::sources::{csv, folders};
use super::{clean, fixing, splits, votes};
use crate::config::DataOptions;
use std::path::Path;

/// Opens a data set as it was downloaded: a CSV or image folders, compressed or not, and determines
/// its splits and the targets of training. `progress` is called with the number of decoded images.
///
/// # Errors
/// When the path contains no data set, or too many items cannot be read.
pub fn open(
    path: impl AsRef<Path>,
    form: ImageSpec,
    options: &DataOptions,
    seed: u64,
    cache: &Cache,
    progress: &dyn Fn(usize),
) -> Result<Dataset, DataError> {
    let path = path.as_ref();
    let raw = cache.get_or_decode(path, form, options.faces, || decode(path, form, options.faces, progress))?;
    let mut dataset = splits::resolve(raw, options, seed)?;
    fixing::apply(&mut dataset, options)?;
    clean::clean(&mut dataset, options);
    votes::apply(&mut dataset, options)?;
    Ok(dataset)
}

#[cfg(not(feature = "parquet"))]
fn refuse_parquet(path: &Path) -> Result<Option<Raw>, DataError> {
    if path.extension().is_some_and(|own| own.eq_ignore_ascii_case("parquet")) {
        let found =
            "a Parquet file, but this build does not support Parquet; build moue with `--features parquet`".to_owned();
        return Err(DataError::Unrecognized { path: path.to_owned(), found });
    }
    Ok(None)
}

fn decode(path: &Path, form: ImageSpec, faces: bool, progress: &dyn Fn(usize)) -> Result<Raw, DataError> {
    #[cfg(feature = "parquet")]
    let table = parquet::open(path, form, progress)?;
    #[cfg(not(feature = "parquet"))]
    let table = refuse_parquet(path)?;
    let raw = match table.map_or_else(|| csv::open(path, form, progress), |raw| Ok(Some(raw)))? {
        Some(raw) => raw,
        None => folders::open(path, form, faces, progress)?,
    };
    raw.tolerate(path)?;
    if raw.classes.len() < 2 {
        return Err(DataError::OneClass { path: path.to_owned(), class: raw.classes.concat() });
    }
    Ok(raw)
}
