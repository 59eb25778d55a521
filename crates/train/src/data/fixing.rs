//! Applies fixes to a data set, after its splits are determined, so that the splits are those without fixes.

use super::dataset::Dataset;
use super::error::DataError;
use super::fixes::{AppliedFixes, Fix, FixAction, parse};
use super::image_key::matched;
use crate::config::DataOptions;
use moue::message::{did_you_mean, nearest};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Applies the file of fixes, if there is one, and adds a note.
///
/// # Errors
/// When the file cannot be read, is not a table of fixes, or does not fit the data.
pub fn apply(dataset: &mut Dataset, options: &DataOptions) -> Result<(), DataError> {
    let Some(path) = &options.fixes else { return Ok(()) };
    let bytes = moue::fs::read(path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    apply_bytes(dataset, &bytes).map_err(|reason| DataError::Fixes { path: path.clone(), reason })
}

fn apply_bytes(dataset: &mut Dataset, bytes: &[u8]) -> Result<(), String> {
    let rows = parse(bytes)?;
    let found = matched(rows.iter().map(|(key, _)| key), &dataset.ids)?;
    let hash = base16ct::lower::encode_string(&Sha256::digest(bytes));
    let mut applied = AppliedFixes { hash, fixes: Vec::new(), by_id: BTreeMap::new(), relabeled: 0, dropped: 0 };
    let mut keep = vec![true; dataset.len()];
    for (image, row) in found.iter().enumerate().filter_map(|(image, row)| Some((image, (*row)?))) {
        let fix = &rows[row].1;
        let before = dataset.classes[dataset.labels[image] as usize].clone();
        match fix.action {
            FixAction::Keep => {}
            FixAction::Drop => {
                keep[image] = false;
                applied.dropped += 1;
                continue;
            }
            FixAction::Relabel => {
                let label = class(dataset, fix, row)?;
                applied.relabeled += usize::from(dataset.labels[image] != label);
                dataset.labels[image] = label;
            }
        }
        applied.by_id.insert(dataset.ids[image].clone(), (row, before));
    }
    let used = found.iter().flatten().count();
    if used == 0 && !rows.is_empty() {
        let own = dataset.ids.first().map_or("", String::as_str);
        return Err(format!("none of its rows ({} …) is for an image of this data ({own} …)", rows[0].0));
    }
    if keep.contains(&false) {
        dataset.retain(&keep);
    }
    dataset.notes.push(format!("fixes: {} labels changed, {} images left out", applied.relabeled, applied.dropped));
    if used < rows.len() {
        dataset.notes.push(format!(
            "{} of the {} fixes are for images that this data does not have",
            rows.len() - used,
            rows.len()
        ));
    }
    applied.fixes = rows.into_iter().map(|(_, fix)| fix).collect();
    dataset.fixes = Some(applied);
    Ok(())
}

/// The class that a fix names.
fn class(dataset: &Dataset, fix: &Fix, row: usize) -> Result<u32, String> {
    let label = fix.label.as_deref().unwrap_or_default();
    let found = dataset.classes.iter().position(|class| class == label);
    found.map(|class| class as u32).ok_or_else(|| {
        let near = nearest(label, dataset.classes.iter().map(String::as_str));
        format!("row {row} has the label `{label}`, which is no class of this data{}", did_you_mean(near))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{LabeledImage, Split};

    fn dataset(ids: &[&str]) -> Dataset {
        let image = |id: &&str| LabeledImage { id: (*id).into(), label: 0, split: Split::Train, pixels: vec![7] };
        Dataset::from_images(&["calm", "happy"].map(str::to_owned), [1, 1, 1], ids.iter().map(image)).unwrap()
    }

    fn fixed(text: &str, ids: &[&str]) -> Result<Dataset, String> {
        let mut data = dataset(ids);
        apply_bytes(&mut data, text.as_bytes()).map(|()| data)
    }

    #[test]
    fn images_are_kept_relabeled_and_dropped() {
        let data =
            fixed("row,action,label\n2,relabel,happy\n0,drop,\n1,keep,\n9,drop,\n", &["0", "1", "2", "3"]).unwrap();
        assert_eq!((data.ids.join(" "), data.labels.clone()), ("1 2 3".to_owned(), vec![0, 1, 0]));
        assert_eq!(
            data.notes,
            [
                "fixes: 1 labels changed, 1 images left out",
                "1 of the 4 fixes are for images that this data does not have"
            ]
        );
        let fixes = data.fixes.unwrap();
        assert_eq!((fixes.fixes.len(), fixes.hash.len()), (4, 64));
        assert_eq!(fixes.by_id.keys().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(fixes.by_id["2"], (0, "calm".to_owned()));
    }

    #[test]
    fn files_are_found_by_the_end_of_their_path() {
        let data = fixed("file,action,label\nb/1.png,relabel,happy\n", &["a/1.png", "x/b/1.png"]).unwrap();
        assert_eq!(data.labels, [0, 1]);
    }

    #[test]
    fn mistakes_are_explained() {
        let refused = |text: &str, part: &str| {
            let message = fixed(text, &["0", "1"]).unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        refused("row,label\n0,happy\n", "no column `action` (it has row, label)");
        refused("action\nkeep\n", "no column `row` or `file`");
        refused("row,action\n0,remove\n", "row 0: the action `remove` is not keep, relabel or drop");
        refused("row,action,label\n0,relabel,\n", "row 0 relabels row 0, but has no label");
        refused("row,action,label\n0,relabel,hapy\n", "did you mean `happy`?");
        refused("row,action\nx,drop\n", "`x` is not a row number");
        refused("row,action\n7,drop\n", "none of its rows (row 7 …)");
        refused("row,action\n1,drop\n1,keep\n", "rows 0 and 1 are for the same image, row 1");
    }
}
