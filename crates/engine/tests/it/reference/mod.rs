//! Direct reference implementations, generic over a scalar type: `f64` for values and central
//! differences, [`Var`] for gradients by a tape.

mod geometries;

pub use geometries::{geometry, parts};
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Sub};

/// The arithmetic of the references.
pub trait Real:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + PartialOrd
{
    fn of(value: f64) -> Self;
    fn exp(self) -> Self;
    fn sqrt(self) -> Self;
    fn value(self) -> f64;
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn exp(self) -> Self {
        f64::exp(self)
    }
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    fn value(self) -> f64 {
        self
    }
}

thread_local! {
    /// For each variable, its two parents and the derivatives by them.
    static TAPE: RefCell<Vec<[(usize, f64); 2]>> = const { RefCell::new(Vec::new()) };
}

/// A variable on the tape.
#[derive(Clone, Copy, Debug)]
pub struct Var {
    index: usize,
    value: f64,
}

fn record(value: f64, parents: [(usize, f64); 2]) -> Var {
    TAPE.with_borrow_mut(|tape| {
        tape.push(parents);
        Var { index: tape.len() - 1, value }
    })
}

impl PartialEq for Var {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Var {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

macro_rules! operator {
    ($trait:ident, $name:ident, |$a:ident, $b:ident| $value:expr, $by_a:expr, $by_b:expr) => {
        impl $trait for Var {
            type Output = Self;
            fn $name(self, other: Self) -> Self {
                let ($a, $b) = (self.value, other.value);
                record($value, [(self.index, $by_a), (other.index, $by_b)])
            }
        }
    };
}
operator!(Add, add, |a, b| a + b, 1.0, 1.0);
operator!(Sub, sub, |a, b| a - b, 1.0, -1.0);
operator!(Mul, mul, |a, b| a * b, b, a);
operator!(Div, div, |a, b| a / b, 1.0 / b, -a / (b * b));

impl Real for Var {
    fn of(value: f64) -> Self {
        record(value, [(0, 0.0), (0, 0.0)])
    }
    fn exp(self) -> Self {
        let e = self.value.exp();
        record(e, [(self.index, e), (0, 0.0)])
    }
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        record(root, [(self.index, 0.5 / root), (0, 0.0)])
    }
    fn value(self) -> f64 {
        self.value
    }
}

/// A layer's function of its input and parameters.
pub trait Reference {
    fn run<T: Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T>;
}

/// The value of `Σ weightsᵢ · yᵢ` and its gradient by `x` and each parameter.
pub fn gradients(
    reference: &impl Reference,
    x: &[f64],
    parameters: &[Vec<f64>],
    weights: &[f64],
) -> (Vec<f64>, Vec<f64>, Vec<Vec<f64>>) {
    TAPE.with_borrow_mut(|tape| {
        tape.clear();
        tape.push([(0, 0.0); 2]);
    });
    let vars = |values: &[f64]| values.iter().map(|&v| Var::of(v)).collect::<Vec<_>>();
    let x = vars(x);
    let parameters: Vec<Vec<Var>> = parameters.iter().map(|p| vars(p)).collect();
    let y = reference.run(&x, &parameters);
    let adjoint = TAPE.with_borrow(|tape| {
        let mut adjoint = vec![0.0; tape.len()];
        y.iter().zip(weights).for_each(|(y, w)| adjoint[y.index] += w);
        for (index, parents) in tape.iter().enumerate().rev() {
            for &(parent, slope) in parents {
                adjoint[parent] += slope * adjoint[index];
            }
        }
        adjoint
    });
    let of = |vars: &[Var]| vars.iter().map(|v| adjoint[v.index]).collect::<Vec<_>>();
    (y.iter().map(|y| y.value).collect(), of(&x), parameters.iter().map(|p| of(p)).collect())
}

/// Compares the tape with central differences; positions next to a kink, where the differences to
/// both sides disagree, are skipped. Returns the numbers of checked and of skipped positions.
pub fn check_by_differences(
    reference: &impl Reference,
    x: &[f64],
    parameters: &[Vec<f64>],
    weights: &[f64],
) -> (usize, usize) {
    let (_, dx, dparameters) = gradients(reference, x, parameters, weights);
    let analytic: Vec<f64> = dx.into_iter().chain(dparameters.into_iter().flatten()).collect();
    let lens: Vec<usize> = parameters.iter().map(Vec::len).collect();
    let mut all: Vec<f64> = x.iter().copied().chain(parameters.iter().flatten().copied()).collect();
    let loss = |all: &[f64]| -> f64 {
        let (x, mut rest) = all.split_at(x.len());
        let mut parameters = Vec::new();
        for &len in &lens {
            let (part, tail) = rest.split_at(len);
            parameters.push(part.to_vec());
            rest = tail;
        }
        reference.run(x, &parameters).iter().zip(weights).map(|(y, w)| y * w).sum()
    };
    let step = 1e-5;
    let here = loss(&all);
    let mut passed_over = 0;
    for i in 0..all.len() {
        let at = all[i];
        all[i] = at + step;
        let up = (loss(&all) - here) / step;
        all[i] = at - step;
        let down = (here - loss(&all)) / step;
        all[i] = at;
        let central = f64::midpoint(up, down);
        if (up - down).abs() > 1e-2 * (1.0 + central.abs()) {
            passed_over += 1;
            continue;
        }
        // Within the step of a small kink the derivative is that of one side.
        let tolerance = 1e-4 * (1.0 + central.abs());
        assert!(
            (up.min(down) - tolerance..up.max(down) + tolerance).contains(&analytic[i]),
            "position {i}: the tape gives {}, the differences {down} and {up}",
            analytic[i]
        );
    }
    (all.len() - passed_over, passed_over)
}

/// Zeros around a map.
#[derive(Clone, Copy, Debug)]
pub enum Zeros {
    /// As many as Keras adds for `same`.
    Same,
    /// This many on each side.
    Each(usize),
}

/// Geometry of a window as Keras and PyTorch define it, independent of the engine's.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub batch: usize,
    pub input: [usize; 3],
    pub size: [usize; 2],
    pub strides: [usize; 2],
    pub padding: Zeros,
}

impl Geometry {
    fn axis(&self, axis: usize) -> (usize, isize) {
        let (extent, size, stride) = (self.input[axis], self.size[axis], self.strides[axis]);
        match self.padding {
            Zeros::Same => {
                let out = extent.div_ceil(stride);
                let total = ((out - 1) * stride + size) as isize - extent as isize;
                (out, total.max(0) / 2)
            }
            Zeros::Each(zeros) => ((extent + 2 * zeros - size) / stride + 1, zeros as isize),
        }
    }

    /// For each output position, the taps inside the map: (tap, input position).
    fn windows(&self) -> Vec<Vec<(usize, usize)>> {
        let ((rows, top), (columns, left)) = (self.axis(0), self.axis(1));
        let mut windows = Vec::new();
        for r in 0..rows {
            for c in 0..columns {
                let mut taps = Vec::new();
                for i in 0..self.size[0] {
                    for j in 0..self.size[1] {
                        let y = (r * self.strides[0] + i) as isize - top;
                        let x = (c * self.strides[1] + j) as isize - left;
                        if (0..self.input[0] as isize).contains(&y) && (0..self.input[1] as isize).contains(&x) {
                            taps.push((i * self.size[1] + j, y as usize * self.input[1] + x as usize));
                        }
                    }
                }
                windows.push(taps);
            }
        }
        windows
    }
}

pub struct Conv2d {
    pub geometry: Geometry,
    pub filters: usize,
    pub relu: bool,
}

impl Reference for Conv2d {
    fn run<T: Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T> {
        let channels = self.geometry.input[2];
        let image = self.geometry.input.iter().product::<usize>();
        let windows = self.geometry.windows();
        let mut y = Vec::new();
        for n in 0..self.geometry.batch {
            for taps in &windows {
                for f in 0..self.filters {
                    let mut sum = parameters.get(1).map_or(T::of(0.0), |bias| bias[f]);
                    for &(tap, position) in taps {
                        for c in 0..channels {
                            let weight = parameters[0][(tap * channels + c) * self.filters + f];
                            sum = sum + x[n * image + position * channels + c] * weight;
                        }
                    }
                    let zero = T::of(0.0);
                    y.push(if self.relu && sum < zero { zero } else { sum });
                }
            }
        }
        y
    }
}

pub struct DepthwiseConv2d {
    pub geometry: Geometry,
    pub relu: bool,
}

impl Reference for DepthwiseConv2d {
    fn run<T: Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T> {
        let channels = self.geometry.input[2];
        let image = self.geometry.input.iter().product::<usize>();
        let windows = self.geometry.windows();
        let mut y = Vec::new();
        for n in 0..self.geometry.batch {
            for taps in &windows {
                for c in 0..channels {
                    let mut sum = parameters.get(1).map_or(T::of(0.0), |bias| bias[c]);
                    for &(tap, position) in taps {
                        sum = sum + x[n * image + position * channels + c] * parameters[0][tap * channels + c];
                    }
                    let zero = T::of(0.0);
                    y.push(if self.relu && sum < zero { zero } else { sum });
                }
            }
        }
        y
    }
}

pub struct Pooling {
    pub geometry: Geometry,
    pub max: bool,
}

impl Reference for Pooling {
    fn run<T: Real>(&self, x: &[T], _: &[Vec<T>]) -> Vec<T> {
        let channels = self.geometry.input[2];
        let image = self.geometry.input.iter().product::<usize>();
        let windows = self.geometry.windows();
        let mut y = Vec::new();
        for n in 0..self.geometry.batch {
            for taps in &windows {
                for c in 0..channels {
                    let values = taps.iter().map(|&(_, position)| x[n * image + position * channels + c]);
                    let count = T::of(taps.len() as f64);
                    y.push(if self.max {
                        values.reduce(|a, b| if b > a { b } else { a }).unwrap()
                    } else {
                        values.reduce(|a, b| a + b).unwrap() / count
                    });
                }
            }
        }
        y
    }
}

/// Parameters: gamma, beta, moving mean, moving variance.
pub struct BatchNormalization {
    pub channels: usize,
    pub epsilon: f64,
    pub training: bool,
}

impl Reference for BatchNormalization {
    fn run<T: Real>(&self, x: &[T], parameters: &[Vec<T>]) -> Vec<T> {
        let rows = T::of((x.len() / self.channels) as f64);
        let mut y = x.to_vec();
        for (c, (&gamma, &beta)) in parameters[0].iter().zip(&parameters[1]).enumerate() {
            let column = || x.iter().copied().skip(c).step_by(self.channels);
            let (mean, variance) = if self.training {
                let mean = column().reduce(|a, b| a + b).unwrap() / rows;
                let squares = column().map(|v| (v - mean) * (v - mean)).reduce(|a, b| a + b).unwrap();
                (mean, squares / rows)
            } else {
                (parameters[2][c], parameters[3][c])
            };
            let deviation = (variance + T::of(self.epsilon)).sqrt();
            for y in y.iter_mut().skip(c).step_by(self.channels) {
                *y = gamma * (*y - mean) / deviation + beta;
            }
        }
        y
    }
}

pub struct Activation {
    pub activation: moue_engine::Activation,
    pub channels: usize,
}

impl Reference for Activation {
    fn run<T: Real>(&self, x: &[T], _: &[Vec<T>]) -> Vec<T> {
        use moue_engine::Activation as A;
        let (zero, one) = (T::of(0.0), T::of(1.0));
        let sigmoid = |v: T| one / (one + (zero - v).exp());
        let each = |f: &dyn Fn(T) -> T| x.iter().map(|&v| f(v)).collect();
        match self.activation {
            A::Linear => x.to_vec(),
            A::Relu => each(&|v| if v > zero { v } else { zero }),
            A::LeakyRelu { slope } => each(&|v| if v > zero { v } else { T::of(f64::from(slope)) * v }),
            A::Silu => each(&|v| v * sigmoid(v)),
            A::Sigmoid => each(&sigmoid),
            A::Tanh => each(&|v| T::of(2.0) * sigmoid(T::of(2.0) * v) - one),
            A::Softmax => x
                .chunks(self.channels)
                .flat_map(|row| {
                    let e: Vec<T> = row.iter().map(|v| v.exp()).collect();
                    let sum = e.iter().copied().reduce(|a, b| a + b).unwrap();
                    e.into_iter().map(move |e| e / sum)
                })
                .collect(),
        }
    }
}

/// Mean softmax cross-entropy of a batch of logits: a target for each class, a
/// weight for each image.
pub struct CrossEntropy {
    pub targets: Vec<f64>,
    pub weights: Vec<f64>,
}

impl CrossEntropy {
    /// The loss needs a logarithm, which `Real` does not have: `ln s` is built by one Newton step
    /// from the exact value, which is exact in value and derivative.
    fn ln<T: Real>(v: T) -> T {
        let guess = T::of(v.value().ln());
        guess + (v - guess.exp()) / guess.exp()
    }
}

impl Reference for CrossEntropy {
    fn run<T: Real>(&self, x: &[T], _: &[Vec<T>]) -> Vec<T> {
        let mut loss = T::of(0.0);
        let classes = self.targets.len() / self.weights.len();
        for ((row, targets), weight) in x.chunks(classes).zip(self.targets.chunks(classes)).zip(&self.weights) {
            let sum = row.iter().map(|v| v.exp()).reduce(|a, b| a + b).unwrap();
            for (&logit, target) in row.iter().zip(targets) {
                loss = loss + T::of(weight * target) * (Self::ln(sum) - logit);
            }
        }
        vec![loss / T::of(self.weights.len() as f64)]
    }
}
