//! Cuts the faces out of photos, as files: a dataset of photos becomes one of faces.
//!
//! Faces are detected and cropped as in [`moue::predict`], so that a network is trained on what it
//! gets in a prediction. A table records where each face comes from, and is what a second call
//! continues from. [`crate::config::DataOptions::faces`] does the same while a dataset is loaded.

use super::face_records::{Record, complete};
use super::png::write_png;
use super::sources::is_litter;
use crate::csv_rows::{Decimals, csv_rows};
use moue::detect::{DetectOptions, Detection, Detector, DetectorError};
use moue::fs::{is_temporary, write_atomically};
use moue::image::{ImageError, decode_image, is_image, read_image_file};
use moue::message::at_path;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// The table in the folder of the faces.
pub const TABLE: &str = "faces.csv";

/// The options with which the faces were cut, next to the table.
const OPTIONS: &str = "faces.json";

/// Photos that each thread processes before the table is written.
const PHOTOS_A_THREAD: usize = 8;

/// How faces are cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceOptions {
    /// `[height, width]` of a face in pixels; that of the network that is trained on them.
    pub size: [usize; 2],
    /// 1 for luma, 3 for RGB.
    pub channels: usize,
    /// Side of the smallest face; see [`DetectOptions::min_face`].
    pub min_face: u32,
    /// Minimum score of a face; see [`DetectOptions::min_score`].
    pub min_score: f32,
    /// File of the face detector; `None` for the bundled one.
    pub detector: Option<PathBuf>,
}

impl Default for FaceOptions {
    /// The input of the bundled models, and the detector's defaults.
    fn default() -> Self {
        Self { size: [48, 48], channels: 1, min_face: 0, min_score: 0.0, detector: None }
    }
}

/// What was done with a photo.
#[derive(Clone, Debug, PartialEq)]
pub struct CutPhoto {
    /// Path of the photo in its folder.
    pub source: String,
    /// Files of its faces in the folder of the faces.
    pub faces: Vec<String>,
    /// Why the photo cannot be read.
    pub error: Option<String>,
}

/// The totals of a call, earlier interrupted calls included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CutFaces {
    /// Photos in the folder.
    pub photos: usize,
    /// Faces that were cut.
    pub faces: usize,
    /// Photos without a face.
    pub without_faces: usize,
    /// Photos that cannot be read.
    pub unreadable: usize,
    /// Photos that were finished by an earlier call.
    pub resumed: usize,
    /// Whether all photos are finished.
    pub complete: bool,
}

/// Why faces cannot be cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutFacesError {
    /// The faces would be written among the photos.
    #[error("{} is the folder of the photos; choose another folder for the faces", .0.display())]
    SameFolder(PathBuf),
    /// The folder has no photos.
    #[error("{} contains no images", .0.display())]
    NoPhotos(PathBuf),
    /// A folder or file cannot be read or written.
    #[error("{}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The folder contains something else.
    #[error("{} contains other files; choose a new or empty folder", .0.display())]
    NotEmpty(PathBuf),
    /// The faces in the folder were cut out of other photos, or with other options.
    #[error(
        "the faces in {} were cut out of other photos or with other options; repeat those, or choose another folder",
        .0.display()
    )]
    OtherOptions(PathBuf),
    /// The detector cannot be loaded.
    #[error(transparent)]
    Detector(#[from] DetectorError),
}

/// What the faces in a folder were cut out of, and how; written next to the table.
#[derive(Serialize)]
struct Origin<'a> {
    photos: PathBuf,
    #[serde(flatten)]
    options: &'a FaceOptions,
}

/// A row of `faces.csv`: a face, a photo without a face (`file` is empty), or a photo that cannot be
/// read (`error`).
#[derive(Clone, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FaceRow {
    /// Path of the photo in its folder.
    source: String,
    /// File of the face in the folder of the table.
    file: String,
    /// Left edge of the box in the photo, in pixels.
    x: Option<u32>,
    /// Upper edge of the box.
    y: Option<u32>,
    /// Width of the box.
    width: Option<u32>,
    /// Height of the box.
    height: Option<u32>,
    /// The detector's score, 0–1.
    score: Option<Decimals<3>>,
    /// Tilt of the face in degrees, clockwise.
    roll: Option<Decimals<1>>,
    /// The person's right eye, in pixels from the left edge of the photo, like all landmarks.
    right_eye_x: Option<Decimals<2>>,
    /// The person's right eye, in pixels from the upper edge of the photo, like all landmarks.
    right_eye_y: Option<Decimals<2>>,
    /// The left eye.
    left_eye_x: Option<Decimals<2>>,
    /// The left eye.
    left_eye_y: Option<Decimals<2>>,
    /// The nose.
    nose_x: Option<Decimals<2>>,
    /// The nose.
    nose_y: Option<Decimals<2>>,
    /// The right corner of the mouth.
    right_mouth_x: Option<Decimals<2>>,
    /// The right corner of the mouth.
    right_mouth_y: Option<Decimals<2>>,
    /// The left corner of the mouth.
    left_mouth_x: Option<Decimals<2>>,
    /// The left corner of the mouth.
    left_mouth_y: Option<Decimals<2>>,
    /// Whether the whole picture was taken as a face, because no face was certain.
    whole_picture: bool,
    /// Why the photo cannot be read; empty otherwise.
    error: String,
}

/// Cuts the faces of all photos below `photos` into `out`, in the same folders, as PNG files, and
/// describes them in `out/faces.csv`. Photos that an earlier call finished are not read again.
/// `observe` is called after each photo with the number of finished photos and of all; it returns
/// whether to continue. Works on all threads of the pool.
///
/// # Errors
/// When `photos` contains no images, `out` cannot be written or contains something else, or the
/// detector cannot be loaded. A photo that cannot be read is a row of the table and not an error.
pub fn cut_faces(
    photos: impl AsRef<Path>,
    out: impl AsRef<Path>,
    options: &FaceOptions,
    observe: &mut dyn FnMut(&CutPhoto, usize, usize) -> bool,
) -> Result<CutFaces, CutFacesError> {
    let (photos, out) = (photos.as_ref(), out.as_ref());
    let sources = sources(photos, out)?;
    let loaded = options.detector.as_ref().map(Detector::load).transpose()?;
    let detector = loaded.as_ref().unwrap_or_else(|| Detector::bundled());
    let origin = Origin { photos: photos.canonicalize().unwrap_or_else(|_| photos.to_owned()), options };
    let mut table = Table::open(out, &origin)?;
    let mut done = CutFaces { photos: sources.len(), ..CutFaces::default() };
    let waiting: Vec<&Source> = sources.iter().filter(|source| !table.finished.contains(&source.name)).collect();
    done.resumed = sources.len() - waiting.len();
    let mut finished = done.resumed;
    done.complete = true;
    'photos: for chunk in waiting.chunks(PHOTOS_A_THREAD * rayon::current_num_threads()) {
        let cut = |source: &&Source| cut_photo(photos, out, source, options, detector);
        let cut: Vec<Vec<FaceRow>> = chunk.par_iter().with_max_len(1).map(cut).collect::<Result<_, _>>()?;
        for rows in cut {
            table.add(&rows)?;
            finished += 1;
            if !observe(&summary(&rows), finished, sources.len()) {
                done.complete = false;
                break 'photos;
            }
        }
    }
    [done.faces, done.without_faces, done.unreadable] = table.counts;
    Ok(done)
}

/// Faces, photos without a face, and unreadable photos among rows with these files and errors.
fn counted<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> [usize; 3] {
    let mut counts = [0; 3];
    for (file, error) in rows {
        let kind = if !error.is_empty() { 2 } else { usize::from(file.is_empty()) };
        counts[kind] += 1;
    }
    counts
}

fn summary(rows: &[FaceRow]) -> CutPhoto {
    let files = rows.iter().map(|row| row.file.clone()).filter(|file| !file.is_empty()).collect();
    let error = rows.iter().map(|row| row.error.clone()).find(|error| !error.is_empty());
    CutPhoto { source: rows.first().map(|row| row.source.clone()).unwrap_or_default(), faces: files, error }
}

/// A photo, and the path of its faces without number and extension.
struct Source {
    name: String,
    stem: String,
}

/// The photos below a folder in the order of their names, without those below `out`.
fn sources(photos: &Path, out: &Path) -> Result<Vec<Source>, CutFacesError> {
    let io = |path: &Path, source| CutFacesError::Io { path: path.to_owned(), source };
    std::fs::read_dir(photos).map_err(|source| io(photos, at_path(photos, source)))?;
    let own = out.canonicalize().ok();
    if own.is_some() && photos.canonicalize().ok() == own {
        return Err(CutFacesError::SameFolder(photos.to_owned()));
    }
    let walk = WalkDir::new(photos).follow_links(true).sort_by_file_name().into_iter();
    // Only folders are looked up: there may be a hundred thousand photos.
    let is_out = |path: &Path| own.is_some() && path.canonicalize().ok() == own;
    let walk = walk.filter_entry(|entry| !(entry.file_type().is_dir() && is_out(entry.path())));
    let mut names = Vec::new();
    for entry in walk {
        // What cannot be listed, such as a broken link, is reported when it is read.
        let (path, is_file) = match &entry {
            Ok(entry) => (entry.path(), entry.file_type().is_file()),
            Err(error) => (error.path().unwrap_or(photos), true),
        };
        let Ok(inside) = path.strip_prefix(photos) else { continue };
        let name = inside.to_string_lossy().replace('\\', "/");
        if is_file && is_image(&name) && !is_litter(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(CutFacesError::NoPhotos(photos.to_owned()));
    }
    // `a.jpg` and `a.png` are different photos, and `a-1.jpg` is not the first face of `a.jpg`.
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for name in &names {
        *counts.entry(stem(name).to_lowercase()).or_default() += 1;
    }
    let source = |name: String| {
        let own = stem(&name).to_lowercase();
        let number = own.rsplit_once('-').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
        let is_face_of_other = number.is_some_and(|(other, _)| counts.contains_key(other));
        let unique = counts.get(&own) == Some(&1) && !is_face_of_other;
        Source { stem: if unique { stem(&name) } else { name.clone() }, name }
    };
    Ok(names.into_iter().map(source).collect())
}

/// Writes the faces of a photo; returns its rows.
fn cut_photo(
    photos: &Path,
    out: &Path,
    source: &Source,
    options: &FaceOptions,
    detector: &Detector,
) -> Result<Vec<FaceRow>, CutFacesError> {
    let file = File::open(photos.join(&source.name)).map_err(ImageError::Read);
    let row = FaceRow { source: source.name.clone(), ..FaceRow::default() };
    let photo = match file.and_then(read_image_file).and_then(|bytes| decode_image(&bytes)) {
        Ok(photo) => photo,
        Err(error) => return Ok(vec![FaceRow { error: error.to_string(), ..row }]),
    };
    let FaceOptions { min_face, min_score, .. } = *options;
    let found = detector.find(&photo, &DetectOptions { min_face, min_score, ..DetectOptions::default() });
    if found.is_empty() {
        return Ok(vec![row]);
    }
    let mut rows = Vec::new();
    for (number, face) in (1..).zip(&found) {
        let number = if found.len() == 1 { String::new() } else { format!("-{number}") };
        let file = format!("{}{number}.png", source.stem);
        let path = out.join(&file);
        write_png(&path, &face.pixels(&photo, options.size, options.channels), options.size, options.channels)
            .map_err(|source| CutFacesError::Io { path, source })?;
        rows.push(described(FaceRow { file, ..row.clone() }, face, photo.width(), photo.height()));
    }
    Ok(rows)
}

fn described(row: FaceRow, face: &Detection, width: u32, height: u32) -> FaceRow {
    let place = face.within(width, height);
    let points = face.points();
    let x = |number: usize| points.map(|points| Decimals(f64::from(points[number].x)));
    let y = |number: usize| points.map(|points| Decimals(f64::from(points[number].y)));
    FaceRow {
        x: Some(place.x),
        y: Some(place.y),
        width: Some(place.width),
        height: Some(place.height),
        score: Some(Decimals(f64::from(face.score))),
        roll: face.roll().map(|roll| Decimals(f64::from(roll))),
        right_eye_x: x(0),
        right_eye_y: y(0),
        left_eye_x: x(1),
        left_eye_y: y(1),
        nose_x: x(2),
        nose_y: y(2),
        right_mouth_x: x(3),
        right_mouth_y: y(3),
        left_mouth_x: x(4),
        left_mouth_y: y(4),
        whole_picture: face.is_whole_picture(),
        ..row
    }
}

/// The table, which grows by the rows of one photo at a time.
struct Table {
    file: File,
    path: PathBuf,
    finished: HashSet<String>,
    /// As of [`counted`].
    counts: [usize; 3],
}

impl Table {
    /// Starts the table of a new folder, or continues that of an interrupted call.
    fn open(out: &Path, origin: &Origin<'_>) -> Result<Self, CutFacesError> {
        let (path, about) = (out.join(TABLE), out.join(OPTIONS));
        let io = |source| CutFacesError::Io { path: out.to_owned(), source };
        std::fs::create_dir_all(out).map_err(io)?;
        let text = serde_json::to_string(origin).unwrap_or_default() + "\n";
        let mut rows = Vec::new();
        match std::fs::read_to_string(&about) {
            Ok(earlier) if earlier == text => {
                rows = complete(&std::fs::read(&path).unwrap_or_default());
            }
            Ok(_) => return Err(CutFacesError::OtherOptions(out.to_owned())),
            Err(_) if std::fs::read_dir(out).map_err(io)?.flatten().any(|entry| !is_temporary(entry.path())) => {
                return Err(CutFacesError::NotEmpty(out.to_owned()));
            }
            Err(_) => {}
        }
        let finished = rows.iter().map(|record| record.source().to_owned()).collect();
        let counts = counted(rows.iter().map(|record| (record.file(), record.error())));
        // The options are written first: without them, a later call refuses the folder.
        write_atomically(&about, text.as_bytes()).map_err(io)?;
        write_atomically(&path, &csv_text(&rows)).map_err(io)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok(Self { file, path, finished, counts })
    }

    /// Adds the rows of a photo, in one write.
    fn add(&mut self, rows: &[FaceRow]) -> Result<(), CutFacesError> {
        let added = counted(rows.iter().map(|row| (&*row.file, &*row.error)));
        self.counts.iter_mut().zip(added).for_each(|(count, added)| *count += added);
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        for row in rows {
            // Writing plain fields to memory cannot fail.
            let _ = writer.serialize(row);
        }
        let bytes = writer.into_inner().unwrap_or_default();
        self.file.write_all(&bytes).map_err(|source| CutFacesError::Io { path: self.path.clone(), source })
    }
}

/// The text of a table with these rows.
fn csv_text(rows: &[Record]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(csv_rows::<FaceRow>(&[]));
    for row in rows {
        let _ = writer.write_record(row.fields());
    }
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let picture = image::GrayImage::from_pixel(64, 80, image::Luma([120]));
        for name in
            ["photos/b/one.png", "photos/a/one.jpg", "photos/a/one.png", "photos/a/one-2.png", "photos/a/.three.png"]
        {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture.save(path).unwrap();
        }
        std::fs::write(place.path().join("photos/a/broken.jpg"), b"no picture").unwrap();
        std::fs::write(place.path().join("photos/notes.txt"), b"x").unwrap();
        place
    }

    fn cut(place: &Path, options: &FaceOptions, most: usize) -> Result<CutFaces, CutFacesError> {
        let mut calls = 0;
        cut_faces(place.join("photos"), place.join("faces"), options, &mut |_, _, _| {
            calls += 1;
            calls < most
        })
    }

    #[test]
    fn photos_are_listed_once_and_named_after_their_folders() {
        let place = place();
        let found = sources(&place.path().join("photos"), &place.path().join("photos/b")).unwrap();
        let stems: Vec<&str> = found.iter().map(|source| &*source.stem).collect();
        assert_eq!(stems, ["a/broken", "a/one-2.png", "a/one.jpg", "a/one.png"]);
        assert!(matches!(sources(&place.path().join("none"), place.path()), Err(CutFacesError::Io { .. })));
        assert!(matches!(sources(place.path(), place.path()), Err(CutFacesError::SameFolder(_))));
    }

    #[test]
    fn an_interrupted_call_is_resumed() {
        let (place, options) = (place(), FaceOptions::default());
        let first = cut(place.path(), &options, 2).unwrap();
        assert!(!first.complete && first.without_faces + first.unreadable == 2, "{first:?}");
        // A crash in the middle of a line: its photo, and the one before, are processed again.
        let table = place.path().join("faces").join(TABLE);
        let text = std::fs::read_to_string(&table).unwrap();
        std::fs::write(&table, format!("{text}b/one.p")).unwrap();
        let second = cut(place.path(), &options, usize::MAX).unwrap();
        assert_eq!((second.photos, second.resumed, second.without_faces, second.unreadable), (5, 1, 4, 1));
        let text = std::fs::read_to_string(&table).unwrap();
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.contains("not a PNG, JPEG"), "{text}");
        let third = cut(place.path(), &options, usize::MAX).unwrap();
        assert_eq!((third.resumed, third.without_faces, third.complete), (5, 4, true));
        assert_eq!(std::fs::read_to_string(&table).unwrap(), text);
    }

    /// The first file of a folder may be incomplete, and the options may be the only one.
    #[test]
    fn a_call_that_was_killed_at_its_first_file_is_repeated() {
        let (place, options) = (place(), FaceOptions::default());
        let out = place.path().join("faces");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join(".moue-x1y2z3"), b"{").unwrap();
        assert!(cut(place.path(), &options, usize::MAX).unwrap().complete);
        std::fs::remove_file(out.join(TABLE)).unwrap();
        let again = cut(place.path(), &options, usize::MAX).unwrap();
        assert_eq!((again.complete, again.resumed), (true, 0));
    }

    #[test]
    fn folders_with_other_content_are_not_touched() {
        let place = place();
        cut(place.path(), &FaceOptions::default(), usize::MAX).unwrap();
        let other = FaceOptions { channels: 3, ..FaceOptions::default() };
        assert!(matches!(cut(place.path(), &other, 9), Err(CutFacesError::OtherOptions(_))));
        std::fs::remove_file(place.path().join("faces").join(OPTIONS)).unwrap();
        assert!(matches!(cut(place.path(), &other, 9), Err(CutFacesError::NotEmpty(_))));
    }
}
