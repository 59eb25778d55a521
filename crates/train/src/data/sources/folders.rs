//! Images in folders named after their classes, optionally inside split folders or with split
//! prefixes in the file names.

use super::archive;
use crate::data::dataset::{ImageSpec, Split};
use crate::data::error::DataError;
use crate::data::raw::Raw;
use image::DynamicImage;
use moue::detect::{DetectOptions, Detection, Detector};
use moue::image::{decode_image, is_image, read_image_file, to_pixels};
use moue::message::io_reason;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// Image files decoded at a time, and their bytes.
const CHUNK: usize = 512;
const CHUNK_BYTES: usize = 64 << 20;

/// Ignored folders that are named.
const NAMED: usize = 5;

/// Split and class from a file's path.
struct Place<'a> {
    class: &'a str,
    split: Option<(Split, &'a str)>,
    in_split_folder: bool,
}

impl<'a> Place<'a> {
    /// `…/split/class/file`, where the split may be missing, or be a prefix of the file name before
    /// an underscore.
    fn of(name: &'a str) -> Option<Self> {
        let mut parts = name.rsplit('/');
        let file = parts.next()?;
        let class = parts.next()?;
        let prefix = file.split_once('_').map(|(prefix, _)| prefix);
        let official = prefix.filter(|prefix| ["Training", "PublicTest", "PrivateTest"].contains(prefix));
        let named = |own: &'a str| Some((Split::from_name(own)?, own));
        let folder = parts.next().and_then(named);
        Some(Self { class, split: official.and_then(named).or(folder), in_split_folder: folder.is_some() })
    }
}

/// The source's images, or an error that states what was found instead.
pub fn open(path: &Path, form: ImageSpec, faces: bool, progress: &dyn Fn(usize)) -> Result<Raw, DataError> {
    let mut folders = Folders::new(form, faces);
    let (mut others, mut outside) = (0, 0);
    archive::for_each(path, &|_| true, &mut |name, reader| {
        let reader = reader.map_err(|error| io_reason(&error));
        if let (true, Err(reason)) = (name.ends_with('/'), &reader) {
            let folder = name.trim_end_matches('/');
            folders.raw.unused.push(format!("the folder {folder} cannot be read, so its images are missing: {reason}"));
        } else if is_image(name) {
            outside += usize::from(Place::of(name).is_none());
            let bytes = reader.and_then(|reader| read_image_file(reader).map_err(|error| error.to_string()));
            progress(folders.add(name.to_owned(), bytes));
        } else {
            others += 1;
        }
        Ok(())
    })?;
    let raw = folders.finish();
    if raw.labels.is_empty() && raw.faceless.count > 0 {
        let found = format!("{} pictures, in none of which a face was found", raw.faceless.count);
        return Err(DataError::Unrecognized { path: path.to_owned(), found });
    }
    if outside > 0 && raw.labels.is_empty() && raw.broken.count == outside {
        let found = format!("{outside} images that are not in folders named after their classes");
        return Err(DataError::Unrecognized { path: path.to_owned(), found });
    }
    if raw.labels.is_empty() && raw.broken.count == 0 {
        let found = match others {
            0 if !raw.unused.is_empty() => raw.unused.join("; "),
            0 => "it has no files".to_owned(),
            1 => "one file that is neither an image nor a CSV table".to_owned(),
            _ => format!("{others} files, none of which is an image or a CSV table"),
        };
        return Err(DataError::Unrecognized { path: path.to_owned(), found });
    }
    Ok(raw)
}

/// The image, or its faces: `[height, width]` in the picture and pixels of each.
fn pixels(image: &DynamicImage, size: [usize; 2], channels: usize, faces: bool) -> Vec<([u32; 2], Vec<u8>)> {
    if !faces {
        return vec![([image.height(), image.width()], to_pixels(image, size, channels))];
    }
    let found = Detector::bundled().find(image, &DetectOptions::default());
    let side = |face: &Detection| [face.height.round() as u32, face.width.round() as u32];
    found.iter().map(|face| (side(face), face.pixels(image, size, channels))).collect()
}

/// Decodes image files in parallel batches.
pub struct Folders {
    form: ImageSpec,
    /// Whether the faces of a picture are images, and not the picture.
    faces: bool,
    raw: Raw,
    names: Vec<String>,
    /// Index of each image by split, class and file name: Kaggle's zip contains some folders twice.
    seen: HashMap<String, usize>,
    has_split_folders: bool,
    waiting: Vec<(String, Result<Vec<u8>, String>)>,
    waiting_bytes: usize,
}

impl Folders {
    pub fn new(form: ImageSpec, faces: bool) -> Self {
        Self {
            form,
            faces,
            raw: Raw::empty(form.channels),
            names: Vec::new(),
            seen: HashMap::new(),
            has_split_folders: false,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Adds a file, named as in `split/class/file`; returns the number of decoded images.
    pub fn add(&mut self, name: String, bytes: Result<Vec<u8>, String>) -> usize {
        self.waiting_bytes += bytes.as_ref().map_or(0, Vec::len);
        self.waiting.push((name, bytes));
        if self.waiting.len() == CHUNK || self.waiting_bytes >= CHUNK_BYTES {
            self.decode();
        }
        self.raw.labels.len()
    }

    pub fn finish(mut self) -> Raw {
        self.decode();
        if self.has_split_folders {
            self.ignore_other_folders();
        }
        self.raw.sort_classes(&self.names);
        self.raw
    }

    /// Removes the images outside the split folders: as training images, those of another split
    /// would make its accuracy meaningless.
    fn ignore_other_folders(&mut self) {
        let keep: Vec<bool> = self.raw.splits.iter().map(Option::is_some).collect();
        let above = |id: &str| -> Vec<String> { id.match_indices('/').map(|(at, _)| id[..at].to_owned()).collect() };
        let kept = self.raw.ids.iter().zip(&keep).filter(|(_, keep)| **keep);
        let used: HashSet<String> = kept.flat_map(|(id, _)| above(id)).collect();
        let mut ignored: BTreeMap<String, usize> = BTreeMap::new();
        for (id, _) in self.raw.ids.iter().zip(&keep).filter(|(_, keep)| !**keep) {
            let folders = above(id);
            let folder = folders.iter().find(|folder| !used.contains(*folder)).or(folders.last());
            *ignored.entry(folder.cloned().unwrap_or_default()).or_default() += 1;
        }
        if ignored.is_empty() {
            return;
        }
        let mut named: Vec<String> =
            ignored.iter().take(NAMED).map(|(folder, images)| format!("{folder} ({images})")).collect();
        if ignored.len() > NAMED {
            named.push(format!("{} more", ignored.len() - NAMED));
        }
        self.raw.unused.push(format!(
            "images outside the split folders are ignored: {}; to use them, move them to class folders in train, \
             validation or test, or rename their folder to one of these",
            named.join(", ")
        ));
        self.raw.retain(&keep);
        let names = std::mem::take(&mut self.names);
        self.raw.labels.iter_mut().for_each(|own| *own = Raw::label_of(&mut self.names, &names[*own as usize]));
    }

    fn decode(&mut self) {
        if self.form.size.is_none() && !self.faces {
            let image = |bytes: &Result<Vec<u8>, String>| decode_image(bytes.as_ref().ok()?).ok();
            let first = self.waiting.iter().find_map(|(_, bytes)| image(bytes));
            self.form.size = first.map(|first| [first.height() as usize, first.width() as usize]);
        }
        let size = self.form.size.unwrap_or([48, 48]);
        self.raw.size = size;
        self.waiting_bytes = 0;
        // Each thread has one picture of full size at a time.
        let pixels: Vec<_> = self
            .waiting
            .par_drain(..)
            .map(|(name, bytes)| {
                let image = bytes.and_then(|bytes| decode_image(&bytes).map_err(|error| error.to_string()));
                (name, image.map(|image| pixels(&image, size, self.form.channels, self.faces)))
            })
            .collect();
        for (name, found) in pixels {
            match found {
                Ok(found) if found.is_empty() => self.raw.faceless.add(|| name),
                Ok(found) => {
                    let several = found.len() > 1;
                    for (number, (own, pixels)) in (1..).zip(found) {
                        self.push(if several { format!("{name}#{number}") } else { name.clone() }, own, &pixels);
                    }
                }
                Err(reason) => self.raw.broken.add(|| format!("{name}: {reason}")),
            }
        }
    }

    fn push(&mut self, name: String, size: [u32; 2], pixels: &[u8]) {
        let Some(place) = Place::of(&name) else {
            self.raw.broken.add(|| format!("{name}: it is not in a folder named after its class"));
            return;
        };
        let file = name.rsplit('/').next().unwrap_or_default();
        let split = place.split.map(|(split, _)| split);
        self.has_split_folders |= place.in_split_folder;
        let twin = format!("{split:?}/{}/{file}", place.class);
        let index = *self.seen.entry(twin).or_insert(self.raw.labels.len());
        let len = pixels.len();
        if index < self.raw.labels.len() && self.raw.pixels[index * len..(index + 1) * len] == *pixels {
            return;
        }
        let label = Raw::label_of(&mut self.names, place.class);
        if let Some((split, own)) = place.split {
            self.raw.split_names[split as usize].get_or_insert_with(|| own.to_owned());
        }
        self.raw.pixels.extend_from_slice(pixels);
        self.raw.labels.push(label);
        self.raw.splits.push(split);
        self.raw.ids.push(name);
        self.raw.sizes.push(size);
    }
}
