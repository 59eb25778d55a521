//! Maximum and average pooling, and their gradients.
//!
//! The positions of windows are computed in `window`.

use super::element::Element;
use super::gemm::LANES;
use super::isa;
use super::window::Window;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Channels whose sums stay in registers.
const CHANNELS: usize = 64;

/// The kind of pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingKind {
    /// The maximum.
    Max,
    /// The mean; padding is not counted.
    Average,
}

/// Maximum over each window. `argmax` is set to the index of the maximum within its image, for
/// [`max_backward`]; the first one wins a tie.
pub fn max_forward<E: Element>(window: &Window, x: &[E], y: &mut [E], argmax: &mut [u32]) {
    let line = window.output[1] * window.input.channels;
    y.par_chunks_mut(line).zip(argmax.par_chunks_mut(line)).enumerate().for_each(|(line, (y, argmax))| {
        isa::dispatch(Max { window, x, line, y, argmax: Some(argmax) });
    });
}

/// [`max_forward`] without `argmax`, for inference.
pub fn max_only<E: Element>(window: &Window, x: &[E], y: &mut [E]) {
    let line = window.output[1] * window.input.channels;
    y.par_chunks_mut(line).enumerate().for_each(|(line, y)| {
        isa::dispatch(Max { window, x, line, y, argmax: None });
    });
}

/// One line of the output: line `line % height` of image `line / height`.
struct Max<'a, E> {
    window: &'a Window,
    x: &'a [E],
    line: usize,
    y: &'a mut [E],
    argmax: Option<&'a mut [u32]>,
}

impl<E: Element> WithSimd for Max<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const FROM_ZERO: [u32; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let Self { window, x, line, y, mut argmax } = self;
        let channels = window.input.channels;
        let (image, line) = (line / window.output[0], line % window.output[0]);
        let x = &x[image * window.input.len()..][..window.input.len()];
        let lanes_up = simd.partial_load_u32s(&FROM_ZERO[..S::U32_LANES]);
        let (top, _, height) = window.covered(0, line);
        for (column, y) in y.chunks_exact_mut(channels).enumerate() {
            let (left, _, width) = window.covered(1, column);
            for first in (0..channels).step_by(S::F32_LANES) {
                let end = channels.min(first + S::F32_LANES);
                let mut max = simd.splat_f32s(f32::NEG_INFINITY);
                let mut place = simd.splat_u32s(0);
                for row in top..top + height {
                    for column in left..left + width {
                        let at = (row * window.input.width + column) * channels;
                        let values = E::load(simd, &x[at + first..at + end]);
                        // A NaN must propagate, so that a diverged network is noticed.
                        let keep = simd.less_than_or_equal_f32s(values, max);
                        let sound = simd.equal_f32s(max, max);
                        let here = simd.add_u32s(simd.splat_u32s((at + first) as u32), lanes_up);
                        place = simd.select_u32s(sound, simd.select_u32s(keep, place, here), place);
                        max = simd.select_f32s(sound, simd.select_f32s(keep, max, values), max);
                    }
                }
                E::store(simd, &mut y[first..end], max);
                if let Some(argmax) = &mut argmax {
                    simd.partial_store_u32s(&mut argmax[column * channels..][first..end], place);
                }
            }
        }
    }
}

/// Adds each gradient at the position of the maximum. `dx` is overwritten.
pub fn max_backward<E: Element>(window: &Window, dy: &[E], argmax: &[u32], dx: &mut [E]) {
    let channels = window.input.channels;
    let output = window.positions() * channels;
    let apart = !window.overlaps();
    dx.par_chunks_mut(window.input.len()).zip(dy.par_chunks(output)).zip(argmax.par_chunks(output)).for_each(
        |((dx, dy), argmax)| {
            dx.fill(E::default());
            if apart {
                isa::dispatch(
                    #[inline(always)]
                    || spread_apart(window, dy, argmax, dx),
                );
            } else {
                for (g, &a) in dy.iter().zip(argmax) {
                    let place = &mut dx[a as usize];
                    *place = E::round(place.widen() + g.widen());
                }
            }
        },
    );
}

/// [`max_backward`] of one image whose windows do not overlap: every input has at most one
/// gradient, so all gradients of a window can be written together.
#[inline(always)]
fn spread_apart<E: Element>(window: &Window, dy: &[E], argmax: &[u32], dx: &mut [E]) {
    let channels = window.input.channels;
    for (position, (dy, argmax)) in dy.chunks_exact(channels).zip(argmax.chunks_exact(channels)).enumerate() {
        for_window(window, position, |at| {
            let place = at * channels;
            let dx = &mut dx[place..place + channels];
            for (c, ((dx, &g), &a)) in dx.iter_mut().zip(dy).zip(argmax).enumerate() {
                *dx = if a == (place + c) as u32 { g } else { E::default() };
            }
        });
    }
}

/// Average over each window; padding is not counted, as in Keras.
pub fn average_forward<E: Element>(window: &Window, x: &[E], y: &mut [E]) {
    let channels = window.input.channels;
    y.par_chunks_mut(window.positions() * channels).zip(x.par_chunks(window.input.len())).for_each(|(y, x)| {
        isa::dispatch(
            #[inline(always)]
            || {
                for (position, y) in y.chunks_exact_mut(channels).enumerate() {
                    for (block, y) in y.chunks_mut(CHANNELS).enumerate() {
                        let (mut sums, mut count) = ([0.0; CHANNELS], 0.0);
                        for_window(window, position, |at| {
                            count += 1.0;
                            let values = &x[at * channels + block * CHANNELS..][..y.len()];
                            sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += v.widen());
                        });
                        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = E::round(sum / count));
                    }
                }
            },
        );
    });
}

/// Distributes each gradient evenly over its window. `dx` is overwritten.
pub fn average_backward<E: Element>(window: &Window, dy: &[E], dx: &mut [E]) {
    let channels = window.input.channels;
    dx.par_chunks_mut(window.input.len()).zip(dy.par_chunks(window.positions() * channels)).for_each(|(dx, dy)| {
        isa::dispatch(
            #[inline(always)]
            || {
                dx.fill(E::default());
                for (position, dy) in dy.chunks_exact(channels).enumerate() {
                    let mut count = 0.0;
                    for_window(window, position, |_| count += 1.0);
                    for_window(window, position, |at| {
                        let places = &mut dx[at * channels..(at + 1) * channels];
                        places.iter_mut().zip(dy).for_each(|(dx, g)| *dx = E::round(dx.widen() + g.widen() / count));
                    });
                }
            },
        );
    });
}

/// Calls `visit` with the index of each input position under a window.
#[inline(always)]
fn for_window(window: &Window, position: usize, mut visit: impl FnMut(usize)) {
    let (top, _, height) = window.covered(0, position / window.output[1]);
    let (left, _, width) = window.covered(1, position % window.output[1]);
    for row in top..top + height {
        for column in left..left + width {
            visit(row * window.input.width + column);
        }
    }
}
