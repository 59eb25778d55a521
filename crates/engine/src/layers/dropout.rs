//! Dropout of single values and, as stochastic depth, of whole maps.
//!
//! The mask depends only on the key of an image; the random generator is in [`crate::random`].

use super::context::Context;
use super::layer::{Description, Layer, Mode, Sealed, wanted};
use crate::error::BuildError;
use crate::inference::plan::Step;
use crate::kernels::element::{Element, with_element};
use crate::kernels::isa;
use crate::random::{Stream, key};
use crate::tensor::{Shape, Tensor};
use rayon::prelude::*;

/// Sets a share of the values to zero during training and scales the others, so that the
/// expectation is unchanged (Srivastava et al. 2014).
pub struct Dropout {
    name: String,
    shape: Shape,
    rate: f32,
    /// Whether an image's map is dropped as a whole.
    whole: bool,
    /// Distinguishes this layer's random draws from those of other dropout layers.
    salt: u64,
    /// The keys of the last training pass; empty after inference.
    keys: Vec<u64>,
}

impl Dropout {
    /// Creates a layer for maps of shape `input`; `salt` must differ between the dropout layers of
    /// a network.
    ///
    /// # Errors
    /// When `rate` is not in `[0, 1)`.
    pub fn new(name: &str, input: Shape, rate: f32, salt: u64) -> Result<Self, BuildError> {
        if !(0.0..1.0).contains(&rate) {
            return Err(BuildError::OutOfRange { what: "rate", range: "[0, 1)", value: rate });
        }
        Ok(Self { name: name.to_owned(), shape: input, rate, whole: false, salt, keys: Vec::new() })
    }

    /// Stochastic depth (Huang et al. 2016): drops the maps of random images. It is the last layer
    /// of a residual block's branch.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn stochastic_depth(name: &str, input: Shape, rate: f32, salt: u64) -> Result<Self, BuildError> {
        Ok(Self { whole: true, ..Self::new(name, input, rate, salt)? })
    }

    /// Applies the mask of the keys in place.
    fn mask<E: Element>(&self, values: &mut [E]) {
        let scale = 1.0 / (1.0 - self.rate);
        let threshold = (f64::from(self.rate) * f64::from(1u32 << 31) * 2.0) as u32;
        values.par_chunks_mut(self.shape.len()).zip(&self.keys).for_each(|(values, &image)| {
            let stream = Stream::new(key(&[image, self.salt]));
            if self.whole {
                let scale = if (stream.nth(0) as u32) < threshold { 0.0 } else { scale };
                values.iter_mut().for_each(|v| *v = E::round(v.widen() * scale));
                return;
            }
            isa::dispatch(
                #[inline(always)]
                || {
                    let kept = |bits, v: E| if bits < threshold { E::default() } else { E::round(v.widen() * scale) };
                    // Each random number is used for two values.
                    let (pairs, rest) = values.as_chunks_mut::<2>();
                    for (i, pair) in pairs.iter_mut().enumerate() {
                        let bits = stream.nth(i as u64);
                        pair[0] = kept(bits as u32, pair[0]);
                        pair[1] = kept((bits >> 32) as u32, pair[1]);
                    }
                    if let [last] = rest {
                        let bits = stream.nth(pairs.len() as u64);
                        *last = kept(bits as u32, *last);
                    }
                },
            );
        });
    }
}

impl Sealed for Dropout {}

impl Layer for Dropout {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        if self.whole { "stochastic_depth" } else { "dropout" }
    }

    fn input_shape(&self) -> Shape {
        self.shape
    }

    fn output_shape(&self) -> Shape {
        self.shape
    }

    fn computes_in_bf16(&self) -> bool {
        true
    }

    fn forward(&mut self, x: &Tensor, y: &mut Tensor, mode: Mode<'_>, _context: &mut Context) {
        self.keys.clear();
        y.convert_from(x);
        if let Mode::Train { keys } = mode {
            self.keys.extend_from_slice(keys);
            with_element!(y, E => self.mask(y.values_mut::<E>()));
        }
    }

    fn backward(
        &mut self,
        _x: &Tensor,
        _y: &Tensor,
        mut dy: Tensor,
        wants_dx: bool,
        context: &mut Context,
    ) -> Option<Tensor> {
        if wants_dx && !self.keys.is_empty() {
            with_element!(dy, E => self.mask(dy.values_mut::<E>()));
        }
        wanted(dy, wants_dx, context)
    }

    fn describe(&self) -> Description<'_> {
        Description::Dropout { rate: self.rate, whole: self.whole, salt: self.salt }
    }

    fn lower(&self, _steps: &mut Vec<Step>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_has_the_configured_rate_and_preserves_the_expectation() {
        let shape = Shape::new(10, 10, 101);
        let mut layer = Dropout::new("dropout", shape, 0.3, 0).unwrap();
        let x = Tensor::from_slice(2, shape, &vec![1.0; 2 * shape.len()]);
        let mut y = Tensor::zeros(2, shape);
        layer.forward(&x, &mut y, Mode::Train { keys: &[1, 2] }, &mut Context::default());
        let dropped = y.data().iter().filter(|&&v| v == 0.0).count() as f64 / y.data().len() as f64;
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        let mean = y.data().iter().sum::<f32>() / y.data().len() as f32;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }

    #[test]
    fn stochastic_depth_drops_whole_images() {
        let shape = Shape::new(3, 3, 2);
        let mut layer = Dropout::stochastic_depth("depth", shape, 0.25, 0).unwrap();
        let keys: Vec<u64> = (0..4000).collect();
        let x = Tensor::from_slice(4000, shape, &vec![3.0; 4000 * shape.len()]);
        let mut y = Tensor::zeros(4000, shape);
        layer.forward(&x, &mut y, Mode::Train { keys: &keys }, &mut Context::default());
        let mut dropped = 0;
        for image in y.data().chunks_exact(shape.len()) {
            assert!(image.iter().all(|&v| v == image[0]) && (image[0] == 0.0 || image[0] == 4.0));
            dropped += usize::from(image[0] == 0.0);
        }
        assert!((900..1100).contains(&dropped), "{dropped} of 4000");
    }

    #[test]
    fn the_mask_of_an_image_does_not_depend_on_its_batch() {
        let shape = Shape::flat(64);
        let mut layer = Dropout::new("dropout", shape, 0.5, 3).unwrap();
        let x = Tensor::from_slice(2, shape, &[1.0; 128]);
        let (mut one, mut two) = (Tensor::zeros(2, shape), Tensor::zeros(2, shape));
        layer.forward(&x, &mut one, Mode::Train { keys: &[7, 8] }, &mut Context::default());
        layer.forward(&x, &mut two, Mode::Train { keys: &[8, 7] }, &mut Context::default());
        assert_eq!(one.data()[..64], two.data()[64..]);
        assert_ne!(one.data()[..64], one.data()[64..]);
    }
}
