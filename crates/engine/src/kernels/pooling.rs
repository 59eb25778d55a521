//! Maximum and average over windows, one task per image.

use super::isa;
use super::window::Window;
use crate::Shape;
use rayon::prelude::*;

/// Maximum over each window. `argmax` gets the place of the maximum within its
/// image, for [`max_backward`]; the first one wins a tie.
pub fn max_forward(window: &Window, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    let (input, output) = (window.input.len(), window.positions() * window.input.channels);
    y.par_chunks_mut(output).zip(argmax.par_chunks_mut(output)).zip(x.par_chunks(input)).for_each(
        |((y, argmax), x)| {
            isa::dispatch(
                #[inline(always)]
                || max_of_image(window, x, y, argmax),
            );
        },
    );
}

#[inline(always)]
fn max_of_image(window: &Window, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    let channels = window.input.channels;
    let places = y.chunks_exact_mut(channels).zip(argmax.chunks_exact_mut(channels));
    for (position, (y, argmax)) in places.enumerate() {
        y.fill(f32::NEG_INFINITY);
        for_window(window, position, |at| {
            let place = at * channels;
            let values = &x[place..place + channels];
            for (c, ((y, a), &v)) in y.iter_mut().zip(argmax.iter_mut()).zip(values).enumerate() {
                // A NaN must come through, or a broken network looks healthy.
                #[expect(clippy::neg_cmp_op_on_partial_ord)]
                let larger = !(v <= *y);
                *y = if larger { v } else { *y };
                *a = if larger { (place + c) as u32 } else { *a };
            }
        });
    }
}

/// [`max_forward`] without a way back.
pub fn max_only(window: &Window, x: &[f32], y: &mut [f32]) {
    let channels = window.input.channels;
    // One line of the output is one task: a single image uses all threads.
    let line = window.output[1] * channels;
    y.par_chunks_mut(line).enumerate().for_each(|(task, y)| {
        let (image, line) = (task / window.output[0], task % window.output[0]);
        let x = &x[image * window.input.len()..][..window.input.len()];
        isa::dispatch(
            #[inline(always)]
            || {
                for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                    y.fill(f32::NEG_INFINITY);
                    for_window(window, line * window.output[1] + column, |at| {
                        for (y, &v) in y.iter_mut().zip(&x[at * channels..][..channels]) {
                            *y = if v <= *y { *y } else { v };
                        }
                    });
                }
            },
        );
    });
}

/// Sends each gradient to where the maximum was. `dx` is overwritten.
pub fn max_backward(window: &Window, dy: &[f32], argmax: &[u32], dx: &mut [f32]) {
    let channels = window.input.channels;
    let output = window.positions() * channels;
    let apart = window.strides[0] >= window.size[0] && window.strides[1] >= window.size[1];
    dx.par_chunks_mut(window.input.len()).zip(dy.par_chunks(output)).zip(argmax.par_chunks(output)).for_each(
        |((dx, dy), argmax)| {
            dx.fill(0.0);
            if apart {
                isa::dispatch(
                    #[inline(always)]
                    || spread_apart(window, dy, argmax, dx),
                );
            } else {
                for (&g, &a) in dy.iter().zip(argmax) {
                    dx[a as usize] += g;
                }
            }
        },
    );
}

/// [`max_backward`] of one image where no two windows overlap: every input has
/// at most one gradient, so all of a window can be written side by side.
#[inline(always)]
fn spread_apart(window: &Window, dy: &[f32], argmax: &[u32], dx: &mut [f32]) {
    let channels = window.input.channels;
    for (position, (dy, argmax)) in dy.chunks_exact(channels).zip(argmax.chunks_exact(channels)).enumerate() {
        for_window(window, position, |at| {
            let place = at * channels;
            let dx = &mut dx[place..place + channels];
            for (c, ((dx, &g), &a)) in dx.iter_mut().zip(dy).zip(argmax).enumerate() {
                *dx = if a == (place + c) as u32 { g } else { 0.0 };
            }
        });
    }
}

/// Average over each window; zeros of the border do not count, as in Keras.
pub fn average_forward(window: &Window, x: &[f32], y: &mut [f32]) {
    let channels = window.input.channels;
    y.par_chunks_mut(window.positions() * channels).zip(x.par_chunks(window.input.len())).for_each(|(y, x)| {
        isa::dispatch(
            #[inline(always)]
            || {
                for (position, y) in y.chunks_exact_mut(channels).enumerate() {
                    y.fill(0.0);
                    let mut count = 0.0;
                    for_window(window, position, |at| {
                        count += 1.0;
                        let values = &x[at * channels..(at + 1) * channels];
                        y.iter_mut().zip(values).for_each(|(y, v)| *y += v);
                    });
                    y.iter_mut().for_each(|y| *y /= count);
                }
            },
        );
    });
}

/// Spreads each gradient evenly over its window. `dx` is overwritten.
pub fn average_backward(window: &Window, dy: &[f32], dx: &mut [f32]) {
    let channels = window.input.channels;
    dx.par_chunks_mut(window.input.len()).zip(dy.par_chunks(window.positions() * channels)).for_each(|(dx, dy)| {
        isa::dispatch(
            #[inline(always)]
            || {
                dx.fill(0.0);
                for (position, dy) in dy.chunks_exact(channels).enumerate() {
                    let mut count = 0.0;
                    for_window(window, position, |_| count += 1.0);
                    for_window(window, position, |at| {
                        let places = &mut dx[at * channels..(at + 1) * channels];
                        places.iter_mut().zip(dy).for_each(|(dx, g)| *dx += g / count);
                    });
                }
            },
        );
    });
}

/// The window that covers the whole map, for global pooling.
pub fn whole(input: Shape) -> Window {
    Window {
        input,
        size: [input.height, input.width],
        strides: [input.height, input.width],
        before: [0, 0],
        output: [1, 1],
    }
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
