//! The views of a photo that are searched: its parts, scaled and padded.
//!
//! The network finds faces of 16 to about 300 pixels. Larger and smaller ones need the photo at
//! another scale. A face that fills the picture is found where the picture has a margin.

use super::detection::{DetectOptions, Detection};
use super::network::STRIDE;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use moue_engine::{Shape, Tensor};

/// Smallest side of a face in a view.
const SMALLEST: f32 = 16.0;

/// Longer side of the main view.
const MAIN: f32 = 640.0;

/// Margin on each side of it, as a share of the photo's longer side.
const MAIN_MARGIN: f32 = 0.025;

/// Longer side of the view for faces that fill the photo, and its margin.
const COARSE: f32 = 320.0;
const COARSE_MARGIN: f32 = 0.1;

/// Share of the photo's shorter side from which a face is searched in the coarse view.
const COARSE_FACES: f32 = 0.2;

/// Photos up to this side are small: a face in them is likely to fill them.
const SMALL: u32 = 416;

/// Photos above this side are also searched at [`FINE`] pixels.
const LARGE: u32 = 1920;
const FINE: f32 = 1280.0;

/// Maximum side of a tile, and the width that adjacent tiles share.
const TILE: f32 = 1280.0;
const SHARED: f32 = 192.0;

/// Maximum enlargement of a photo.
const LARGEST_SCALE: f32 = 2.0;

/// A part of a photo at a scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Left edge, upper edge, columns and rows in the photo.
    pub region: [f32; 4],
    /// Pixels of the view for one of the photo.
    pub scale: f32,
    /// Empty border, in pixels of the view.
    pub margin: usize,
    /// Side of the smallest face that counts, in the photo's pixels.
    pub least_side: f32,
    /// Whether its responses also make those of other views more certain.
    pub confirms: bool,
}

/// The views of a photo of this size, in the order in which they are searched.
pub fn views(width: u32, height: u32, options: &DetectOptions) -> Vec<View> {
    let longest = width.max(height) as f32;
    let whole = [0.0, 0.0, width as f32, height as f32];
    let view = |side: f32, margin: f32| View {
        region: whole,
        scale: side / (longest * (1.0 + 2.0 * margin)),
        // Rounded down, so that the view does not need another stride.
        margin: (side * margin / (1.0 + 2.0 * margin)) as usize,
        least_side: 0.0,
        confirms: false,
    };
    let coarse = View { confirms: true, ..view(COARSE, COARSE_MARGIN) };
    let main = if width.max(height) <= SMALL { view(SMALL as f32, COARSE_MARGIN) } else { view(MAIN, MAIN_MARGIN) };
    let least_coarse = COARSE_FACES * width.min(height) as f32;
    let usual = if width.max(height) > LARGE { FINE / longest } else { main.scale };
    let finest = if options.min_face > 0 { SMALLEST / options.min_face as f32 } else { usual };
    let smallest = if options.min_face > 0 { options.min_face as f32 } else { SMALLEST / usual.max(main.scale) };
    if options.fast {
        return vec![View { least_side: (SMALLEST / coarse.scale).max(options.min_face as f32), ..coarse }];
    }
    let mut views = vec![main, View { least_side: least_coarse, ..coarse }];
    let finest = finest.min(LARGEST_SCALE.max(main.scale));
    // A little more than the main view's scale is not worth a search of its own.
    if finest > 1.2 * main.scale {
        views.extend(tiles(whole, finest));
    }
    views.iter_mut().for_each(|view| view.least_side = view.least_side.max(smallest));
    views
}

/// The photo at a scale, in parts that share a border.
fn tiles([_, _, width, height]: [f32; 4], scale: f32) -> Vec<View> {
    let starts = |extent: f32| -> Vec<f32> {
        let (tile, shared) = (TILE / scale, SHARED / scale);
        // Rounding of the scale must not add a tile.
        let count = ((extent - shared) / (tile - shared) - 1e-3).ceil().max(1.0);
        let step = if count > 1.0 { (extent - tile) / (count - 1.0) } else { 0.0 };
        (0..count as usize).map(|number| number as f32 * step).collect()
    };
    let mut tiles = Vec::new();
    for y in starts(height) {
        for x in starts(width) {
            let region = [x, y, (TILE / scale).min(width), (TILE / scale).min(height)];
            tiles.push(View { region, scale, margin: 0, least_side: 0.0, confirms: false });
        }
    }
    tiles
}

impl View {
    /// The pixels of the view: the scaled part inside its margin, zeros up to whole strides.
    pub fn pixels(&self, photo: &RgbImage) -> Tensor {
        let [x, y, width, height] = self.region;
        let [columns, rows] = self.extent();
        let mut scaled = TypedImage::<U8x3>::new(columns as u32, rows as u32);
        // Typed: otherwise the program contains the code for all types of pixels.
        if let Ok(from) = TypedImageRef::<U8x3>::from_buffer(photo.width(), photo.height(), photo.as_raw()) {
            let filter = ResizeAlg::Convolution(FilterType::Bilinear);
            // Rounding may have moved the region beyond the photo by a fraction of a pixel.
            let [x, y, width, height] = [x, y, width, height].map(f64::from);
            let (x, y) = (x.min(f64::from(photo.width()) - 1.0), y.min(f64::from(photo.height()) - 1.0));
            let width = width.min(f64::from(photo.width()) - x);
            let height = height.min(f64::from(photo.height()) - y);
            let options = ResizeOptions::new().resize_alg(filter).crop(x, y, width, height);
            // It fails only where the region is outside the photo; then there is nothing to find.
            let _ = Resizer::new().resize_typed(&from, &mut scaled, &options);
        }
        let padded = |extent: usize| (extent + 2 * self.margin).next_multiple_of(STRIDE);
        let mut view = Tensor::zeros(1, Shape::new(padded(rows), padded(columns), 3));
        let line = view.shape().width * 3;
        let lines = view.data_mut().chunks_exact_mut(line).skip(self.margin);
        for (to, from) in lines.zip(scaled.pixels().chunks_exact(columns)) {
            let to = to[3 * self.margin..].as_chunks_mut().0;
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from.0.map(f32::from));
        }
        view
    }

    /// Columns and rows of the scaled part.
    fn extent(&self) -> [usize; 2] {
        let [_, _, width, height] = self.region;
        [width, height].map(|extent| ((extent * self.scale).round() as usize).max(1))
    }

    /// A response in the view's pixels as one in the photo's.
    pub fn in_photo(&self, found: &Detection) -> Detection {
        let [columns, rows] = self.extent();
        let [x, y, width, height] = self.region;
        // Rounding to whole pixels changes the two scales a little.
        let scale = [width / columns as f32, height / rows as f32];
        let margin = self.margin as f32;
        let point = |[px, py]: [f32; 2]| [x + (px - margin) * scale[0], y + (py - margin) * scale[1]];
        let [left, top] = point([found.x, found.y]);
        Detection {
            x: left,
            y: top,
            width: found.width * scale[0],
            height: found.height * scale[1],
            score: found.score,
            landmarks: found.landmarks.map(|points| points.map(point)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(width: u32, height: u32, min_face: u32) -> Vec<[usize; 2]> {
        let options = DetectOptions { min_face, ..DetectOptions::default() };
        let photo = RgbImage::new(width, height);
        let views = views(width, height, &options);
        let shapes = views.iter().map(|view| view.pixels(&photo).shape());
        shapes.map(|shape| [shape.width, shape.height]).collect()
    }

    #[test]
    fn the_search_fits_the_picture() {
        assert_eq!(sides(48, 48, 0), [[416, 416], [320, 320]]);
        assert_eq!(sides(350, 200, 0), [[416, 288], [320, 224]]);
        assert_eq!(sides(640, 480, 0), [[640, 512], [320, 256]]);
        assert_eq!(sides(480, 640, 0), [[512, 640], [256, 320]]);
        // A large photo is also searched at 1,280 pixels, in one tile.
        assert_eq!(sides(4000, 3000, 0), [[640, 512], [320, 256], [1280, 960]]);
        assert_eq!(sides(4032, 3024, 0), [[640, 512], [320, 256], [1280, 960]]);
        // Faces of 20 pixels need 4 / 5 of its scale: 3,200 × 2,400 pixels in tiles.
        assert_eq!(sides(4000, 3000, 20).len(), 2 + 3 * 3);
        // Faces that the main view shows need no tiles.
        assert_eq!(sides(4000, 3000, 200).len(), 2);
    }

    #[test]
    fn a_fast_search_has_one_view() {
        let found = views(640, 480, &DetectOptions { fast: true, ..DetectOptions::default() });
        assert_eq!(found.len(), 1);
        assert!((found[0].least_side - 38.4).abs() < 0.1, "{found:?}");
        let found = views(640, 480, &DetectOptions { fast: true, min_face: 100, ..DetectOptions::default() });
        assert_eq!(found[0].least_side, 100.0);
    }

    #[test]
    fn extreme_pictures_have_few_small_views() {
        for (width, height) in [(1, 1), (1, 30_000), (30_000, 1), (2, 415)] {
            for view in sides(width, height, 1) {
                assert!(view[0] <= 1280 && view[1] <= 1280, "{width} x {height}: {view:?}");
            }
        }
    }

    #[test]
    fn tiles_cover_the_photo_and_share_borders() {
        let tiles = tiles([0.0, 0.0, 3000.0, 1000.0], 1.0);
        assert_eq!(tiles.len(), 3);
        assert_eq!((tiles[0].region[0], tiles[2].region[0] + tiles[2].region[2]), (0.0, 3000.0));
        assert!(tiles.windows(2).all(|pair| pair[0].region[0] + pair[0].region[2] >= pair[1].region[0] + SHARED));
    }

    #[test]
    fn every_tile_shows_the_photo() {
        // With these numbers the last tile begins a ten-thousandth of a pixel too late.
        let photo = RgbImage::from_pixel(3240, 40, image::Rgb([200; 3]));
        for view in views(3240, 40, &DetectOptions { min_face: 15, ..DetectOptions::default() }) {
            assert!(view.pixels(&photo).data().contains(&200.0), "{view:?}");
        }
    }

    #[test]
    fn places_return_to_the_photo() {
        let view = views(1000, 500, &DetectOptions::default())[0];
        let scale = view.scale;
        let at = |x: f32| (x * scale) + view.margin as f32;
        let landmarks = Some([[at(500.0), at(250.0)]; 5]);
        let found =
            Detection { x: at(100.0), y: at(50.0), width: 200.0 * scale, height: 100.0 * scale, score: 0.8, landmarks };
        let face = view.in_photo(&found);
        for (got, wanted) in [(face.x, 100.0), (face.y, 50.0), (face.width, 200.0), (face.height, 100.0)] {
            assert!((got - wanted).abs() < 0.5, "{face:?}");
        }
        assert!((face.landmarks.unwrap()[2][0] - 500.0).abs() < 0.5, "{face:?}");
    }
}
