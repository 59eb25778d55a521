//! Parquet data sets, and tables written as Parquet.
#![cfg(feature = "parquet")]

use moue_train::config::DataOptions;
use moue_train::data::{Cache, Dataset, ImageSpec, LabeledImage, Split, open, synthetic, table, to_parquet};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::{Row, RowAccessor};
use parquet::schema::parser::parse_message_type;
use std::path::Path;
use std::sync::Arc;

fn faces() -> Dataset {
    synthetic::dataset(42, ImageSpec { size: None, channels: 1 }, 3)
}

fn png(faces: &Dataset, index: usize) -> Vec<u8> {
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::write_image(encoder, faces.image(index), 48, 48, image::ExtendedColorType::L8).unwrap();
    png
}

/// A file as Hugging Face writes it: a struct with `bytes` and `path`, integer labels, and their
/// names in the metadata.
fn write(path: &Path, faces: &Dataset, indices: std::ops::Range<usize>, metadata: bool) {
    let schema = "message data {
        OPTIONAL group image { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (UTF8); }
        OPTIONAL INT64 label;
    }";
    let names = serde_json::to_string(&faces.classes()).unwrap();
    let document = format!(r#"{{"info": {{"features": {{"label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#);
    let properties = WriterProperties::builder()
        .set_key_value_metadata(metadata.then(|| vec![KeyValue::new("huggingface".to_owned(), document)]))
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let file = std::fs::File::create(path).unwrap();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let images: Vec<ByteArray> = indices.clone().map(|i| ByteArray::from(png(faces, i))).collect();
    let paths: Vec<ByteArray> = indices.clone().map(|i| ByteArray::from(format!("{i}.png").as_str())).collect();
    let labels: Vec<i64> = indices.clone().map(|i| i64::from(faces.labels()[i])).collect();
    for values in [images, paths] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&vec![2; values.len()]), None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; labels.len()]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

fn opened(path: &Path) -> Result<Dataset, moue_train::data::DataError> {
    let form = ImageSpec { size: None, channels: 1 };
    open(path, form, &DataOptions::default(), 0, &Cache::off(), &|_| {})
}

#[test]
fn splits_are_read_from_file_names() {
    let (place, faces) = (tempfile::tempdir().unwrap(), faces());
    write(&place.path().join("train-00000-of-00001.parquet"), &faces, 0..28, true);
    write(&place.path().join("test-00000-of-00001.parquet"), &faces, 28..42, true);
    let dataset = opened(place.path()).unwrap();
    assert_eq!(dataset.classes(), faces.classes());
    assert_eq!(dataset.len(), 42);
    // Test comes first in the folder.
    assert_eq!(dataset.image(0), faces.image(28));
    assert_eq!(dataset.labels()[14..], faces.labels()[..28]);
    assert_eq!(dataset.indices(Split::Test).len(), 14);
}

/// A page header with a list of 2^31 items; the fuzz target has found it.
#[test]
fn a_damaged_page_header_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("train.parquet");
    std::fs::write(&path, include_bytes!("endless-list.parquet")).unwrap();
    let error = opened(&path).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the archive"), "{error}");
}

#[test]
fn labels_without_names_are_ids() {
    let (place, faces) = (tempfile::tempdir().unwrap(), faces());
    let path = place.path().join("faces.parquet");
    write(&path, &faces, 0..42, false);
    let dataset = opened(&path).unwrap();
    assert_eq!(dataset.classes(), ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!((dataset.len(), dataset.pixels() == faces.pixels()), (42, true));
}

#[test]
fn errors_name_broken_files() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("broken.parquet");
    std::fs::write(&path, b"PAR1 and no more").unwrap();
    let error = opened(&path).unwrap_err().to_string();
    assert!(error.contains("broken.parquet"), "{error}");
}

/// Damage at any position gives an error or broken rows, never a panic.
#[test]
fn damaged_files_do_not_panic() {
    let (place, faces) = (tempfile::tempdir().unwrap(), faces());
    let path = place.path().join("train.parquet");
    write(&path, &faces, 0..14, true);
    let whole = std::fs::read(&path).unwrap();
    let mut stream = moue_engine::random::Stream::new(5);
    for round in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 4 {
            let at = match round % 2 {
                // The metadata is at the end.
                0 => bytes.len() - 1 - stream.below(900.min(bytes.len())),
                _ => stream.below(bytes.len()),
            };
            bytes[at] = stream.below(256) as u8;
        }
        if round % 5 == 0 {
            bytes.truncate(stream.below(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        let _ = opened(&path);
    }
}

#[test]
fn the_table_round_trips() {
    let faces = faces();
    let images = (0..faces.len()).map(|index| match index {
        20 => LabeledImage { pixels: faces.image(0).to_vec(), ..faces.labeled_image(20) },
        _ => faces.labeled_image(index),
    });
    let faces = Dataset::from_images(faces.classes(), faces.shape(), images).unwrap();
    let rows = table::rows(&faces);
    let bytes = to_parquet(&rows).unwrap();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let read: Vec<Row> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.len(), 42);
    let row = &read[20];
    assert_eq!((row.get_string(0).unwrap().as_str(), row.get_string(1).unwrap()), ("20", &rows[20].label));
    assert_eq!((row.get_int(3).unwrap(), row.get_int(8).unwrap()), (48, 1));
    assert_eq!(row.get_string(7).unwrap(), &rows[0].hash);
    assert!((row.get_double(5).unwrap() - rows[0].mean).abs() < 1e-12);
    assert!(read[1].get_int(8).is_err(), "most images are not copies");
}
