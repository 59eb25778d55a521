//! Images of a data set that are similar to an image: by the cosine of the angle between features.

use super::features::features_of;
use crate::data::{DataError, Dataset, images_named};
use moue::image::{ImageError, decode_image, read_image_file, to_pixels};
use moue::model::Model;
use std::fs::File;
use std::path::{Path, PathBuf};

/// An image that others are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// An image of the data set, by its index.
    Image(usize),
    /// An image of the shape of the data set, `[H, W, C]`, 0–255.
    Pixels(Vec<u8>),
}

/// Errors of a search for similar images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimilarError {
    /// The file cannot be read as an image.
    #[error("cannot read {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// There is neither a file nor an image of the data set with this name.
    #[error("{name} is neither a file nor an image of the data, which has {images} images: {first} to {last}")]
    Unknown {
        /// The name, as given.
        name: String,
        /// Number of images.
        images: usize,
        /// Id of the first image.
        first: String,
        /// Id of the last image.
        last: String,
    },
    /// Several images of the data set have the name.
    #[error("{name} is the image {first} and the image {second} of the data; write the path")]
    Several {
        /// The name, as given.
        name: String,
        /// Id of an image.
        first: String,
        /// Id of another image.
        second: String,
    },
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network computes no features.
    #[error("the network has no dense layer or convolution, and thus no features")]
    NoFeatures,
}

/// An image and its similarity to the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// Its index in the data set.
    pub image: usize,
    /// Cosine similarity of the features, −1 to 1.
    pub similarity: f32,
}

impl Query {
    /// The image with this name: a file, or an image of the data set by its row, its path, or the end of its path.
    ///
    /// # Errors
    /// When the file is no image, or no image or several have the name.
    pub fn find(name: &Path, dataset: &Dataset) -> Result<Self, SimilarError> {
        if name.is_file() {
            let [height, width, channels] = dataset.shape();
            let read = || {
                let bytes = File::open(name).map_err(ImageError::from).and_then(read_image_file)?;
                Ok(to_pixels(&decode_image(&bytes)?, [height, width], channels))
            };
            let failed = |source| SimilarError::File { path: name.to_owned(), source };
            return read().map(Self::Pixels).map_err(failed);
        }
        let name = name.to_string_lossy();
        let id = |image: usize| dataset.ids()[image].clone();
        match images_named(dataset.ids(), &name)[..] {
            [image] => Ok(Self::Image(image)),
            [] => Err(SimilarError::Unknown {
                name: name.into_owned(),
                images: dataset.len(),
                first: dataset.ids().first().cloned().unwrap_or_default(),
                last: dataset.ids().last().cloned().unwrap_or_default(),
            }),
            [first, second, ..] => {
                Err(SimilarError::Several { name: name.into_owned(), first: id(first), second: id(second) })
            }
        }
    }

    /// The pixels of the image, `[H, W, C]`.
    #[must_use]
    pub fn pixels<'a>(&'a self, dataset: &'a Dataset) -> &'a [u8] {
        match self {
            Self::Image(image) => dataset.image(*image),
            Self::Pixels(pixels) => pixels,
        }
    }
}

/// The `count` images of a data set that are most similar to the query, without itself, the most similar first.
/// `progress` is called with the number of finished images.
///
/// # Errors
/// When the network computes no features.
///
/// # Panics
/// When the images have another shape than the model's input.
pub fn similar(
    model: &Model,
    dataset: &Dataset,
    query: &Query,
    count: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Neighbor>, SimilarError> {
    let unit = |row: &[f32]| {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
        row.iter().map(|value| value / length).collect::<Vec<f32>>()
    };
    let mut own = Vec::new();
    if !features_of(model, &[0], |_| query.pixels(dataset), &mut |_, row| own = unit(row)) {
        return Err(SimilarError::NoFeatures);
    }
    let mut found = Vec::with_capacity(dataset.len());
    let images: Vec<usize> = (0..dataset.len()).collect();
    features_of(model, &images, |image| dataset.image(image), &mut |image, row| {
        let similarity: f32 = unit(row).iter().zip(&own).map(|(a, b)| a * b).sum();
        found.push(Neighbor { image, similarity: similarity.clamp(-1.0, 1.0) });
        progress(image + 1);
    });
    found.retain(|neighbor| *query != Query::Image(neighbor.image));
    found.sort_by(|one, other| other.similarity.total_cmp(&one.similarity).then(one.image.cmp(&other.image)));
    found.truncate(count);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::data::{ImageSpec, synthetic};

    fn model() -> Model {
        let network = "[model]\nname = \"it\"\ninput = [16, 16, 1]\nlayers = [{ kind = \"conv2d\", filters = 8, activation = \"relu\" }, \
                       { kind = \"global_average_pooling2d\" }, { kind = \"dense\", units = \"classes\" }]";
        Model::untrained(Config::parse("it", network).unwrap().model, vec!["one".into(), "two".into()], 1).unwrap()
    }

    #[test]
    fn an_image_is_most_similar_to_its_copies() {
        let faces = synthetic::dataset(70, ImageSpec::of_input([16, 16, 1]), 2);
        let copied = (0..faces.len()).map(|index| match index {
            50 => crate::data::LabeledImage { id: "copy".into(), ..faces.labeled_image(8) },
            _ => faces.labeled_image(index),
        });
        let faces = Dataset::from_images(faces.classes(), faces.shape(), copied).unwrap();
        let found = similar(&model(), &faces, &Query::Image(8), 5, &mut |_| {}).unwrap();
        assert_eq!((found.len(), found[0].image), (5, 50));
        assert!(found[0].similarity > 0.999_99 && found.is_sorted_by(|a, b| a.similarity >= b.similarity), "{found:?}");
        let given = similar(&model(), &faces, &Query::Pixels(faces.image(8).to_vec()), 2, &mut |_| {}).unwrap();
        assert_eq!(given.iter().map(|own| own.image).collect::<Vec<_>>(), [8, 50]);
    }

    #[test]
    fn images_are_found_by_row_and_by_name() {
        let faces = synthetic::dataset(14, ImageSpec::of_input([16, 16, 1]), 2);
        let names = ["a/1.png", "b/1.png", "b/27.png"];
        let images =
            names.iter().map(|name| crate::data::LabeledImage { id: (*name).into(), ..faces.labeled_image(0) });
        let data = Dataset::from_images(faces.classes(), faces.shape(), images).unwrap();
        let find = |name: &str| Query::find(Path::new(name), &data);
        assert_eq!(find("27").unwrap(), Query::Image(2));
        assert_eq!((find("b/1.png").unwrap(), find("27.png").unwrap()), (Query::Image(1), Query::Image(2)));
        assert!(find("1.png").unwrap_err().to_string().contains("the image a/1.png and the image b/1.png"));
        let unknown = find("28").unwrap_err().to_string();
        assert!(unknown.contains("28 is neither a file nor an image") && unknown.contains("3 images"), "{unknown}");
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.png");
        std::fs::write(&text, "no picture").unwrap();
        assert!(matches!(Query::find(&text, &data), Err(SimilarError::File { .. })));
        let face = folder.path().join("face.png");
        std::fs::write(&face, moue::render::png(faces.image(3), [16, 16, 1]).unwrap()).unwrap();
        assert_eq!(Query::find(&face, &data).unwrap().pixels(&data), faces.image(3));
    }
}
