//! Random geometries of windows, and their layers' options.

use super::{Geometry, Zeros};
use moue_engine::{Padding, Shape};
use proptest::prelude::*;

fn padding() -> impl Strategy<Value = Zeros> {
    prop_oneof![Just(Zeros::Same), (0usize..3).prop_map(Zeros::Each)]
}

/// Geometries with maps, windows and channels below these sizes.
pub fn geometry(most: [usize; 3]) -> impl Strategy<Value = Geometry> {
    let [extent, size, channels] = most;
    let input = [1..extent, 1..extent, 1..channels];
    (1usize..4, input, [1..size, 1..size], [1usize..4, 1usize..4], padding()).prop_map(
        |(batch, mut input, size, strides, padding)| {
            let padding = match padding {
                Zeros::Each(zeros) => Zeros::Each(zeros.min(size[0] - 1).min(size[1] - 1)),
                Zeros::Same => Zeros::Same,
            };
            if let Zeros::Each(zeros) = padding {
                (0..2).for_each(|axis| input[axis] = input[axis].max(size[axis].saturating_sub(2 * zeros)));
            }
            Geometry { batch, input, size, strides, padding }
        },
    )
}

/// The input and the padding of a geometry.
pub fn parts(geometry: &Geometry) -> (Shape, Padding) {
    let [height, width, channels] = geometry.input;
    let padding = match geometry.padding {
        Zeros::Same => Padding::Same,
        Zeros::Each(0) => Padding::Valid,
        Zeros::Each(zeros) => Padding::Each(zeros),
    };
    (Shape::new(height, width, channels), padding)
}
