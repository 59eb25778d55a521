//! All layouts of data sets, valid and broken.

use moue_train::config::DataOptions;
use moue_train::data::{Cache, DataError, Dataset, ImageSpec, LabeledImage, Split, open, statistics};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const ANY: ImageSpec = ImageSpec { size: None, channels: 1 };

fn read_with(path: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    open(path, ANY, options, 0, &Cache::off(), &|_| {})
}

fn read(path: &Path) -> Result<Dataset, DataError> {
    read_with(path, &DataOptions::default())
}

/// Pixels that distinguish rows.
fn pixels(row: usize) -> Vec<u8> {
    (0..64).map(|i| ((row * 31 + i * 7) % 256) as u8).collect()
}

fn csv_row(row: usize) -> String {
    let usage = ["Training", "Training", "Training", "PublicTest", "PrivateTest"][row % 5];
    let pixels = pixels(row).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    format!("{},{pixels},{usage}\n", row % 7)
}

fn original_csv() -> String {
    "emotion,pixels,Usage\n".to_owned() + &(0..70).map(csv_row).collect::<String>()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn png(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_raw(8, 8, pixels.to_vec()).unwrap().write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn the_csv_is_read_from_every_archive_format() {
    let folder = Folder::new();
    let csv = original_csv();
    let inside = [("fer2013/README", b"hello".to_vec()), ("fer2013/fer2013.csv", csv.clone().into_bytes())];
    let plain = read(&folder.put("fer2013.csv", &csv)).unwrap();
    assert_eq!((plain.len(), plain.shape()[0], plain.shape()[1]), (70, 8, 8));
    assert_eq!(plain.classes(), ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]);
    // Id 6 is neutral, which is fifth in alphabetical order.
    assert_eq!(plain.classes()[plain.labels()[6] as usize], "neutral");
    assert_eq!(plain.image(3), pixels(3));
    assert_eq!(plain.splits()[..5], [Split::Train, Split::Train, Split::Train, Split::Validation, Split::Test]);
    assert_eq!(plain.describe(Split::Validation), "validation (PublicTest)");
    for (name, bytes) in [
        ("a.csv.gz", gzip(csv.as_bytes())),
        ("wrong-name.dat", gzip(csv.as_bytes())),
        ("a.zip", zip(&inside)),
        ("a.tar.gz", gzip(&tar(&inside))),
        ("a.tar", tar(&inside)),
    ] {
        if name == "wrong-name.dat" {
            // The name does not have the extension of a table.
            assert!(read(&folder.put(name, bytes)).is_err());
        } else {
            assert_eq!(read(&folder.put(name, bytes)).unwrap(), plain, "{name}");
        }
    }
}

#[test]
fn headers_may_have_spaces_and_another_order() {
    let folder = Folder::new();
    let rows = (0..70).map(csv_row).collect::<String>();
    let swapped = rows.lines().map(|line| {
        let parts: Vec<&str> = line.split(',').collect();
        format!("{},{},{}\r\n", parts[0], parts[2], parts[1])
    });
    let csv = "emotion, Usage, pixels\r\n".to_owned() + &swapped.collect::<String>();
    let other = read(&folder.put("icml_face_data.csv", csv)).unwrap();
    assert_eq!(other, read(&folder.put("fer2013.csv", original_csv())).unwrap());
}

#[test]
fn a_table_with_splits_is_preferred() {
    let folder = Folder::new();
    let train =
        "emotion,pixels\n".to_owned() + &(0..9).map(|row| csv_row(row).replace(",Training", "")).collect::<String>();
    let files = [("a/train.csv", train.into_bytes()), ("b/icml_face_data.csv", original_csv().into_bytes())];
    assert_eq!(read(&folder.put("a.zip", zip(&files))).unwrap().len(), 70);
}

#[test]
fn a_table_without_splits_gets_a_seeded_stratified_split() {
    let folder = Folder::new();
    let rows = (0..140).map(|row| csv_row(row).rsplit_once(',').unwrap().0.to_owned() + "\n");
    let path = folder.put("train.csv", "emotion,pixels\n".to_owned() + &rows.collect::<String>());
    let options = DataOptions { validation_fraction: 0.2, ..DataOptions::default() };
    let dataset = read_with(&path, &options).unwrap();
    let validation = dataset.indices(Split::Validation);
    assert_eq!(validation.len(), 28);
    for class in 0..7 {
        assert_eq!(validation.iter().filter(|&&i| dataset.labels()[i] == class).count(), 4);
    }
    assert!(dataset.notes()[0].contains("no validation split"), "{:?}", dataset.notes());
    assert_eq!(read_with(&path, &options).unwrap(), dataset);
    let other = open(&path, ANY, &options, 1, &Cache::off(), &|_| {}).unwrap();
    assert_ne!(other.splits(), dataset.splits());
}

#[test]
fn broken_rows_are_reported_by_row_and_a_few_are_skipped() {
    let folder = Folder::new();
    let mut csv = original_csv();
    csv += "9,1 2 3 4,Training\n";
    csv += "3,1 2 300 4,Training\n";
    let dataset = read(&folder.put("a.csv", &csv)).unwrap();
    assert_eq!((dataset.len(), dataset.broken().count), (70, 2));
    assert_eq!(dataset.broken().examples[0], "row 70 (line 72): emotion is 9, expected 0 to 6");
    assert_eq!(dataset.broken().examples[1], "row 71 (line 73): pixel 2 is `300`, expected 0 to 255");
    assert!(dataset.notes().iter().any(|note| note.contains("2 items could not be read")));

    csv += "3,1 2 3,Training\n3,,Training\n,1 2 3 4,Training\n3,1 2 3 4,Tuesday\n3\n";
    let error = read(&folder.put("b.csv", &csv)).unwrap_err().to_string();
    assert!(error.contains("7 of 77 items cannot be read"), "{error}");
    insta::assert_snapshot!(error.split_once(": ").unwrap().1);
}

/// Rows and names of 20 MB, which are 20 KB on disk.
#[test]
fn decompression_bombs_are_errors() {
    let folder = Folder::new();
    let table = [b"emotion,pixels\n0,1\n1,".as_slice(), &vec![b'1'; 20 << 20]].concat();
    let error = read(&folder.put("bomb.csv.gz", gzip(&table))).unwrap_err().to_string();
    assert!(error.ends_with("row 1 is longer than 16 MB"), "{error}");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(20 << 20);
    header.set_cksum();
    let long_name = [header.as_bytes().as_slice(), &vec![b'a'; 20 << 20]].concat();
    let error = read(&folder.put("bomb.tar.gz", gzip(&long_name))).unwrap_err().to_string();
    assert!(error.ends_with("its headers are larger than 1 MB"), "{error}");
}

#[test]
fn errors_for_unrecognized_files_name_the_supported_formats() {
    let folder = Folder::new();
    let wrong_columns = folder.put("votes.csv", "a,b\n1,2\n");
    for path in
        [wrong_columns, folder.put("notes.txt", "hello"), folder.put("empty.csv", ""), folder.put("d/e/f.md", "x")]
    {
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("contains no data set") && error.contains("emotion, pixels"), "{error}");
    }
    let damaged = folder.put("a.csv.gz", &gzip(original_csv().as_bytes())[..400]);
    assert!(matches!(read(&damaged).unwrap_err(), DataError::Archive { .. }));
    let damaged = folder.put("a.zip", b"PK\x03\x04 and nothing more");
    assert!(matches!(read(&damaged).unwrap_err(), DataError::Archive { .. }));
    assert!(matches!(read(Path::new("/no/such/file.csv")).unwrap_err(), DataError::Read { .. }));
}

fn kaggle(rows: impl Iterator<Item = usize>, prefix: &str) -> Vec<(String, Vec<u8>)> {
    rows.map(|row| {
        let class = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"][row % 7];
        let split = if row % 3 == 0 { "validation" } else { "train" };
        (format!("{prefix}{split}/{class}/{row}.png"), png(&pixels(row)))
    })
    .collect()
}

fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, Vec<u8>)> {
    files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect()
}

/// Rows from all three official splits.
fn official_rows() -> impl Iterator<Item = usize> {
    (28_600..28_709 + 60).chain(32_290..32_330)
}

#[test]
fn kaggles_zip_is_read_at_any_depth_with_a_note_on_its_random_split() {
    let folder = Folder::new();
    let as_given = DataOptions::default().with_split(false, true);
    let read = |path: &Path| read_with(path, &as_given);
    let mut files = kaggle(official_rows(), "images/");
    let flat = read(&folder.put("flat.zip", zip(&borrowed(&files)))).unwrap();
    assert_eq!(flat.len(), files.len());
    assert_eq!(flat.describe(Split::Validation), "validation");
    let leaked = official_rows().filter(|row| row % 3 != 0 && *row >= 28_709).count();
    assert!(flat.notes()[0].contains(&format!("`train` contains {leaked} official test images")), "{:?}", flat.notes());

    // Kaggle's zip contains some folders twice, and files of macOS.
    files.extend(kaggle(official_rows(), "images/images/"));
    files.push(("__MACOSX/images/train/angry/._3.png".into(), b"junk".to_vec()));
    files.push(("images/.DS_Store".into(), b"junk".to_vec()));
    let twice = read(&folder.put("twice.zip", zip(&borrowed(&files)))).unwrap();
    assert_eq!((twice.len(), twice.broken().count), (flat.len(), 0));
    files.iter().for_each(|(name, bytes)| {
        folder.put(&format!("unpacked/{name}"), bytes);
    });
    let unpacked = read(&folder.0.path().join("unpacked")).unwrap();
    // All fields except the ids, which are paths.
    let parts = |dataset: &Dataset| {
        let own_names = Split::ALL.map(|split| dataset.source_name(split).map(str::to_owned));
        let images: Vec<_> =
            (0..dataset.len()).map(|i| LabeledImage { id: String::new(), ..dataset.labeled_image(i) }).collect();
        (
            dataset.classes().to_vec(),
            images,
            dataset.sizes().to_vec(),
            own_names,
            dataset.broken().clone(),
            dataset.notes().to_vec(),
        )
    };
    assert_eq!(parts(&unpacked), parts(&twice));
}

#[test]
fn the_official_split_is_restored_from_file_numbers() {
    let folder = Folder::new();
    let path = folder.put("k.zip", zip(&borrowed(&kaggle(official_rows(), ""))));
    let dataset = read(&path).unwrap();
    assert!(dataset.notes()[0].contains("--as-given uses the folders as they are"), "{:?}", dataset.notes());
    let counts = Split::ALL.map(|split| dataset.indices(split).len());
    assert_eq!(counts, [109, 60 + 8, 32]);
    assert_eq!(dataset.describe(Split::Test), "test (PrivateTest)");
    for (id, split) in dataset.ids().iter().zip(dataset.splits()) {
        let row: usize = id.rsplit('/').next().unwrap().trim_end_matches(".png").parse().unwrap();
        let expected = if row < 28_709 {
            Split::Train
        } else if row < 32_298 {
            Split::Validation
        } else {
            Split::Test
        };
        assert_eq!(*split, expected, "{id}");
    }
    let own = folder.put("own.zip", zip(&[("happy/me.png", png(&pixels(1))), ("sad/me.png", png(&pixels(2)))]));
    assert!(read(&own).is_ok(), "other data keeps its own splits");
    let required = DataOptions::default().with_split(true, false);
    let error = read_with(&own, &required).unwrap_err().to_string();
    assert!(error.contains("cannot restore the official split: the classes are happy, sad"), "{error}");
    // Own numbered files, none of which is beyond the rows of Training, keep their splits too.
    let numbered = folder.put("numbered.zip", zip(&borrowed(&kaggle(0..70, ""))));
    assert_ne!(read(&numbered).unwrap().describe(Split::Train), "train (Training)");
    // A CSV has the official split already.
    assert!(read_with(&folder.put("fer2013.csv", original_csv()), &required).is_ok());
}

#[test]
fn file_name_prefixes_give_the_official_split() {
    let folder = Folder::new();
    for (i, name) in [
        "train/happy/Training_1.png",
        "train/sad/Training_2.png",
        "test/happy/PublicTest_3.png",
        "test/sad/PrivateTest_4.png",
    ]
    .into_iter()
    .enumerate()
    {
        folder.put(&format!("archive/{name}"), png(&pixels(i)));
    }
    let dataset = read(&folder.0.path().join("archive")).unwrap();
    assert_eq!(Split::ALL.map(|split| dataset.indices(split).len()), [2, 1, 1]);
    assert_eq!(dataset.split_named(Some("PrivateTest")).unwrap(), Split::Test);
    assert_eq!(dataset.split_named(None).unwrap(), Split::Test);
}

#[test]
fn class_folders_with_images_of_any_size_are_read() {
    let folder = Folder::new();
    for i in 0..20u32 {
        let class = ["smile", "no smile"][i as usize % 2];
        let mut bytes = std::io::Cursor::new(Vec::new());
        let photo = image::RgbImage::from_pixel(30 + i, 50, image::Rgb([i as u8 * 10, 0, 0]));
        photo.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        folder.put(&format!("photos/{class}/IMG {i}.JPG"), bytes.into_inner());
    }
    let form = ImageSpec { size: Some([24, 32]), channels: 3 };
    let path = folder.0.path().join("photos");
    let dataset = open(&path, form, &DataOptions::default(), 0, &Cache::off(), &|_| {}).unwrap();
    assert_eq!(dataset.classes(), ["no smile", "smile"]);
    assert_eq!((dataset.len(), dataset.image_len()), (20, 24 * 32 * 3));
    assert_eq!(Split::ALL.map(|split| dataset.indices(split).len()), [18, 2, 0]);
    let error = dataset.split_named(Some("test")).unwrap_err().to_string();
    assert_eq!(error, "this data has no split `test`; select one of its splits: train, validation");
    // A broken file is skipped and reported, and a single class is an error.
    folder.put("photos/smile/broken.jpg", b"\xff\xd8\xff and no more");
    let dataset = open(&path, form, &DataOptions::default(), 0, &Cache::off(), &|_| {}).unwrap();
    assert_eq!((dataset.len(), dataset.broken().count), (20, 1));
    assert!(dataset.broken().examples[0].starts_with("smile/broken.jpg: "), "{:?}", dataset.broken());
    fs::remove_dir_all(path.join("smile")).unwrap();
    assert!(matches!(read(&path).unwrap_err(), DataError::OneClass { .. }));
}

#[test]
fn the_cache_is_used_until_the_content_changes() {
    let folder = Folder::new();
    let cache = Cache::at(folder.0.path().join("cache"));
    let path = folder.put("a.csv", original_csv());
    let get = || {
        let decoded = std::cell::Cell::new(0);
        let dataset =
            open(&path, ANY, &DataOptions::default(), 0, &cache, &|_| decoded.set(decoded.get() + 1)).unwrap();
        (dataset, decoded.get())
    };
    let (first, _) = get();
    let entry = fs::read_dir(cache.folder().unwrap()).unwrap().next().unwrap().unwrap().path();
    let written = fs::metadata(&entry).unwrap().modified().unwrap();
    assert_eq!(get().0, first);
    assert_eq!(fs::metadata(&entry).unwrap().modified().unwrap(), written, "a cache hit writes nothing");
    // The same length and the same time, but another pixel.
    let changed = original_csv().replacen(" 7 ", " 8 ", 1);
    fs::write(&path, &changed).unwrap();
    assert_ne!(get().0.pixels(), first.pixels());
    // A damaged entry is decoded again.
    fs::write(&path, original_csv()).unwrap();
    fs::write(&entry, b"damaged").unwrap();
    assert_eq!(get().0, first);
    assert_eq!(open(&path, ANY, &DataOptions::default(), 0, &Cache::off(), &|_| {}).unwrap(), first);
}

#[test]
fn statistics_find_blank_and_equal_images() {
    let folder = Folder::new();
    let image = |value: u8| (0..64).map(|i| value.wrapping_add(i).to_string()).collect::<Vec<_>>().join(" ");
    let blank = ["9"; 64].join(" ");
    let rows = [
        (0, image(1), "Training"),
        (0, image(1), "Training"),
        (3, image(1), "PublicTest"),
        (3, image(2), "Training"),
        (3, image(2), "Training"),
        (5, image(3), "Training"),
        (5, blank.clone(), "Training"),
        (5, blank, "PublicTest"),
    ];
    let csv = rows.map(|(id, pixels, usage)| format!("{id},{pixels},{usage}\n")).concat();
    let dataset = read(&folder.put("a.csv", "emotion,pixels,Usage\n".to_owned() + &csv)).unwrap();
    let found = statistics::describe(&dataset);
    assert_eq!((found.images, found.blank), (8, 2));
    let expected =
        statistics::Duplicates { groups: 2, images: 3, groups_across_splits: 1, groups_with_conflicting_labels: 1 };
    assert_eq!(found.duplicates, expected);
    assert!(found.near_duplicates.images >= 3);
    assert_eq!(found.splits[0].per_class, [2, 2, 2]);
}

#[test]
fn train_fraction_selects_a_stratified_share() {
    let folder = Folder::new();
    let path = folder.put("a.csv", original_csv());
    let all = read(&path).unwrap();
    let half = read_with(&path, &DataOptions { train_fraction: 0.5, ..DataOptions::default() }).unwrap();
    assert_eq!((all.indices(Split::Train).len(), half.indices(Split::Train).len()), (42, 21));
    assert_eq!(all.indices(Split::Validation).len(), half.indices(Split::Validation).len());
    assert!(half.notes()[0].contains("21 of 42 training images are used"), "{:?}", half.notes());
    for index in 0..half.len() {
        let row: usize = half.ids()[index].parse().unwrap();
        assert_eq!((half.image(index), half.labels()[index]), (all.image(row), all.labels()[row]));
    }
}

#[test]
fn the_table_contains_the_sizes_in_the_source() {
    let folder = Folder::new();
    for (name, size) in [("sad/1.png", 8), ("sad/2.png", 12), ("happy/3.png", 8)] {
        let picture = image::GrayImage::from_fn(size, size, |x, y| image::Luma([(x * 20 + y) as u8]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        folder.put(name, bytes.into_inner());
    }
    let cache = Cache::at(folder.0.path().join("cache"));
    let at = folder.0.path().to_owned();
    for _ in 0..2 {
        let dataset = open(&at, ANY, &DataOptions::default(), 0, &cache, &|_| {}).unwrap();
        let rows = moue_train::data::table::rows(&dataset);
        let sizes: Vec<(u32, u32)> = rows.iter().map(|row| (row.height, row.width)).collect();
        assert_eq!(sizes, [(8, 8), (8, 8), (12, 12)]);
        assert_eq!(rows[0].near_duplicates, Some(1));
        assert_eq!(rows[0].hash, rows[1].hash);
    }
}

#[test]
fn exif_orientation_is_applied() {
    // A JPEG whose left half is black, with an EXIF block that says "turn right".
    let mut jpeg = std::io::Cursor::new(Vec::new());
    let picture = image::GrayImage::from_fn(32, 16, |x, _| image::Luma([if x < 16 { 0 } else { 255 }]));
    picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut turned = jpeg[..2].to_vec();
    turned.extend([0xff, 0xe1, 0, exif.len() as u8 + 2]);
    turned.extend(exif);
    turned.extend(&jpeg[2..]);
    let image = moue::image::decode_image(&turned).unwrap();
    assert_eq!((image.width(), image.height()), (16, 32));
    let pixels = moue::image::to_pixels(&image, [32, 16], 1);
    assert!(pixels[..16 * 8].iter().all(|&v| v < 40) && pixels[16 * 24..].iter().all(|&v| v > 215));
}

mod fuzz {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0usize..6) {
            let folder = Folder::new();
            let start: &[u8] = [&b""[..], b"PK\x03\x04", b"\x1f\x8b\x08\0", b"emotion,pixels,Usage\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"][kind];
            let bytes = [start, &bytes].concat();
            let _ = read(&folder.put("a.csv", &bytes));
            let _ = read(&folder.put("x/happy/a.png", &bytes));
            let _ = moue::image::decode_image(&bytes);
        }

        #[test]
        fn no_cell_makes_the_table_reader_panic(cells in proptest::collection::vec("[0-9a-zA-Z ,\"\n-]{0,12}", 1..60)) {
            let folder = Folder::new();
            let _ = read(&folder.put("a.csv", "emotion,pixels,Usage\n".to_owned() + &cells.join(",")));
        }

        #[test]
        fn damaged_pictures_do_not_panic(place in 0usize..200, value: u8) {
            let mut bytes = png(&pixels(5));
            let place = place % bytes.len();
            bytes[place] = value;
            if let Ok(image) = moue::image::decode_image(&bytes) {
                prop_assert!(image.width() > 0 && image.height() > 0);
            }
        }
    }
}
