//! Changes that pictures of cameras have: blur, low resolution, light, noise and compression. They make a network robust
//! against them, and take little time next to a training step.

use crate::config::{Robust, RobustChange, RobustKind};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use moue_engine::Shape;
use moue_engine::random::Stream;
use std::io::Cursor;

/// Applies each change with its probability; the random draws do not depend on the shape.
pub fn apply(options: &Robust, shape: Shape, stream: &mut Stream, out: &mut [f32]) {
    for RobustChange { kind, probability, range } in options.changes() {
        let (is_applied, amount, noise) = (stream.chance(probability), stream.uniform(), stream.bits());
        if is_applied {
            change(kind, amount_in(kind, range, amount), shape, noise, out);
        }
    }
}

/// The amount at a position (0–1) in a range. Factors and exponents are distributed evenly on a logarithmic scale.
fn amount_in(kind: RobustKind, [low, high]: [f32; 2], at: f32) -> f32 {
    match kind {
        RobustKind::Gamma | RobustKind::Darkening => {
            let [low, high] = [low, high].map(|end| libm::log(f64::from(end)));
            libm::exp(low + f64::from(at) * (high - low)) as f32
        }
        _ => low + at * (high - low),
    }
}

/// Applies a change of this amount; `noise` is the key of random numbers.
pub fn change(kind: RobustKind, amount: f32, shape: Shape, noise: u64, out: &mut [f32]) {
    match kind {
        RobustKind::Blur => {
            blur(shape, amount, out);
            // Sums are rounded.
            out.iter_mut().for_each(|v| *v = v.min(255.0));
        }
        RobustKind::Downsampling => downsample(shape, amount, out),
        RobustKind::Gamma => gamma(amount, out),
        RobustKind::Contrast => out.iter_mut().for_each(|v| *v = (127.5 + (*v - 127.5) * amount).clamp(0.0, 255.0)),
        RobustKind::Darkening => out.iter_mut().for_each(|v| *v *= amount),
        RobustKind::Noise => add_noise(255.0 * amount, noise, out),
        RobustKind::Jpeg => {
            let pixels: Vec<u8> = out.iter().map(|v| v.round() as u8).collect();
            if let Some(pixels) = recoded(&pixels, shape, amount.round() as u8) {
                out.iter_mut().zip(pixels).for_each(|(v, pixel)| *v = f32::from(pixel));
            }
        }
    }
}

/// A Gaussian blur with this standard deviation in pixels, vertical and horizontal; the border
/// pixels are repeated.
pub fn blur(shape: Shape, deviation: f32, out: &mut [f32]) {
    let reach = (3.0 * deviation).ceil() as usize;
    let weight = |i: usize| libm::exp(-0.5 * f64::from(i as f32 / deviation).powi(2)) as f32;
    let weights: Vec<f32> = (0..=reach).map(weight).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    if reach == 0 || !sum.is_finite() {
        return;
    }
    let (row, channels) = (shape.width * shape.channels, shape.channels);
    let source = out.to_vec();
    for (y, out) in out.chunks_exact_mut(row).enumerate() {
        let at = |y: usize| &source[y * row..(y + 1) * row];
        let pairs = (1..=reach).map(|i| (at(y.saturating_sub(i)), at((y + i).min(shape.height - 1))));
        weigh(&weights, sum, at(y), pairs, out);
    }
    // The pixels of the border are repeated on both sides of a row.
    let mut padded = vec![0.0; row + 2 * reach * channels];
    for out in out.chunks_exact_mut(row) {
        padded[reach * channels..][..row].copy_from_slice(out);
        for i in 0..reach {
            padded[i * channels..][..channels].copy_from_slice(&out[..channels]);
            padded[(reach + shape.width + i) * channels..][..channels].copy_from_slice(&out[row - channels..]);
        }
        let at = |shift: usize| &padded[shift * channels..][..row];
        let pairs = (1..=reach).map(|i| (at(reach - i), at(reach + i)));
        weigh(&weights, sum, at(reach), pairs, out);
    }
}

/// The weighted mean of values and of pairs at increasing distance from them.
fn weigh<'a>(
    weights: &[f32],
    sum: f32,
    middle: &[f32],
    pairs: impl Iterator<Item = (&'a [f32], &'a [f32])>,
    out: &mut [f32],
) {
    out.iter_mut().zip(middle).for_each(|(out, value)| *out = weights[0] * value);
    for (weight, (before, after)) in weights[1..].iter().zip(pairs) {
        out.iter_mut().zip(before).zip(after).for_each(|((out, a), b)| *out += weight * (a + b));
    }
    out.iter_mut().for_each(|out| *out /= sum);
}

/// Resizes to this share of rows and columns, and back.
fn downsample(shape: Shape, share: f32, out: &mut [f32]) {
    let extent = |extent: usize| ((extent as f32 * share).round() as usize).clamp(1, extent);
    let small = Shape::new(extent(shape.height), extent(shape.width), shape.channels);
    let reduced =
        resized(&resized(out, shape, small.height, true), Shape { height: small.height, ..shape }, small.width, false);
    let wide = resized(&reduced, small, shape.width, false);
    let enlarged = resized(&wide, Shape { width: shape.width, ..small }, shape.height, true);
    out.iter_mut().zip(enlarged).for_each(|(out, value)| *out = value.min(255.0));
}

/// Resizes the rows (`vertical`) or the columns with a triangle filter, whose support grows with the reduction.
fn resized(image: &[f32], shape: Shape, extent: usize, vertical: bool) -> Vec<f32> {
    let from = if vertical { shape.height } else { shape.width };
    let row = shape.width * shape.channels;
    let resized_row = if vertical { row } else { extent * shape.channels };
    let mut out = vec![0.0; if vertical { extent * row } else { shape.height * resized_row }];
    let ratio = from as f32 / extent as f32;
    let support = ratio.max(1.0);
    for to in 0..extent {
        let center = (to as f32 + 0.5) * ratio;
        let first = (center - support).max(0.0) as usize;
        let last = ((center + support).ceil() as usize).min(from);
        let weight = |i: usize| (1.0 - ((i as f32 + 0.5 - center) / support).abs()).max(0.0);
        let sum: f32 = (first..last).map(weight).sum();
        for i in first..last {
            let weight = weight(i) / sum;
            if vertical {
                let source = &image[i * row..(i + 1) * row];
                out[to * row..(to + 1) * row].iter_mut().zip(source).for_each(|(out, value)| *out += weight * value);
            } else {
                for (out, source) in out.chunks_exact_mut(resized_row).zip(image.chunks_exact(row)) {
                    let source = &source[i * shape.channels..(i + 1) * shape.channels];
                    let out = &mut out[to * shape.channels..(to + 1) * shape.channels];
                    out.iter_mut().zip(source).for_each(|(out, value)| *out += weight * value);
                }
            }
        }
    }
    out
}

/// Raises values, as shares of white, to this power; interpolated between whole values.
fn gamma(exponent: f32, out: &mut [f32]) {
    let power = |value: usize| (255.0 * libm::pow(value.min(255) as f64 / 255.0, f64::from(exponent))) as f32;
    let table: Vec<f32> = (0..=256).map(power).collect();
    for value in out {
        let clamped = value.clamp(0.0, 255.0);
        let (below, share) = (clamped as usize, clamped.fract());
        *value = table[below] + share * (table[below + 1] - table[below]);
    }
}

/// Adds noise whose values are sums of eight random bytes: nearly normal, at a fraction of the time.
fn add_noise(deviation: f32, key: u64, out: &mut [f32]) {
    const MEAN: f32 = 8.0 * 127.5;
    // Of a sum of eight bytes: √(8 · (256² − 1) / 12).
    const DEVIATION: f32 = 209.020_73;
    let (stream, scale) = (Stream::new(key), deviation / DEVIATION);
    for (number, value) in out.iter_mut().enumerate() {
        let bits = stream.nth(number as u64);
        let pairs = (bits & 0x00FF_00FF_00FF_00FF) + (bits >> 8 & 0x00FF_00FF_00FF_00FF);
        let sum = pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48;
        *value = (*value + scale * (sum as f32 - MEAN)).clamp(0.0, 255.0);
    }
}

/// The pixels after JPEG compression with this quality (1–100); `None` where they cannot be encoded.
#[must_use]
pub fn recoded(pixels: &[u8], shape: Shape, quality: u8) -> Option<Vec<u8>> {
    let color = if shape.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    encoder.encode(pixels, shape.width as u32, shape.height as u32, color).ok()?;
    let decoded = image::load_from_memory_with_format(bytes.get_ref(), ImageFormat::Jpeg).ok()?;
    Some(if shape.channels == 1 { decoded.into_luma8().into_raw() } else { decoded.into_rgb8().into_raw() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::new(48, 48, 1);

    /// A gray ramp with a bright square.
    fn image() -> Vec<f32> {
        let value = |y: usize, x: usize| {
            if (16..32).contains(&y) && (16..32).contains(&x) { 240.0 } else { 2.0 * (x + y) as f32 }
        };
        (0..48 * 48).map(|i| value(i / 48, i % 48)).collect()
    }

    fn changed(kind: RobustKind, amount: f32) -> Vec<f32> {
        let mut out = image();
        change(kind, amount, SHAPE, 5, &mut out);
        assert!(out.iter().all(|v| (0.0..=255.0).contains(v)), "{kind:?}");
        out
    }

    fn distance(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32
    }

    #[test]
    fn changes_grow_with_their_amount() {
        for (kind, weak, strong) in [
            (RobustKind::Blur, 0.5, 2.0),
            (RobustKind::Downsampling, 0.5, 0.3),
            (RobustKind::Gamma, 1.2, 2.0),
            (RobustKind::Contrast, 0.8, 0.3),
            (RobustKind::Darkening, 0.5, 0.125),
            (RobustKind::Noise, 0.05, 0.15),
            (RobustKind::Jpeg, 60.0, 10.0),
        ] {
            let [weak, strong] = [weak, strong].map(|amount| distance(&changed(kind, amount), &image()));
            assert!(0.0 < weak && weak < strong, "{kind:?} {weak} {strong}");
        }
    }

    #[test]
    fn neutral_amounts_change_nothing() {
        let neutral = [
            (RobustKind::Gamma, 1.0),
            (RobustKind::Contrast, 1.0),
            (RobustKind::Darkening, 1.0),
            (RobustKind::Downsampling, 1.0),
            (RobustKind::Noise, 0.0),
        ];
        for (kind, amount) in neutral {
            assert!(distance(&changed(kind, amount), &image()) < 1e-4, "{kind:?}");
        }
    }

    #[test]
    fn downsampling_equals_resizing_with_a_triangle_filter() {
        let pixels: Vec<u8> = image().iter().map(|&v| v as u8).collect();
        let picture = image::GrayImage::from_raw(48, 48, pixels).unwrap();
        let filter = image::imageops::FilterType::Triangle;
        let small = image::imageops::resize(&picture, 16, 16, filter);
        let expected: Vec<f32> =
            image::imageops::resize(&small, 48, 48, filter).into_raw().into_iter().map(f32::from).collect();
        // The other one rounds to bytes in between.
        let found = changed(RobustKind::Downsampling, 1.0 / 3.0);
        assert!(distance(&found, &expected) < 0.6, "{}", distance(&found, &expected));
    }

    #[test]
    fn gamma_is_a_power_of_shares_of_white() {
        for (value, found) in image().into_iter().zip(changed(RobustKind::Gamma, 1.7)) {
            let expected = 255.0 * (value / 255.0).powf(1.7);
            assert!((found - expected).abs() < 0.05, "{value}: {found}, expected {expected}");
        }
    }

    #[test]
    fn noise_has_the_moments_of_the_normal_distribution() {
        let mut gray = vec![128.0; 200_000];
        add_noise(20.0, 3, &mut gray);
        let moment =
            |power: i32| gray.iter().map(|v| f64::from((v - 128.0) / 20.0).powi(power)).sum::<f64>() / 200_000.0;
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.01 && moment(3).abs() < 0.02);
        // 3 for a normal distribution.
        assert!((moment(4) - 2.85).abs() < 0.05, "{}", moment(4));
    }

    #[test]
    fn each_change_is_applied_as_often_as_its_probability() {
        let off = Robust::off();
        let mut out = image();
        apply(&off, SHAPE, &mut Stream::new(1), &mut out);
        assert_eq!(out, image());
        let half = Robust { darkening: 0.5, darkening_range: [0.25, 0.5], ..off };
        let means: Vec<f32> = (0..1000)
            .map(|key| {
                let mut out = image();
                apply(&half, SHAPE, &mut Stream::new(key), &mut out);
                out.iter().sum::<f32>() / image().iter().sum::<f32>()
            })
            .collect();
        let dark: Vec<f32> = means.into_iter().filter(|&mean| mean < 0.99).collect();
        assert!((450..550).contains(&dark.len()), "{}", dark.len());
        assert!(dark.iter().all(|mean| (0.249..0.501).contains(mean)));
        // Half of them below the geometric mean.
        let low = dark.iter().filter(|mean| **mean < 0.3536).count();
        assert!((0.4..0.6).contains(&(low as f32 / dark.len() as f32)), "{low}");
    }
}
