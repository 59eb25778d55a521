//! Writes the first inputs of the fuzz targets into `seeds/TARGET`: `cargo run --release --example seeds`.
//!
//! Those of `picture` are the files in `crates/moue/tests/pictures`.

use moue::model::{Architecture, Model, StoredPrecision, onnx};
use moue_fuzz::training::Run;
use moue_fuzz::{fer2013, pixels};
use moue_train::config::{Config, PRESETS};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::error::Error;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Files of an archive: names and contents.
type Files = Vec<(String, Vec<u8>)>;

fn main() -> Result<()> {
    configurations()?;
    models()?;
    put("checkpoint", "finished", &split(&Run::new().checkpoint())?)?;
    tables()?;
    archives()?;
    parquet_files()?;
    requests()
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn put(target: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let folder = folder().join("seeds").join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), bytes)?)
}

/// The input that [`moue_fuzz::safetensors`] makes a file of.
fn split(file: &[u8]) -> Result<Vec<u8>> {
    let length = u64::from_le_bytes(file[..8].try_into()?) as usize;
    let (header, arrays) = file[8..].split_at(length);
    Ok([header.trim_ascii_end(), b"\0", arrays].concat())
}

fn configurations() -> Result<()> {
    for preset in PRESETS.iter().filter(|preset| preset.text.len() < 1500) {
        let text: String = preset.text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        put("configuration", &preset.name.replace('/', "-"), text.as_bytes())?;
    }
    put("configuration", "layers", LAYERS.as_bytes())?;
    let config = Config::parse("layers", LAYERS)?;
    put("configuration", "resolved", config.to_toml()?.as_bytes())
}

/// Every kind of layer, small.
const LAYERS: &str = r#"[model]
name = "layers"
input = [8, 8, 1]
layers = [
  { kind = "conv2d", filters = 2, kernel_size = [3, 2], strides = 1, padding = "same", activation = "relu" },
  { kind = "batch_normalization", activation = "silu" },
  { kind = "separable_conv2d", filters = 3, kernel_l2 = 0.1 },
  { kind = "residual", activation = "relu", layers = [{ kind = "depthwise_conv2d", padding = "same" }] },
  { kind = "mbconv", filters = 3, expansion = 2, stochastic_depth = 0.1 },
  { kind = "squeeze_excite", units = 1 },
  { kind = "max_pooling2d", pool_size = 2, strides = 1 },
  { kind = "average_pooling2d" },
  { kind = "up_sampling2d" },
  { kind = "leaky_relu" },
  { kind = "output", name = "other", layers = [{ kind = "tanh" }] },
  { kind = "concatenate", branches = [[{ kind = "global_average_pooling2d" }], [{ kind = "global_max_pooling2d" }]] },
  { kind = "dropout", rate = 0.1 },
  { kind = "dense", units = 2, activation = "sigmoid" },
  { kind = "dense", units = "classes", activation = "softmax" },
]
"#;

fn models() -> Result<()> {
    let all = Config::parse("layers", LAYERS)?.model;
    let architectures: [(&str, Architecture); 2] = [("dense", moue_fuzz::architecture()), ("layers", all)];
    for (name, architecture) in architectures {
        let model = Model::untrained(architecture, ["happy", "sad"].map(str::to_owned).to_vec(), 0)?;
        let precisions = [("f32", StoredPrecision::F32), ("f16", StoredPrecision::F16), ("i8", StoredPrecision::I8)];
        for (end, precision) in precisions {
            put("model_file", &format!("{name}-{end}"), &split(&model.to_bytes_with(precision)?)?)?;
        }
        put("onnx_file", name, &onnx::to_onnx(&model)?)?;
    }
    Ok(())
}

/// The header of `fer2013new.csv` and two rows of its form.
const FER_PLUS: &[u8] =
    b"Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\nTraining,fer0000000.png,4,0,0,1,3,2,0,0,0,0\nTraining,fer0000001.png,6,0,1,1,0,0,0,0,2,0\n";

fn tables() -> Result<()> {
    put("csv", "fer2013", fer2013(8).as_bytes())?;
    put("csv", "names", b"label, pixels\nhappy,\"1 2 3 4\"\nsad,\"255 0 0 0\"\r\nhappy,0 0 0 0\n")?;
    put("annotations", "fixes", b"row,action,label\n0,relabel,happy\n1,drop,\n2,keep,\n9,drop,\n")?;
    put("annotations", "fixes-by-name", b"file,action,label\nfaces.csv,drop,\n")?;
    put(
        "annotations",
        "votes",
        b"row,angry,disgust,fear,unknown,NF\n0,8,2,0,0,0\n1,4,4,1,1,0\n2,0,0,0,9,1\n7,1,1,1,1,6\n",
    )?;
    put("annotations", "fer-plus", FER_PLUS)?;
    put("csv", "broken", b"\xef\xbb\xbfpixels,emotion,split\n1 2 3 4,happy,train\n1 2 3,sad,val\n1 2 3 x,sad,test\n")
}

fn picture(row: usize) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::GrayImage::from_raw(4, 4, pixels(row)).ok_or("a picture has 16 values")?;
    picture.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

fn files(names: &[&str]) -> Result<Files> {
    names.iter().enumerate().map(|(row, name)| Ok(((*name).to_owned(), picture(row)?))).collect()
}

fn zip(files: &Files, compression: zip::CompressionMethod) -> Result<Vec<u8>> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(name.as_str(), zip::write::SimpleFileOptions::default().compression_method(compression))?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

fn tar(files: &Files) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        // `append_data` refuses names that leave the folder.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, &bytes[..])?;
    }
    Ok(builder.into_inner()?)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn archives() -> Result<()> {
    use zip::CompressionMethod::{Deflated, Stored};
    let plain = files(&["train/happy/1.png", "train/sad/2.png", "test/happy/3.png", "test/sad/4.png"])?;
    let outside = files(&["../happy/1.png", "/sad/2.png", "../../sad/../happy/3.png", "C:\\sad\\4.png"])?;
    let nested = vec![("happy/inner.zip".to_owned(), zip(&plain, Stored)?), plain[0].clone(), plain[1].clone()];
    // A megabyte of zeros in a kilobyte.
    let bomb = vec![("happy/1.png".to_owned(), vec![0; 1 << 20]), plain[1].clone()];
    let tables = vec![("archive/fer2013.csv".to_owned(), fer2013(8).into_bytes())];
    for (name, files) in [("plain", &plain), ("outside", &outside), ("nested", &nested), ("table", &tables)] {
        put("archive", &format!("{name}-stored.zip"), &zip(files, Stored)?)?;
        put("archive", &format!("{name}.tar"), &tar(files)?)?;
    }
    put("archive", "plain.zip", &zip(&plain, Deflated)?)?;
    put("archive", "bomb.zip", &zip(&bomb, Deflated)?)?;
    put("archive", "plain.tar.gz", &gzip(&tar(&plain)?)?)?;
    put("archive", "bomb.gz", &gzip(&[b"emotion,pixels\n0,".as_slice(), &vec![b'1'; 1 << 20]].concat())?)?;
    put("archive", "table.gz", &gzip(fer2013(8).as_bytes())?)
}

/// A column of pictures, as a struct or as bytes, and a column of labels.
fn parquet_file(is_struct: bool, compression: Compression) -> Result<Vec<u8>> {
    let image =
        if is_struct { "OPTIONAL group image { OPTIONAL BYTE_ARRAY bytes; }" } else { "REQUIRED BYTE_ARRAY image;" };
    let schema = format!("message data {{ {image} OPTIONAL INT64 label; }}");
    let names = r#"{"info": {"features": {"label": {"names": ["happy", "sad"]}}}}"#;
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), names.to_owned())]))
        .set_compression(compression)
        .build();
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::new(parse_message_type(&schema)?), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let images: Vec<ByteArray> = (0..4).map(|row| Ok(ByteArray::from(picture(row)?))).collect::<Result<_>>()?;
    let mut column = group.next_column()?.ok_or("a column of pictures")?;
    column.typed::<ByteArrayType>().write_batch(&images, is_struct.then_some(&[2; 4]), None)?;
    column.close()?;
    let mut column = group.next_column()?.ok_or("a column of labels")?;
    column.typed::<Int64Type>().write_batch(&[0, 1, 0, 1], Some(&[1; 4]), None)?;
    column.close()?;
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

fn parquet_files() -> Result<()> {
    put("parquet", "struct", &parquet_file(true, Compression::SNAPPY)?)?;
    put("parquet", "bytes", &parquet_file(false, Compression::UNCOMPRESSED)?)
}

fn requests() -> Result<()> {
    let (face, pictures) = (picture(0)?, PathBuf::from("../crates/moue/tests/pictures"));
    let jpeg = fs::read(folder().join(pictures).join("lossy-gray.jpg"))?;
    let body = |query: &str, kind: &str, body: &[u8]| [query.as_bytes(), b"\n", kind.as_bytes(), b"\n", body].concat();
    put("request", "picture", &body("detect=false", "image/png", &face))?;
    put("request", "truncated", &body("allow_truncated=true&detect=false", "", &jpeg[..1000]))?;
    put("request", "explained", &body("explain=true&detect=false", "", &face))?;
    put("request", "faces", &body("", "", &jpeg))?;
    let part = |name: &str, bytes: &[u8]| {
        let head = format!("--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n");
        [head.as_bytes(), bytes, b"\r\n"].concat()
    };
    let form = [part("a.png", &face), part("b.jpg", b"nothing"), b"--edge--\r\n".to_vec()].concat();
    put("request", "form", &body("detect=false", "multipart/form-data; boundary=edge", &form))
}
