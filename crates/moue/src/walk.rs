//! Lists what a folder contains in order of names, with what cannot be read. Links are followed, but not to a folder
//! that contains them.

use std::io;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// An item of a folder or of its subfolders.
#[derive(Debug)]
pub enum Item {
    /// A file, or a link to one.
    File(PathBuf),
    /// A pipe, socket or device, which may never end, or a link to a folder that contains it.
    Other(PathBuf),
    /// A folder that cannot be read, or a link that leads nowhere.
    Unreadable(PathBuf, io::Error),
}

/// The items of a folder and of its subfolders up to this depth, 1 for none. Links are followed. A
/// folder is read when its turn comes: the names in it, and in those above it, are in memory.
pub fn walk(folder: &Path, depth: usize) -> impl Iterator<Item = Item> + use<> {
    let own = folder.canonicalize().ok();
    // The files of a folder that contains the first one are not its own.
    let is_above =
        move |path: &Path| own.as_ref().is_some_and(|own| path.canonicalize().is_ok_and(|path| own.starts_with(path)));
    let mut entries = WalkDir::new(folder).max_depth(depth).follow_links(true).sort_by_file_name().into_iter();
    std::iter::from_fn(move || {
        loop {
            let error = match entries.next()? {
                Ok(entry) if entry.file_type().is_file() => return Some(Item::File(entry.into_path())),
                Ok(entry) if !entry.file_type().is_dir() => return Some(Item::Other(entry.into_path())),
                Ok(entry) if entry.depth() > 0 && entry.path_is_symlink() && is_above(entry.path()) => {
                    entries.skip_current_dir();
                    return Some(Item::Other(entry.into_path()));
                }
                Ok(_) => continue,
                Err(error) => error,
            };
            let Some(path) = error.path().map(Path::to_owned) else { continue };
            if error.loop_ancestor().is_some() {
                return Some(Item::Other(path));
            }
            let reason = error.to_string();
            return Some(Item::Unreadable(path, error.into_io_error().unwrap_or_else(|| io::Error::other(reason))));
        }
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn each_file_is_listed_once_and_links_to_folders_above_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("photos");
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        for name in ["other.png", "photos/b.png", "photos/inner/a.png"] {
            std::fs::write(place.path().join(name), b"x").unwrap();
        }
        for (target, link) in [("..", "above"), (".", "own"), ("none", "lost"), ("inner/a.png", "link.png")] {
            symlink(target, folder.join(link)).unwrap();
        }
        symlink("../..", folder.join("inner/above")).unwrap();
        let listed = |depth| -> Vec<String> {
            walk(&folder, depth)
                .map(|item| {
                    let (kind, path) = match item {
                        Item::File(path) => ("file", path),
                        Item::Other(path) => ("other", path),
                        Item::Unreadable(path, _) => ("unreadable", path),
                    };
                    format!("{kind} {}", path.strip_prefix(&folder).unwrap().display())
                })
                .collect()
        };
        let first = ["other above", "file b.png"];
        let inner = ["file inner/a.png", "other inner/above"];
        let last = ["file link.png", "unreadable lost", "other own"];
        assert_eq!(listed(usize::MAX), [&first[..], &inner, &last].concat());
        assert_eq!(listed(1), [&first[..], &last].concat());
    }
}
