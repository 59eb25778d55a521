//! The files that the commands of the book name: small datasets of synthetic faces, photos, a video.

use crate::place::Place;
use image::{DynamicImage, GrayImage, imageops};
use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Class folders with images, for the commands that would generate thousands.
pub const FEW: &str = "few";

/// FER2013's classes in the order of its numbers.
const FER2013: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
/// Images of each class.
const COUNT: usize = 12;

/// Creates the files in a new folder.
pub fn files() -> Place {
    let place = Place::new();
    let faces = kaggle(&place);
    csv(&place, &faces);
    votes(&place, &faces);
    let face = &faces[3].1;
    face.save(place.path("face.png")).unwrap();
    let photo = photo(face);
    for name in ["photo.jpg", "a.jpg", "holiday/one.jpg", "holiday/two.jpg", "photos/one.jpg", "photos/deep/two.jpg"] {
        save(&place, name, &photo);
    }
    save(&place, "b.png", &photo);
    for (number, (class, image)) in faces.iter().enumerate() {
        let name = if class % 2 == 0 { "laughing" } else { "serious" };
        save(&place, &format!("my-photos/{name}/{number}.png"), &DynamicImage::ImageLuma8(image.clone()));
    }
    video(&place);
    place.ok(&["export", "tiny", "model.safetensors", "--quiet"]);
    place.put("my-net.toml", crate::place::TINY);
    place.put(
        "my-space.toml",
        "arch = \"my-net.toml\"\n[space]\ntrain.learning_rate = { min = 0.001, max = 0.1, log = true }\n",
    );
    assert!(works(place.program("gzip").args(["-k", "fer2013.csv"])), "gzip is not installed");
    place
}

/// Creates `few`, and `archive.zip` with some of its images, which are returned.
pub fn kaggle(place: &Place) -> Vec<(usize, GrayImage)> {
    place.ok(&["data", "draw", FEW, "--count", "120", "--quiet"]);
    let mut faces = Vec::new();
    for (class, name) in FER2013.iter().enumerate() {
        faces.extend(images(&place.path(FEW), name).into_iter().take(COUNT).map(|image| (class, image)));
    }
    assert_eq!(faces.len(), COUNT * FER2013.len());
    kaggle_zip(place, &faces);
    faces
}

/// Copies the files into the folder of a page.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = {
            let entry = entry.unwrap();
            (entry.path(), entry.file_name())
        };
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// The images of a class, from all splits.
fn images(folder: &Path, class: &str) -> Vec<GrayImage> {
    let mut splits: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    splits.sort();
    let mut files = Vec::new();
    for split in splits {
        files.extend(fs::read_dir(split.join(class)).into_iter().flatten().map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files.iter().map(|path| image::open(path).unwrap().into_luma8()).collect()
}

/// Kaggle's layout: files are named after their rows in FER2013, whatever their folder.
fn kaggle_zip(place: &Place, faces: &[(usize, GrayImage)]) {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (number, (class, image)) in faces.iter().enumerate() {
        let first_row = [0, 0, 0, 0, 28_709, 32_298][number % 6];
        let folder = if number % 5 == 0 { "validation" } else { "train" };
        let name = format!("images/{folder}/{}/{}.jpg", FER2013[*class], first_row + number);
        zip.start_file(name, options).unwrap();
        zip.write_all(&encoded(&DynamicImage::ImageLuma8(image.clone()), image::ImageFormat::Jpeg)).unwrap();
    }
    place.put("archive.zip", zip.finish().unwrap().into_inner());
}

fn csv(place: &Place, faces: &[(usize, GrayImage)]) {
    let mut rows = String::from("emotion,pixels,Usage\n");
    for (number, (class, image)) in faces.iter().enumerate() {
        let pixels: Vec<String> = image.pixels().map(|pixel| pixel.0[0].to_string()).collect();
        writeln!(rows, "{class},{},{}", pixels.join(" "), usage(number)).unwrap();
    }
    place.put("fer2013.csv", rows);
}

/// FER+'s file: seven of ten people choose the label, three the next column.
fn votes(place: &Place, faces: &[(usize, GrayImage)]) {
    let columns = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"];
    let mut rows = format!("Usage,Image name,{},contempt,unknown,NF\n", columns.join(","));
    for (number, (class, _)) in faces.iter().enumerate() {
        let mut counts = [0; 10];
        (counts[*class], counts[(class + 1) % 7]) = (7, 3);
        let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
        writeln!(rows, "{},fer{number:07}.png,{}", usage(number), counts.join(",")).unwrap();
    }
    place.put("fer2013new.csv", rows);
}

/// The split of a row.
fn usage(number: usize) -> &'static str {
    ["Training", "Training", "Training", "Training", "PublicTest", "PrivateTest"][number % 6]
}

/// A face on a gray background.
fn photo(face: &GrayImage) -> DynamicImage {
    let mut photo = GrayImage::from_pixel(320, 240, image::Luma([120]));
    let large = imageops::resize(face, 120, 120, imageops::FilterType::Triangle);
    imageops::overlay(&mut photo, &large, 100, 60);
    DynamicImage::ImageLuma8(photo)
}

fn video(place: &Place) {
    let mut ffmpeg = place.program("ffmpeg");
    ffmpeg.args(["-v", "error", "-loop", "1", "-i", "photo.jpg", "-t", "1", "-r", "10", "clip.mp4"]);
    if !works(&mut ffmpeg) {
        println!("SKIPPED: the book's commands for video, without ffmpeg");
    }
}

pub fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn save(place: &Place, name: &str, image: &DynamicImage) {
    let format = if name.ends_with("png") { image::ImageFormat::Png } else { image::ImageFormat::Jpeg };
    place.put(name, encoded(image, format));
}

fn encoded(image: &DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
