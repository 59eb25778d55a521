//! The preview as a PNG picture.

use super::{Preview, SAMPLES, described};
use moue::render::{Canvas, Color, LINE};

const PAPER: Color = [255, 255, 255];
const INK: Color = [28, 28, 31];
const SOFT: Color = [106, 106, 114];
const COLORS: [Color; 3] = [[47, 111, 222], [217, 98, 43], [42, 157, 92]];

const MARGIN: usize = 24;
/// Side of an image, and the gap after it.
const SIDE: usize = 72;
const GAP: usize = 6;
const BAR: usize = 14;

/// The preview as a PNG file.
#[must_use]
pub fn png(preview: &Preview<'_>) -> Vec<u8> {
    let labels = preview.dataset.classes.iter().map(|class| Canvas::text_width(class)).max().unwrap_or(0);
    let left = MARGIN + labels.max(Canvas::text_width("validation 00000")) + GAP * 2;
    let classes = preview.dataset.classes.len();
    let columns = (SAMPLES + 1).max(super::VERSIONS);
    let width = left + columns * (SIDE + GAP) + MARGIN + GAP * 2;
    let bars = preview.statistics.splits.len() * (BAR + 2) + 10;
    let heads = 4 * (LINE * 2 + GAP);
    let height = 2 * MARGIN + heads + classes * (SIDE + GAP) + classes * bars + SIDE + 3 * LINE;
    let mut page = Page { canvas: Canvas::new(width, height, PAPER), left, y: MARGIN };
    page.heading(&preview.title);
    page.samples(preview);
    page.heading("Images by class and split");
    page.counts(preview, width);
    page.heading(&format!("Augmented versions of one image: {}", described(preview.augmentation)));
    page.row("", preview, preview.versions.iter().map(Vec::as_slice));
    page.y += LINE;
    let note = "An expression is an appearance: it does not determine what a person feels.";
    page.canvas.text(MARGIN, page.y, note, false, SOFT);
    page.canvas.into_png()
}

struct Page {
    canvas: Canvas,
    left: usize,
    y: usize,
}

impl Page {
    fn heading(&mut self, text: &str) {
        self.canvas.text(MARGIN, self.y, &text.replace('°', " degrees"), true, INK);
        self.y += LINE + GAP * 2;
    }

    fn row<'a>(&mut self, label: &str, preview: &Preview<'_>, images: impl Iterator<Item = &'a [u8]>) {
        let shape = preview.statistics.shape;
        self.canvas.text(MARGIN, self.y + (SIDE - LINE) / 2, label, false, INK);
        for (column, image) in images.enumerate() {
            self.canvas.image(self.left + column * (SIDE + GAP), self.y, image, shape, SIDE);
        }
        self.y += SIDE + GAP;
    }

    /// Samples of each class, with its mean image at the end of the row.
    fn samples(&mut self, preview: &Preview<'_>) {
        let shape = preview.statistics.shape;
        let mean_at = self.left + SAMPLES * (SIDE + GAP) + GAP * 2;
        self.canvas.text(self.left, self.y, "samples", false, SOFT);
        self.canvas.text(mean_at, self.y, "mean", false, SOFT);
        self.y += LINE + GAP;
        let rows = preview.dataset.classes.iter().zip(&preview.samples).zip(&preview.means);
        for ((class, samples), mean) in rows {
            self.canvas.image(mean_at, self.y, mean, shape, SIDE);
            self.row(class, preview, samples.iter().map(|&index| preview.dataset.image(index)));
        }
        self.y += LINE;
    }

    fn counts(&mut self, preview: &Preview<'_>, width: usize) {
        let splits = &preview.statistics.splits;
        let most = splits.iter().flat_map(|split| &split.per_class).copied().max().unwrap_or(0).max(1);
        let room = width - self.left - MARGIN - Canvas::text_width("000000000000000 validation");
        for (class, label) in preview.dataset.classes.iter().enumerate() {
            self.canvas.text(MARGIN, self.y, label, false, INK);
            for (split, color) in splits.iter().zip(COLORS.iter().cycle()) {
                let count = split.per_class[class];
                let length = (count * room).div_ceil(most);
                self.canvas.rectangle(self.left, self.y + 1, length, BAR, *color);
                let text = format!("{count} {}", split.split.name());
                self.canvas.text(self.left + length + GAP, self.y, &text, false, SOFT);
                self.y += BAR + 2;
            }
            self.y += 10;
        }
        self.y += LINE;
    }
}
