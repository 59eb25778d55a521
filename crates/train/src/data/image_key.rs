//! Which image a row of a table is about: a row number of the data set, or a file name or the end of a path.

use std::collections::HashMap;
use std::fmt;

/// Which image a row is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageKey {
    /// Its row in the data set, from 0.
    Row(usize),
    /// Its file name, or the end of its path.
    Name(String),
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(row) => write!(f, "row {row}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The keys under which an image may be listed, the longest name first.
fn keys(id: &str) -> impl Iterator<Item = ImageKey> + '_ {
    let starts = std::iter::once(0).chain(id.match_indices('/').map(|(at, _)| at + 1));
    let file = id.rsplit('/').next().unwrap_or(id);
    let number = file.split_once('.').map_or(file, |(stem, _)| stem).parse().ok().map(ImageKey::Row);
    starts.map(|start| ImageKey::Name(id[start..].to_owned())).chain(number)
}

/// The images whose id is this name or ends with it, or whose row or file number it is.
#[must_use]
pub fn images_named(ids: &[String], name: &str) -> Vec<usize> {
    let key = name.parse().map_or_else(|_| ImageKey::Name(name.to_owned()), ImageKey::Row);
    let ids = ids.iter().enumerate();
    ids.filter(|(_, id)| *id == name || keys(id).any(|own| own == key)).map(|(image, _)| image).collect()
}

/// For each image, the row of the table that is about it; each key belongs to one row and each row to at most one image.
///
/// # Errors
/// When a row is about several images, or two rows about the same one.
pub fn matched<'a>(rows: impl Iterator<Item = &'a ImageKey>, ids: &[String]) -> Result<Vec<Option<usize>>, String> {
    let rows: Vec<&ImageKey> = rows.collect();
    let mut index: HashMap<&ImageKey, usize> = HashMap::new();
    for (number, &key) in rows.iter().enumerate() {
        if let Some(first) = index.insert(key, number) {
            return Err(format!("its rows {first} and {number} are for the same image, {key}"));
        }
    }
    let mut used = vec![None; rows.len()];
    let mut found = Vec::with_capacity(ids.len());
    for (image, id) in ids.iter().enumerate() {
        let row = keys(id).find_map(|key| index.get(&key).copied());
        if let Some(first) = row.and_then(|row| used[row].replace(image)) {
            let (first, key): (usize, _) = (first, rows[row.unwrap_or_default()]);
            return Err(format!("{key} is the image {} and the image {id}; write paths", ids[first]));
        }
        found.push(row);
    }
    Ok(found)
}
