//! Pictures of saliency maps: a face overlaid with the map of its predicted class.

use super::canvas::{Canvas, Color, LINE};
use super::encode::image_url;
use crate::explain::{Explainer, Explanation, Method};
use crate::prediction::Face;
use image::{RgbImage, imageops};

/// Side of an enlarged face.
const EXPLAINED: u32 = 336;

const PAPER: Color = [255, 255, 255];
const INK: Color = [16, 16, 20];

/// Height of the caption, and the space around its text.
const CAPTION: usize = LINE + 2 * MARGIN;
const MARGIN: usize = 6;

/// Length of the scale.
const SCALE: usize = 120;

/// The network's input (`[H, W, C]`), enlarged, next to the same face with its saliency map; below, the class and the
/// method, and the scale of the map.
#[must_use]
pub fn explained(pixels: &[u8], input: [usize; 3], explanation: &Explanation) -> RgbImage {
    let face = enlarged(pixels, input);
    let (width, height) = (face.width(), face.height());
    let mut both = RgbImage::from_pixel(2 * width, height + CAPTION as u32, image::Rgb(PAPER));
    imageops::replace(&mut both, &face, 0, 0);
    imageops::replace(&mut both, &overlaid(&face, explanation), i64::from(width), 0);
    let mut canvas = Canvas::on(both);
    let (line, half) = (height as usize + MARGIN, width as usize);
    canvas.text(MARGIN, line, &format!("{} ({})", explanation.label, explanation.method), true, INK);
    let low = "importance 0";
    canvas.text(half + MARGIN, line, low, false, INK);
    let scale = half + 2 * MARGIN + Canvas::text_width(low);
    for step in 0..SCALE {
        let color = heat(step as f32 / (SCALE - 1) as f32).map(|value| value as u8);
        canvas.rectangle(scale + step, line + 2, 1, LINE - 4, color);
    }
    canvas.text(scale + SCALE + MARGIN, line, "1", false, INK);
    canvas.into_picture()
}

/// The network's input (`[H, W, C]`), enlarged.
#[must_use]
pub fn enlarged(pixels: &[u8], [height, width, channels]: [usize; 3]) -> RgbImage {
    let face = RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = (y as usize * width + x as usize) * channels;
        image::Rgb(if channels == 1 { [pixels[at]; 3] } else { [pixels[at], pixels[at + 1], pixels[at + 2]] })
    });
    let across = (EXPLAINED * width as u32 / height.max(1) as u32).max(1);
    imageops::resize(&face, across, EXPLAINED, imageops::FilterType::CatmullRom)
}

/// A face in gray, overlaid with its saliency map from blue (low) to red (high).
#[must_use]
pub fn overlaid(face: &RgbImage, explanation: &Explanation) -> RgbImage {
    RgbImage::from_fn(face.width(), face.height(), |x, y| {
        let share = |at: u32, extent: u32| (at as f32 + 0.5) / extent as f32;
        let value = explanation.at(share(y, face.height()), share(x, face.width()));
        let gray = face.get_pixel(x, y).0.map(f32::from).iter().sum::<f32>() / 3.0;
        image::Rgb(heat(value).map(|color| (0.5 * gray + 0.5 * color) as u8))
    })
}

/// Sets the `explanation` of each face: its crop (`[H, W, C]` of the network's input, 0–255)
/// overlaid with the saliency map of its label.
pub fn explain_faces(explainer: &Explainer, faces: &mut [Face], crops: &[Vec<u8>]) {
    for (face, crop) in faces.iter_mut().zip(crops) {
        let explanation = explainer.explain(crop, &face.label, Method::GradCam);
        let overlay = overlaid(&enlarged(crop, explainer.input()), &explanation);
        let shape = [overlay.height() as usize, overlay.width() as usize, 3];
        face.explanation = image_url(overlay.as_raw(), shape);
    }
}

/// Blue, green, yellow, red.
fn heat(value: f32) -> [f32; 3] {
    let ramp = |from: f32, to: f32| ((value - from) / (to - from)).clamp(0.0, 1.0) * 255.0;
    [ramp(0.35, 0.65), ramp(0.1, 0.4) - ramp(0.65, 0.95), 255.0 - ramp(0.3, 0.6)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_saliency_overlay_colors_the_salient_half() {
        let (label, method) = ("happy".to_owned(), Method::GradCam);
        let map = Explanation { label, method, height: 1, width: 2, values: vec![0.0, 1.0] };
        let picture = explained(&[100; 16], [4, 4, 1], &map);
        assert_eq!(picture.dimensions(), (672, 336 + CAPTION as u32));
        let caption = || picture.enumerate_pixels().filter(|(_, y, _)| *y >= 336);
        assert!(caption().any(|(x, _, pixel)| x < 336 && pixel.0 == INK), "the class is written");
        assert!([[0, 0, 255], [255, 0, 0]].iter().all(|end| caption().any(|(.., pixel)| pixel.0 == *end)), "the scale");
        assert_eq!(picture.get_pixel(10, 10).0, [100; 3]);
        let [cold, hot] = [340, 668].map(|x| picture.get_pixel(x, 100).0);
        assert!(cold[2] > 150 && cold[0] < 80 && hot[0] > 150 && hot[2] < 80, "{cold:?} {hot:?}");
    }
}
