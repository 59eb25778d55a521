//! From the steps of a plan to steps over bytes.
//!
//! A convolution over bytes fixes the quantization of its input ([`wanted`]); the step before produces it if it can, else
//! a step that converts is inserted.

use super::ranges::Ranges;
use super::step::{Int8Operation, Int8Step};
use crate::inference::plan::{self, Operation, Step, prepare};
use crate::kernels::activation::Activation;
use crate::kernels::int8::Quantization;
use crate::kernels::int8::convolution::{Convolution, Filters};
use crate::kernels::int8::first::FirstConvolution;
use crate::kernels::pooling::PoolingKind;
use crate::kernels::window::Window;
use crate::precision::Precision;
use std::collections::VecDeque;

/// What a map consists of: bytes of this quantization, or f32 values.
type Format = Option<Quantization>;

/// The steps of a whole network, from f32 to f32.
pub(super) fn network(steps: Vec<Step>, ranges: &Ranges) -> Vec<Int8Step> {
    let mut builder = Builder { ranges, steps: Vec::new(), format: None };
    builder.sequence(steps, Ends { f32: [true, true], after: None, sum: None });
    builder.steps
}

/// How a sequence of steps begins and ends.
#[derive(Clone, Copy)]
struct Ends {
    /// Whether its input and its output are f32 in every precision.
    f32: [bool; 2],
    /// What the step after it wants.
    after: Format,
    /// A sum that its last convolution may compute.
    sum: Option<Sum>,
}

/// The sum of a residual block: the map that is added, and whether ReLU follows.
#[derive(Clone, Copy)]
struct Sum {
    add: Quantization,
    relu: bool,
}

impl Ends {
    /// Those of layers inside of a step with f32 ends or without.
    fn inside(is_f32: bool) -> Self {
        Self { f32: [is_f32; 2], after: None, sum: None }
    }
}

struct Builder<'a> {
    ranges: &'a Ranges,
    steps: Vec<Int8Step>,
    /// That of the current map.
    format: Format,
}

impl Builder<'_> {
    /// A builder of steps over the current map.
    fn nested(&self) -> Self {
        Self { ranges: self.ranges, steps: Vec::new(), format: self.format }
    }

    fn push(&mut self, layer: &str, operation: Int8Operation, format: Format) {
        self.steps.push(Int8Step { layer: layer.to_owned(), operation });
        self.format = format;
    }

    /// Converts the current map to bytes of this quantization; the time counts for `layer`.
    fn quantize(&mut self, layer: &str, quantization: Quantization) {
        if self.format == Some(quantization) {
            return;
        }
        self.push(layer, Int8Operation::Quantize(quantization), Some(quantization));
    }

    /// A step in f32.
    fn float(&mut self, step: Step) {
        // Its layers are prepared as those of a network with f32 ends, which all precisions compute in f32.
        let mut steps = [step];
        prepare(&mut steps, Precision::F32, [true, true]);
        let [step] = steps;
        let layer = step.layer().to_owned();
        let format = self.format.filter(|_| step.is_output());
        self.push(&layer, Int8Operation::Float(step), format);
    }

    /// Adds the steps of a sequence. Returns whether its last convolution computes the sum.
    fn sequence(&mut self, steps: Vec<Step>, ends: Ends) -> bool {
        let mut steps = VecDeque::from(steps);
        let mut is_first = true;
        let mut sums = false;
        while let Some(step) = steps.pop_front() {
            let is_f32 = ends.f32[0] && is_first || ends.f32[1] && steps.iter().all(Step::is_output);
            is_first = false;
            let is_int8 = !is_f32 && self.ranges.contains_key(step.layer());
            let is_followed = is_int8 && steps.front().is_some_and(|next| is_normalization(&step, next));
            let then = if is_followed { steps.pop_front() } else { None };
            let is_last = steps.is_empty();
            let rest = Ends { f32: [false, ends.f32[1]], ..ends };
            let rest_wants = wanted(steps.make_contiguous(), self.ranges, rest);
            let layer = step.layer().to_owned();
            match step.operation() {
                Operation::Conv2d { .. } if is_int8 => {
                    sums = self.convolution(step, then, rest_wants, ends.sum.filter(|_| is_last));
                }
                Operation::Conv2d { .. } if self.format.is_none() && rest_wants.is_some() => {
                    self.first(step, rest_wants);
                }
                Operation::Pooling { kind: PoolingKind::Max, window } => self.max_pooling(*window, step, rest_wants),
                Operation::Pooling { kind: PoolingKind::Average, window }
                    if self.format.is_some() && window.padding.is_none() =>
                {
                    self.push(&layer, Int8Operation::GlobalAverage, None);
                }
                Operation::Reshape { shape } => {
                    let operation = Int8Operation::Reshape(*shape);
                    self.push(&layer, operation, self.format);
                }
                Operation::Residual { .. } => self.residual(step, is_f32, rest_wants),
                Operation::Concatenate { .. } => self.concatenate(step, is_f32, rest_wants),
                _ => self.float(step),
            }
        }
        sums
    }

    /// A convolution from f32, to bytes where it is the first one of a network for images.
    fn first(&mut self, step: Step, wants: Format) {
        let layer = step.layer().to_owned();
        let convolution = step
            .operation()
            .filters()
            .zip(wants)
            .and_then(|(filters, wants)| FirstConvolution::new(&real(&filters)?, wants));
        match convolution {
            Some(convolution) => {
                self.push(&layer, Int8Operation::First { convolution: Box::new(convolution), pooling: None }, wants);
            }
            None => self.float(step),
        }
    }

    /// The maximum of bytes is that of the values that they represent, so they are quantized before.
    fn max_pooling(&mut self, window: Window, step: Step, wants: Format) {
        let layer = step.layer().to_owned();
        if let (None, Some(wants)) = (self.format, wants) {
            self.quantize(&layer, wants);
        }
        match (self.format, self.steps.last_mut()) {
            (None, _) => self.float(step),
            (Some(_), Some(Int8Step { operation: Int8Operation::First { pooling, .. }, .. })) if pooling.is_none() => {
                *pooling = Some(window);
            }
            (format, _) => self.push(&layer, Int8Operation::MaxPooling(window), format),
        }
    }

    /// A convolution over bytes with a normalization that follows it. Returns whether it computes the sum.
    fn convolution(&mut self, step: Step, then: Option<Step>, output: Format, sum: Option<Sum>) -> bool {
        let layer = step.layer().to_owned();
        let input = match self.format {
            Some(input) => input,
            None => Quantization::of_range(self.ranges[&layer]),
        };
        let Operation::Conv2d { convolution, .. } = step.operation() else { return false };
        let shape = convolution.window.output_shape(convolution.filters);
        let Some(filters) = step.operation().filters() else { return false };
        let scaled = then.as_ref().and_then(|then| match then.operation() {
            Operation::Affine { scale, shift, .. } => Some([&scale[..], &shift[..]]),
            _ => None,
        });
        let activation = filters.activation;
        let is_sum = activation == Activation::Linear && scaled.is_none();
        // What is added in f32 is not rounded to bytes before.
        let output = output.filter(|_| is_sum || sum.is_none());
        let sum = sum.filter(|_| is_sum);
        let is_in_place = matches!(activation, Activation::Linear | Activation::Relu);
        let real = Filters {
            window: filters.window,
            kernel: filters.kernel,
            bias: filters.bias,
            relu: activation == Activation::Relu || sum.is_some_and(|sum| sum.relu),
            then: scaled,
        };
        let output = output.filter(|_| is_in_place);
        let Some(convolution) = Convolution::new(&real, input, output, sum.map(|sum| sum.add)) else {
            self.float(step);
            then.into_iter().for_each(|then| self.float(then));
            return false;
        };
        self.quantize(&layer, input);
        let operation =
            Int8Operation::Convolution { convolution: Box::new(convolution), output: shape, adds: sum.is_some() };
        self.push(&layer, operation, output);
        if !is_in_place {
            self.float(Step::new(&layer, Operation::Activation { activation }));
        }
        sum.is_some()
    }

    fn residual(&mut self, step: Step, is_f32: bool, wants: Format) {
        let layer = step.layer().to_owned();
        let Operation::Residual { branch, shortcut, activation } = step.into_operation() else { return };
        // What the block's layers want of the input.
        let first = wanted(&branch, self.ranges, Ends::inside(is_f32));
        if let (None, Some(first)) = (self.format, first) {
            self.quantize(&layer, first);
        }
        let mut other = self.nested();
        // The values of a shortcut are not those of the sum, which the next step's range is of.
        other.sequence(shortcut, Ends::inside(is_f32));
        let is_in_place = matches!(activation, Activation::Linear | Activation::Relu);
        let sum = other.format.filter(|_| is_in_place).map(|add| Sum { add, relu: activation == Activation::Relu });
        // Only a convolution can add the shortcut; any other branch ends with values of its own range.
        let can_add = branch.last().is_some_and(|step| {
            let is_linear = step.operation().filters().is_some_and(|filters| filters.activation == Activation::Linear);
            matches!(step.operation(), Operation::Conv2d { .. })
                && is_linear
                && !is_f32
                && self.ranges.contains_key(step.layer())
        });
        let sum = sum.filter(|_| can_add);
        let mut main = self.nested();
        let sums = main.sequence(branch, Ends { after: wants.filter(|_| sum.is_some()), sum, ..Ends::inside(is_f32) });
        if sums {
            let format = main.format;
            let operation = Int8Operation::Residual { branch: main.steps, shortcut: other.steps };
            return self.push(&layer, operation, format);
        }
        let (branch, shortcut) = (main.steps, other.steps);
        self.push(&layer, Int8Operation::Sum { branch, shortcut, activation, quantization: wants }, wants);
    }

    fn concatenate(&mut self, step: Step, is_f32: bool, wants: Format) {
        let layer = step.layer().to_owned();
        let Operation::Concatenate { branches, output } = step.into_operation() else { return };
        let first = branches.iter().find_map(|branch| wanted(branch, self.ranges, Ends::inside(is_f32)));
        if let (None, Some(first)) = (self.format, first) {
            self.quantize(&layer, first);
        }
        let branches = branches.into_iter().map(|branch| {
            let mut nested = self.nested();
            nested.sequence(branch, Ends { after: wants, ..Ends::inside(is_f32) });
            if let (None, Some(wants)) = (nested.format, wants) {
                nested.quantize(&layer, wants);
            }
            nested.steps
        });
        let branches = branches.collect();
        self.push(&layer, Int8Operation::Concatenate { branches, output, quantization: wants }, wants);
    }
}

/// A convolution with ReLU or without; `None` for other activations.
fn real<'a>(filters: &plan::Filters<'a>) -> Option<Filters<'a>> {
    let relu = match filters.activation {
        Activation::Linear => false,
        Activation::Relu => true,
        _ => return None,
    };
    Some(Filters { window: filters.window, kernel: filters.kernel, bias: filters.bias, relu, then: None })
}

/// Whether `next` is a normalization that a convolution can compute after its activation.
fn is_normalization(step: &Step, next: &Step) -> bool {
    let is_convolution = matches!(step.operation(), Operation::Conv2d { .. });
    let relu = step.operation().filters().is_some_and(|filters| filters.activation == Activation::Relu);
    is_convolution && relu && matches!(next.operation(), Operation::Affine { activation: Activation::Linear, .. })
}

/// The bytes that the first layers of a sequence read, or those that the step after it wants.
fn wanted(steps: &[Step], ranges: &Ranges, ends: Ends) -> Format {
    let Some(step) = steps.first() else { return ends.after };
    let is_f32 = ends.f32[0] || ends.f32[1] && steps[1..].iter().all(Step::is_output);
    match step.operation() {
        Operation::Conv2d { .. } if !is_f32 => ranges.get(step.layer()).map(|&range| Quantization::of_range(range)),
        Operation::Pooling { kind: PoolingKind::Max, .. } | Operation::Reshape { .. } | Operation::Output { .. } => {
            wanted(&steps[1..], ranges, Ends { f32: [false, ends.f32[1]], ..ends })
        }
        Operation::Residual { branch, .. } => wanted(branch, ranges, Ends::inside(is_f32)),
        Operation::Concatenate { branches, .. } => {
            branches.iter().find_map(|branch| wanted(branch, ranges, Ends::inside(is_f32)))
        }
        _ => None,
    }
}
