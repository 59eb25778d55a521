//! Interrupted commands: they are killed at random moments and repeated, or cannot write.
//!
//! `attempt` kills and compares, `contents` reads what a command has written. `killed` has the commands, `unwritable`
//! the same ones on a full disk and in a read-only folder.

mod attempt;
mod contents;
mod killed;
mod unwritable;

use crate::place::Place;
use image::{GrayImage, imageops};
use std::process::Command;

/// A network that trains in milliseconds.
const NET: &str = r#"
[model]
name = "nets/eight"
input = [8, 8, 1]
layers = [
  { kind = "conv2d", filters = 4, padding = "same", use_bias = false },
  { kind = "batch_normalization", activation = "relu" },
  { kind = "dropout", rate = 0.1 },
  { kind = "global_average_pooling2d" },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[augment]
flip = true
[train]
epochs = 8
batch_size = 16
learning_rate = 0.01
ema_decay = 0.9
"#;

/// A folder with a network and a data set of so many images.
fn prepared(images: usize) -> Place {
    let place = Place::new();
    place.put("net.toml", NET);
    place.ok(&["data", "draw", "faces", "--count", &images.to_string(), "--quiet"]);
    place
}

/// Photos with one or two faces each, and one without.
fn photos(place: &Place) {
    place.ok(&["data", "draw", "drawn", "--count", "21", "--quiet"]);
    std::fs::create_dir(place.path("photos")).unwrap();
    let face = image::open(crate::place::first_file(&place.path("drawn/train/happy"))).unwrap().into_luma8();
    for number in 0..10 {
        let mut photo = GrayImage::from_pixel(320, 240, image::Luma([120]));
        let large = imageops::resize(&face, 100, 100, imageops::FilterType::Triangle);
        for count in 0..number % 3 {
            imageops::overlay(&mut photo, &large, 30 + 150 * count, 60 + number);
        }
        photo.save(place.path(&format!("photos/{number}.png"))).unwrap();
    }
}

/// Creates `clip.mp4`, or says that there is no `ffmpeg`.
fn video(place: &Place) -> bool {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.current_dir(place.0.path()).args(["-v", "error", "-f", "lavfi"]);
    let made = ffmpeg.args(["-i", "testsrc=duration=3:size=96x80:rate=10", "clip.mp4"]).status();
    if made.is_err() {
        eprintln!("SKIPPED: ffmpeg is not installed");
    }
    made.is_ok_and(|status| status.success())
}
