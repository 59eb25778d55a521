//! The colors of classes: the same in annotated pictures, in charts and in reports.

use super::canvas::Color;

/// One color for each class in turn, by alphabetical index. Each is visible on light and on dark
/// backgrounds.
pub const CLASS_COLORS: [Color; 10] = [
    [214, 69, 69],
    [79, 154, 58],
    [154, 91, 208],
    [196, 142, 8],
    [127, 135, 144],
    [47, 111, 222],
    [10, 152, 160],
    [224, 112, 42],
    [214, 58, 138],
    [122, 106, 90],
];

const DARK: Color = [16, 16, 20];
const LIGHT: Color = [255, 255, 255];

/// The color of a class, by its alphabetical index.
#[must_use]
pub fn class_color(class: usize) -> Color {
    CLASS_COLORS[class % CLASS_COLORS.len()]
}

/// Dark or light text, whichever has the higher contrast on a background.
pub fn text_color(background: Color) -> Color {
    // Relative luminance of WCAG 2; at 0.18 both contrasts are equal.
    let linear = |value: u8| (f32::from(value) / 255.0).powf(2.2);
    let [red, green, blue] = background.map(linear);
    if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 { DARK } else { LIGHT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_contrasts_with_its_background() {
        assert_eq!([[255; 3], [255, 209, 84], [20, 40, 120], [0; 3]].map(text_color), [DARK, DARK, LIGHT, LIGHT]);
    }
}
