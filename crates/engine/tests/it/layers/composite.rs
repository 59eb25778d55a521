//! Layers that consist of others: outputs, residual blocks, concatenation, squeeze-and-excitation.

use super::{assert_close, check, conv2d, draw, narrow};
use crate::reference::{self, Geometry, Real, Reference, Zeros};
use moue_engine::layers::{
    Concatenate, Dense, DenseOptions, Initializer, Output, Pooling2d, PoolingKind, Residual, Sequence, SqueezeExcite,
};
use moue_engine::random::Stream;
use moue_engine::{Activation, Context, Layer, Mode, Shape, Tensor};

/// A map and, after it, a convolution of it.
struct OutputReference(reference::Conv2d);

impl Reference for OutputReference {
    fn run<T: Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T> {
        [x.to_vec(), self.0.run(x, parameters)].concat()
    }
}

#[test]
fn an_output_passes_its_input_and_adds_the_gradient_of_its_layers() {
    let geometry = Geometry { batch: 2, input: [4, 5, 3], size: [3, 3], strides: [2, 1], padding: Zeros::Same };
    let shape = Shape::new(4, 5, 3);
    let mut inner = conv2d(&geometry, 2, true, true);
    let mut stream = Stream::new(4);
    let x = draw(2 * shape.len(), &mut stream);
    let mut parameters = Vec::new();
    inner.visit_mut(&mut |parameter| {
        let values = draw(parameter.value.len(), &mut stream);
        parameter.value.copy_from_slice(&narrow(&values));
        parameters.push(values);
    });
    let side = inner.output_shape();
    let weights = draw(2 * (shape.len() + side.len()), &mut stream);
    let reference = OutputReference(reference::Conv2d { geometry, filters: 2, relu: true });
    let (y, dx, dparameters) = reference::gradients(&reference, &x, &parameters, &weights);
    reference::check_by_differences(&reference, &x, &parameters, &weights);

    let mut layer = Output::new("output_1", "side", Sequence::new("side", shape, vec![Box::new(inner)]));
    let mut context = Context::default();
    let input = Tensor::from_slice(2, shape, &narrow(&x));
    let (main, rest) = weights.split_at(2 * shape.len());
    for with_gradient in [true, false] {
        let mut output = Tensor::zeros(2, shape);
        layer.forward(&input, &mut output, Mode::Inference, &mut context);
        assert_close("y", &[output.data(), context.output("side").unwrap().data()].concat(), &y);
        if with_gradient {
            context.set_output_gradient("side", Tensor::from_slice(2, side, &narrow(rest)));
        }
        let dy = Tensor::from_slice(2, shape, &narrow(main));
        let got = layer.backward(&input, &output, dy, true, &mut context).unwrap();
        assert_close("dx", got.data(), if with_gradient { &dx } else { main });
        let mut expected = dparameters.iter();
        layer.visit(&mut |parameter| {
            let expected = expected.next().unwrap();
            let zeros = vec![0.0; expected.len()];
            assert_close(&parameter.name, &parameter.gradient, if with_gradient { expected } else { &zeros });
        });
    }
}

/// A branch of convolution and ReLU and a 1×1 shortcut, added, followed by ReLU.
struct ResidualReference {
    branch: [reference::Conv2d; 2],
    shortcut: reference::Conv2d,
}

impl Reference for ResidualReference {
    fn run<T: Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T> {
        let middle = self.branch[0].run(x, &parameters[0..2]);
        let branch = self.branch[1].run(&middle, &parameters[2..4]);
        let shortcut = self.shortcut.run(x, &parameters[4..5]);
        let zero = T::of(0.0);
        branch.iter().zip(&shortcut).map(|(&a, &b)| if a + b > zero { a + b } else { zero }).collect()
    }
}

#[test]
fn residual_block_adds_two_branches() {
    let shape = Geometry { batch: 2, input: [4, 5, 3], size: [3, 3], strides: [1, 1], padding: Zeros::Same };
    let wide = Geometry { input: [4, 5, 4], ..shape };
    let point = Geometry { size: [1, 1], ..shape };
    let branch: Vec<Box<dyn Layer>> =
        vec![Box::new(conv2d(&shape, 4, true, true)), Box::new(conv2d(&wide, 4, true, true))];
    let branch = Sequence::new("branch", Shape::new(4, 5, 3), branch);
    let shortcut = Sequence::new("shortcut", Shape::new(4, 5, 3), vec![Box::new(conv2d(&point, 4, false, false))]);
    let block = Residual::new("residual", branch, shortcut, Activation::Relu).unwrap();
    let reference = ResidualReference {
        branch: [
            reference::Conv2d { geometry: shape, filters: 4, relu: true },
            reference::Conv2d { geometry: wide, filters: 4, relu: true },
        ],
        shortcut: reference::Conv2d { geometry: point, filters: 4, relu: false },
    };
    check(block, &reference, 2, true, 5);
}

/// A convolution, the identity and a wider convolution, concatenated.
struct ConcatenateReference([reference::Conv2d; 2]);

impl Reference for ConcatenateReference {
    fn run<T: Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T> {
        let (one, two) = (self.0[0].run(x, &parameters[0..2]), self.0[1].run(x, &parameters[2..3]));
        let rows = one.chunks(self.0[0].filters).zip(x.chunks(3)).zip(two.chunks(self.0[1].filters));
        rows.flat_map(|((one, x), two)| [one, x, two].concat()).collect()
    }
}

#[test]
fn concatenation_joins_branches_along_channels() {
    let geometry = Geometry { batch: 2, input: [4, 5, 3], size: [3, 3], strides: [1, 1], padding: Zeros::Same };
    let shape = Shape::new(4, 5, 3);
    let branch = |layers: Vec<Box<dyn Layer>>| Sequence::new("branch", shape, layers);
    let layer = Concatenate::new(
        "concatenate",
        vec![
            branch(vec![Box::new(conv2d(&geometry, 2, true, true))]),
            branch(Vec::new()),
            branch(vec![Box::new(conv2d(&geometry, 5, false, false))]),
        ],
    )
    .unwrap();
    assert_eq!(layer.output_shape(), Shape::new(4, 5, 10));
    let reference = ConcatenateReference([
        reference::Conv2d { geometry, filters: 2, relu: true },
        reference::Conv2d { geometry, filters: 5, relu: false },
    ]);
    check(layer, &reference, 2, true, 6);
}

#[test]
fn concatenated_maps_must_have_equal_size() {
    let shape = Shape::new(4, 5, 3);
    let pool: Vec<Box<dyn Layer>> = vec![Box::new(Pooling2d::global("pool", shape, PoolingKind::Max).unwrap())];
    let branches = vec![Sequence::new("a", shape, Vec::new()), Sequence::new("b", shape, pool)];
    assert!(Concatenate::new("concatenate", branches).is_err());
    assert!(Concatenate::new("concatenate", Vec::new()).is_err());
}

/// Channels scaled by a sigmoid of a dense layer on their means.
struct SqueezeExciteReference {
    means: reference::Pooling,
    dense: reference::Conv2d,
    sigmoid: reference::Activation,
}

impl Reference for SqueezeExciteReference {
    fn run<T: Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T> {
        let weights = self.sigmoid.run(&self.dense.run(&self.means.run(x, &[]), parameters), &[]);
        let Geometry { batch, input: [height, width, channels], .. } = self.means.geometry;
        (0..batch * height * width * channels)
            .map(|i| x[i] * weights[i / (height * width * channels) * channels + i % channels])
            .collect()
    }
}

#[test]
fn squeeze_excite_scales_channels() {
    let (batch, input, shape) = (3, [4, 3, 5], Shape::new(4, 3, 5));
    let options = DenseOptions {
        units: 5,
        use_bias: true,
        activation: Activation::Sigmoid,
        initializer: Initializer::GlorotUniform,
    };
    let gate: Vec<Box<dyn Layer>> = vec![
        Box::new(Pooling2d::global("pool", shape, PoolingKind::Average).unwrap()),
        Box::new(Dense::new("dense", Shape::flat(5), options, &mut Stream::new(0)).unwrap()),
    ];
    let block = SqueezeExcite::new("squeeze_excite", Sequence::new("gate", shape, gate)).unwrap();
    let flat = Geometry { batch, input: [1, 1, 5], size: [1, 1], strides: [1, 1], padding: Zeros::Each(0) };
    let reference = SqueezeExciteReference {
        means: reference::Pooling {
            geometry: Geometry { batch, input, size: [4, 3], strides: [1, 1], padding: Zeros::Each(0) },
            max: false,
        },
        dense: reference::Conv2d { geometry: flat, filters: 5, relu: false },
        sigmoid: reference::Activation { activation: Activation::Sigmoid, channels: 5 },
    };
    check(block, &reference, batch, true, 3);
    let error = SqueezeExcite::new("squeeze_excite", Sequence::new("gate", shape, Vec::new())).err().unwrap();
    assert!(error.to_string().contains("1x1x5"), "{error}");
}

#[test]
fn residual_branches_must_end_in_equal_shapes() {
    let shape = Geometry { batch: 1, input: [4, 4, 3], size: [3, 3], strides: [2, 2], padding: Zeros::Same };
    let branch = Sequence::new("branch", Shape::new(4, 4, 3), vec![Box::new(conv2d(&shape, 3, true, true))]);
    let identity = Sequence::new("shortcut", Shape::new(4, 4, 3), vec![]);
    let error = Residual::new("residual", branch, identity, Activation::Relu).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the branch ends in 2x2x3 but the shortcut in 4x4x3; \
         give the block a `shortcut` (for example a 1x1 conv2d) that ends in 2x2x3"
    );
}
