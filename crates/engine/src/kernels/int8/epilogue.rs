//! From sums of products to the output of a convolution.

use super::block::{PANEL, VECTOR};
use super::quantization::{Quantization, to_byte};
use crate::kernels::isa;
use pulp::{Simd, WithSimd};

/// The values of an output.
pub trait Value: Copy + Default + Send + Sync {
    fn of(value: f32) -> Self;
}

impl Value for u8 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        to_byte(value)
    }
}

impl Value for f32 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        value
    }
}

/// What follows the sum of a filter, in this order: an integer is added, the result is scaled, a bias and another map
/// are added, the result is limited from below, and scaled and shifted once more. The arrays have one value for each
/// column of all panels. The result is in units of the output: bytes, or values.
pub struct Epilogue {
    /// Integers that are added to the sums: the part of the input's zero.
    pub offset: Vec<i32>,
    pub factor: Vec<f32>,
    pub bias: Vec<f32>,
    /// Factor of the bytes of another map.
    pub add: f32,
    /// Minimum: ReLU.
    pub floor: f32,
    pub then: Option<[Vec<f32>; 2]>,
}

/// An output in units of its type: a scale for values, and what represents 0.
pub fn units(output: Option<Quantization>) -> [f64; 2] {
    match output {
        Some(Quantization { scale, zero }) => [1.0 / f64::from(scale), f64::from(zero)],
        None => [1.0, 0.0],
    }
}

impl Epilogue {
    /// Computes rows of a block, for columns `first` to `first + columns` of all columns. Rows of the map that is added
    /// are `stride` values apart.
    pub fn finish<V: Value>(
        &self,
        sums: &[[i32; PANEL]],
        [first, columns]: [usize; 2],
        add: Option<&[u8]>,
        stride: usize,
        y: &mut [[V; PANEL]],
    ) {
        isa::dispatch(Finish { epilogue: self, sums, first, columns, add, y, stride });
    }
}

struct Finish<'a, V> {
    epilogue: &'a Epilogue,
    sums: &'a [[i32; PANEL]],
    first: usize,
    columns: usize,
    add: Option<&'a [u8]>,
    y: &'a mut [[V; PANEL]],
    stride: usize,
}

impl<V: Value> WithSimd for Finish<'_, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        match (self.add.is_some(), self.epilogue.then.is_some()) {
            (false, false) => self.rows::<false, false>(),
            (true, false) => self.rows::<true, false>(),
            (false, true) => self.rows::<false, true>(),
            (true, true) => self.rows::<true, true>(),
        }
    }
}

impl<V: Value> Finish<'_, V> {
    #[inline(always)]
    fn rows<const ADD: bool, const THEN: bool>(self) {
        let Self { epilogue, sums, first, columns, add, y, stride } = self;
        for column in (0..columns).step_by(VECTOR) {
            let width = VECTOR.min(columns - column);
            let at = first + column;
            let offset = vector(&epilogue.offset, at);
            let [factor, bias] = [&epilogue.factor, &epilogue.bias].map(|values| vector(values, at));
            let then = match &epilogue.then {
                Some([scale, shift]) if THEN => [vector(scale, at), vector(shift, at)],
                _ => [&[0.0; VECTOR]; 2],
            };
            for (row, (sums, y)) in sums.iter().zip(&mut *y).enumerate() {
                let mut values = [0.0; VECTOR];
                for ((value, sum), offset) in values.iter_mut().zip(vector(sums, column)).zip(offset) {
                    *value = sum.wrapping_add(*offset) as f32;
                }
                scale(&mut values, factor, bias);
                if let (true, Some(add)) = (ADD, add) {
                    let mut added = [0u8; VECTOR];
                    let from = &add[row * stride + column..][..width];
                    match from.first_chunk() {
                        Some(from) => added = *from,
                        None => added[..width].copy_from_slice(from),
                    }
                    values.iter_mut().zip(added).for_each(|(value, added)| *value += f32::from(added) * epilogue.add);
                }
                for value in &mut values {
                    *value = if *value > epilogue.floor { *value } else { epilogue.floor };
                }
                if THEN {
                    scale(&mut values, then[0], then[1]);
                }
                y[column..column + VECTOR].iter_mut().zip(values).for_each(|(to, value)| *to = V::of(value));
            }
        }
    }
}

/// The values of a vector of columns.
#[inline(always)]
fn vector<T>(values: &[T], first: usize) -> &[T; VECTOR] {
    values[first..].first_chunk().unwrap_or_else(|| unreachable!("columns are padded to whole vectors"))
}

#[inline(always)]
fn scale(values: &mut [f32; VECTOR], factor: &[f32; VECTOR], bias: &[f32; VECTOR]) {
    values.iter_mut().zip(factor.iter().zip(bias)).for_each(|(value, (factor, bias))| *value = *value * factor + bias);
}
