//! Arrays in safetensors files: `f32`, or with lower precision.
//!
//! `F16` halves the size of a kernel. `I8` quarters it: integers of −127 to 127, with an array
//! `NAME.scale` of their factors, one `f32` for each entry of the last axis (the filters).

use half::f16;
use rayon::prelude::*;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};

/// Named arrays of `f32`: shape and values.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Errors of reading arrays from a file, and of writing them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The file is damaged, or not a safetensors file.
    #[error(transparent)]
    Safetensors(#[from] SafeTensorError),
    /// The metadata has no such entry.
    #[error("its metadata has no entry `{0}`")]
    NoEntry(String),
    /// An array has an unsupported type.
    #[error("{name} has type {found}, but only F32, F16 and I8 are supported")]
    Type {
        /// The array.
        name: String,
        /// Its type.
        found: String,
    },
    /// An array of integers has no factors.
    #[error("{0} is missing")]
    NoScale(String),
    /// An array of integers has a wrong number of factors.
    #[error("{name} has {entries} entries for an array of {shape:?}")]
    Scale {
        /// The array of factors.
        name: String,
        /// Number of factors.
        entries: usize,
        /// Shape of the array.
        shape: Vec<usize>,
    },
    /// An array cannot be written.
    #[error("{name}: {source}")]
    Array {
        /// The array.
        name: String,
        /// What is wrong with it.
        source: SafeTensorError,
    },
}

/// Precision of stored values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredPrecision {
    /// 4 bytes, exact.
    #[default]
    F32,
    /// 2 bytes: 11 bits of precision.
    F16,
    /// 1 byte and a factor for each filter: 8 bits, symmetric around 0.
    I8,
}

/// An array as stored in a file.
pub struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

const SCALE: &str = ".scale";

/// Values that one task decodes.
const CHUNK: usize = 64 * 1024;

impl Stored {
    /// The arrays that store one array with this precision.
    pub fn new(name: &str, shape: &[usize], values: &[f32], precision: StoredPrecision) -> Vec<Self> {
        let stored = |name: String, dtype, shape: &[usize], bytes| Self { name, dtype, shape: shape.to_vec(), bytes };
        match precision {
            StoredPrecision::F32 => {
                let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                vec![stored(name.to_owned(), Dtype::F32, shape, bytes)]
            }
            StoredPrecision::F16 => {
                let bytes = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
                vec![stored(name.to_owned(), Dtype::F16, shape, bytes)]
            }
            StoredPrecision::I8 => {
                let filters = shape.last().copied().unwrap_or(1).max(1);
                let scales = scales(values, filters);
                let whole = |(i, value): (usize, &f32)| (value / scales[i % filters]).round().clamp(-127.0, 127.0);
                let bytes = values.iter().enumerate().map(|at| whole(at) as i8 as u8).collect();
                let mut both = vec![stored(name.to_owned(), Dtype::I8, shape, bytes)];
                both.extend(Self::new(&format!("{name}{SCALE}"), &[filters], &scales, StoredPrecision::F32));
                both
            }
        }
    }
}

/// For each filter, the factor that maps its largest weight to 127; 1 where all weights are 0.
fn scales(values: &[f32], filters: usize) -> Vec<f32> {
    let mut largest = vec![0.0f32; filters];
    values.iter().enumerate().for_each(|(i, v)| largest[i % filters] = largest[i % filters].max(v.abs()));
    largest.into_iter().map(|largest| if largest > 0.0 { largest / 127.0 } else { 1.0 }).collect()
}

/// Bytes of a safetensors file with these arrays and one metadata entry.
///
/// # Errors
/// When safetensors rejects the arrays.
pub fn write_stored(stored: &[Stored], key: &str, document: &str) -> Result<Vec<u8>, TensorError> {
    let mut views = Vec::new();
    for Stored { name, dtype, shape, bytes } in stored {
        let view = TensorView::new(*dtype, shape.clone(), bytes)
            .map_err(|source| TensorError::Array { name: name.clone(), source })?;
        views.push((name.clone(), view));
    }
    let metadata = HashMap::from([(key.to_owned(), document.to_owned())]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// Bytes of a safetensors file with arrays of `f32`, stored exactly.
///
/// # Errors
/// When safetensors rejects the arrays.
pub fn write_tensors(tensors: &Tensors, key: &str, document: &str) -> Result<Vec<u8>, TensorError> {
    let stored: Vec<Stored> = tensors
        .iter()
        .flat_map(|(name, (shape, values))| Stored::new(name, shape, values, StoredPrecision::F32))
        .collect();
    write_stored(&stored, key, document)
}

/// The arrays of a safetensors file, decoded to `f32` one by one.
pub(crate) struct TensorFile<'a> {
    document: String,
    arrays: BTreeMap<String, Array<'a>>,
}

/// An array as stored; integers have a factor for each entry of the last axis.
struct Array<'a> {
    shape: Vec<usize>,
    data: &'a [u8],
    precision: StoredPrecision,
    scales: Vec<f32>,
}

impl Array<'_> {
    fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape.iter().product()];
        self.decode(&mut values);
        values
    }

    fn decode(&self, to: &mut [f32]) {
        let data = self.data;
        match self.precision {
            StoredPrecision::F32 => {
                let parts = to.par_chunks_mut(CHUNK).zip(data.par_chunks(4 * CHUNK));
                parts.for_each(|(to, from)| {
                    let from = from.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
                });
            }
            StoredPrecision::F16 => {
                let parts = to.par_chunks_mut(CHUNK).zip(data.par_chunks(2 * CHUNK));
                parts.for_each(|(to, from)| {
                    let from = from.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
                });
            }
            StoredPrecision::I8 => {
                let width = self.scales.len().max(1);
                for (to, from) in to.chunks_mut(width).zip(data.chunks(width)) {
                    let from = from.iter().zip(&self.scales).map(|(&b, scale)| f32::from(b as i8) * scale);
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
                }
            }
        }
    }
}

impl<'a> TensorFile<'a> {
    /// Reads the header and one metadata entry.
    ///
    /// # Errors
    /// When the bytes are not a safetensors file with this entry and arrays of supported types.
    pub fn open(bytes: &'a [u8], key: &str) -> Result<Self, TensorError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let entries = metadata.metadata().as_ref();
        let document = entries.and_then(|entries| entries.get(key)).cloned();
        let document = document.ok_or_else(|| TensorError::NoEntry(key.to_owned()))?;
        let mut arrays = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
            let precision = match view.dtype() {
                Dtype::F32 => StoredPrecision::F32,
                Dtype::F16 => StoredPrecision::F16,
                Dtype::I8 => StoredPrecision::I8,
                other => return Err(TensorError::Type { name, found: format!("{other:?}") }),
            };
            let array = Array { shape: view.shape().to_vec(), data: view.data(), precision, scales: Vec::new() };
            arrays.insert(name, array);
        }
        let is_integers = |(_, array): &(&String, &Array<'_>)| array.precision == StoredPrecision::I8;
        let integers: Vec<String> = arrays.iter().filter(is_integers).map(|(name, _)| name.clone()).collect();
        for name in integers {
            let factors = format!("{name}{SCALE}");
            let Some(scales) = arrays.remove(&factors) else { return Err(TensorError::NoScale(factors)) };
            let Some(array) = arrays.get_mut(&name) else { continue };
            array.scales = scales.values();
            let entries = array.scales.len();
            if entries != array.shape.last().copied().unwrap_or(1) {
                return Err(TensorError::Scale { name: factors, entries, shape: array.shape.clone() });
            }
        }
        Ok(Self { document, arrays })
    }

    /// The metadata entry.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// Number of arrays.
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    /// Number of values in all arrays.
    pub fn values(&self) -> usize {
        self.arrays.values().map(|array| array.shape.iter().product::<usize>()).sum()
    }

    /// The shape of an array.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.arrays.get(name).map(|array| array.shape.as_slice())
    }

    /// Writes the values of an array to a slice of its length.
    pub fn decode(&self, name: &str, values: &mut [f32]) {
        if let Some(array) = self.arrays.get(name) {
            array.decode(values);
        }
    }
}

/// The arrays of a safetensors file as `f32`, and one metadata entry.
///
/// # Errors
/// When the bytes are not such a file.
pub fn read_tensors(bytes: &[u8], key: &str) -> Result<(Tensors, String), TensorError> {
    let TensorFile { document, arrays } = TensorFile::open(bytes, key)?;
    Ok((arrays.into_iter().map(|(name, array)| (name, (array.shape.clone(), array.values()))).collect(), document))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(values: &[f32], precision: StoredPrecision) -> Vec<f32> {
        let stored = Stored::new("a.kernel", &[2, 3], values, precision);
        let bytes = write_stored(&stored, "key", "document").unwrap();
        let (tensors, document) = read_tensors(&bytes, "key").unwrap();
        assert_eq!((document.as_str(), tensors.len()), ("document", 1));
        let (shape, values) = &tensors["a.kernel"];
        assert_eq!(shape, &[2, 3]);
        values.clone()
    }

    #[test]
    fn the_quantization_error_is_at_most_half_a_step() {
        let values = [1.0, -0.031, 250.0, -0.7, 0.0, 3.0];
        assert_eq!(there_and_back(&values, StoredPrecision::F32), values);
        for (value, stored) in values.iter().zip(there_and_back(&values, StoredPrecision::F16)) {
            assert!((value - stored).abs() <= value.abs() / 2048.0, "{value} {stored}");
        }
        // The largest value of each column is exact, the others have an error of at most half a
        // 127th of it.
        let largest = [1.0, 0.031, 250.0];
        for (i, (value, stored)) in values.iter().zip(there_and_back(&values, StoredPrecision::I8)).enumerate() {
            assert!((value - stored).abs() <= largest[i % 3] / 253.9, "{value} {stored}");
        }
        assert_eq!(there_and_back(&[0.0; 6], StoredPrecision::I8), [0.0; 6]);
    }

    #[test]
    fn lower_precision_gives_smaller_files() {
        let bytes = |precision| Stored::new("a", &[9, 64], &[1.0; 576], precision).iter().map(|s| s.bytes.len()).sum();
        let sizes: [usize; 3] = [StoredPrecision::F32, StoredPrecision::F16, StoredPrecision::I8].map(bytes);
        assert_eq!(sizes, [4 * 576, 2 * 576, 576 + 4 * 64]);
    }

    #[test]
    fn missing_or_mismatched_scales_are_errors() {
        let mut stored = Stored::new("a", &[2, 3], &[1.0; 6], StoredPrecision::I8);
        let read =
            |stored: &[Stored]| read_tensors(&write_stored(stored, "k", "d").unwrap(), "k").unwrap_err().to_string();
        let scale = stored.pop().unwrap();
        assert_eq!(read(&stored), "a.scale is missing");
        stored.push(Stored { shape: vec![1], bytes: scale.bytes[..4].to_vec(), ..scale });
        assert_eq!(read(&stored), "a.scale has 1 entries for an array of [2, 3]");
    }
}
