//! A cache of decoded data sets on disk.
//!
//! An entry belongs to a path, an image format and the content: the SHA-256 of the file, or of all
//! files of a folder, is computed each time, so a changed source is decoded again. Entries may be
//! deleted at any time.

use super::dataset::{Broken, ImageSpec, Split};
use super::error::DataError;
use super::raw::Raw;
use base16ct::lower::encode_string as hex;
use etcetera::BaseStrategy;
use moue::fs::write_atomically;
use moue::message::at_path;
use moue::walk::{Item, walk};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Version of the layout of entries and of the decoding.
const FORMAT: u32 = 3;

/// Marks entries of faces that are cut out of pictures; the number is the version of detection and
/// cropping.
const FACES: &str = " faces 1";

/// Location of the cache.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    source: String,
    classes: Vec<String>,
    size: [usize; 2],
    channels: usize,
    ids: Vec<String>,
    split_names: [Option<String>; 3],
    broken: Broken,
    faceless: Broken,
    unused: Vec<String>,
}

impl Cache {
    /// No cache.
    #[must_use]
    pub fn off() -> Self {
        Self { folder: None }
    }

    /// A cache in this folder, which is created when needed.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// The folder named by the environment variable `MOUE_CACHE` (`off` for none), else `moue` in
    /// the system's cache folder.
    #[must_use]
    pub fn standard() -> Self {
        match std::env::var_os("MOUE_CACHE") {
            Some(value) if value == "off" => Self::off(),
            Some(value) if !value.is_empty() => Self::at(value.into()),
            _ => Self { folder: etcetera::choose_base_strategy().ok().map(|base| base.cache_dir().join("moue")) },
        }
    }

    /// The folder, unless the cache is off.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    pub(super) fn get_or_decode(
        &self,
        path: &Path,
        form: ImageSpec,
        faces: bool,
        decode: impl FnOnce() -> Result<Raw, DataError>,
    ) -> Result<Raw, DataError> {
        let Some(folder) = &self.folder else { return decode() };
        let content = content_hash(path)
            .map_err(|source| DataError::Read { path: path.to_owned(), source: at_path(path, source) })?;
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = hex(&Sha256::digest(format!("{}\0{form:?}{}", place.display(), if faces { FACES } else { "" })));
        let entry = folder.join(format!("{}.dataset", &name[..32]));
        if let Some(raw) = std::fs::read(&entry).ok().and_then(|bytes| read(&bytes, &content)) {
            return Ok(raw);
        }
        let raw = decode()?;
        // A failure to write the cache is ignored: the data is already decoded.
        if std::fs::create_dir_all(folder).is_ok()
            && let Some(bytes) = write(&raw, content)
        {
            let _ = write_atomically(&entry, &bytes);
        }
        Ok(raw)
    }
}

/// SHA-256 of a file, or of the names and contents of all files in a folder; what cannot be read is
/// there without a content.
fn content_hash(path: &Path) -> std::io::Result<String> {
    if !path.is_dir() {
        return Ok(hex(&file_hash(path)?));
    }
    let mut files = Vec::new();
    for item in walk(path, usize::MAX) {
        match item {
            Item::File(file) | Item::Unreadable(file, _) => files.push(file),
            Item::Other(_) => {}
        }
    }
    let hashes: Vec<_> = files.par_iter().map(|file| file_hash(file).unwrap_or_default()).collect();
    let mut hasher = Sha256::new();
    for (file, hash) in files.iter().zip(hashes) {
        hasher.update(file.strip_prefix(path).unwrap_or(file).as_os_str().as_encoded_bytes());
        hasher.update([0]);
        hasher.update(hash);
    }
    Ok(hex(&hasher.finalize()))
}

fn file_hash(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn write(raw: &Raw, source: String) -> Option<Vec<u8>> {
    let header = Header {
        format: FORMAT,
        source,
        classes: raw.classes.clone(),
        size: raw.size,
        channels: raw.channels,
        ids: raw.ids.clone(),
        split_names: raw.split_names.clone(),
        broken: raw.broken.clone(),
        faceless: raw.faceless.clone(),
        unused: raw.unused.clone(),
    };
    let labels: Vec<u8> = raw.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    let splits: Vec<u8> = raw.splits.iter().map(|split| split.map_or(u8::MAX, |split| split as u8)).collect();
    let sizes: Vec<u8> = raw.sizes.as_flattened().iter().flat_map(|extent| extent.to_le_bytes()).collect();
    let n = raw.labels.len();
    let shape = vec![n, raw.size[0], raw.size[1], raw.channels];
    let views = vec![
        ("pixels".to_owned(), TensorView::new(Dtype::U8, shape, &raw.pixels).ok()?),
        ("labels".to_owned(), TensorView::new(Dtype::U32, vec![n], &labels).ok()?),
        ("splits".to_owned(), TensorView::new(Dtype::U8, vec![n], &splits).ok()?),
        ("sizes".to_owned(), TensorView::new(Dtype::U32, vec![n, 2], &sizes).ok()?),
    ];
    let metadata = HashMap::from([("moue-dataset".to_owned(), serde_json::to_string(&header).ok()?)]);
    safetensors::serialize(views, Some(metadata)).ok()
}

/// `None` when the entry is damaged, of another version or of another content.
fn read(bytes: &[u8], source: &str) -> Option<Raw> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let header: Header = serde_json::from_str(metadata.metadata().as_ref()?.get("moue-dataset")?).ok()?;
    if header.format != FORMAT || header.source != source {
        return None;
    }
    let file = SafeTensors::deserialize(bytes).ok()?;
    let pixels = file.tensor("pixels").ok()?.data().to_vec();
    let numbers = |name: &str| -> Option<Vec<u32>> {
        let tensor = file.tensor(name).ok()?;
        Some(tensor.data().as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect())
    };
    let labels = numbers("labels")?;
    let sizes = numbers("sizes")?.as_chunks::<2>().0.to_vec();
    let splits: Vec<_> =
        file.tensor("splits").ok()?.data().iter().map(|&s| Split::ALL.get(s as usize).copied()).collect();
    let n = header.ids.len();
    let whole = labels.len() == n
        && splits.len() == n
        && sizes.len() == n
        && pixels.len() == n * header.size[0] * header.size[1] * header.channels
        && labels.iter().all(|&label| (label as usize) < header.classes.len());
    whole.then_some(Raw {
        classes: header.classes,
        size: header.size,
        channels: header.channels,
        pixels,
        labels,
        splits,
        ids: header.ids,
        sizes,
        split_names: header.split_names,
        broken: header.broken,
        faceless: header.faceless,
        unused: header.unused,
    })
}
