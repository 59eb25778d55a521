//! The network for inference.
//!
//! It owns the prepared steps and their workspace. The steps are defined in `plan`; `execute` runs
//! them.

use super::execute::{Map, Outputs, Pass, run};
use super::int8::{self, Ranges};
use super::lower::steps;
use super::plan::{Operation, Step, prepare};
use super::resize::resized;
use crate::error::BuildError;
use crate::network::{Network, in_pool};
use crate::precision::Precision;
use crate::profile::{Profile, Profiler};
use crate::tensor::{Shape, Tensor};
use crate::workspace::Workspace;

/// Images for each thread that pass through all layers together in bf16, so that the maps between
/// layers stay in the cache.
const IMAGES_AT_ONCE: usize = 8;

/// A network for inference.
pub struct InferenceNetwork {
    input: Shape,
    output_shape: Shape,
    steps: Vec<Step>,
    /// The steps over bytes, instead of `steps`.
    int8: Option<int8::Plan>,
    precision: Precision,
    workspace: Workspace,
    profiler: Profiler,
    output: Tensor,
}

impl InferenceNetwork {
    /// Prepares a network's current weights for inference in f32. Later changes of the network have no effect.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        Self::with_precision(network, Precision::F32)
    }

    /// Prepares a network's current weights for inference in this precision.
    #[must_use]
    pub fn with_precision(network: &Network, precision: Precision) -> Self {
        let mut steps = steps(network);
        prepare(&mut steps, precision, [true, true]);
        Self::of(network, steps, None, precision)
    }

    /// Prepares a network's current weights for inference with 8-bit integers. `ranges` are those of the inputs of its
    /// layers; a layer without one is computed in f32, as are the first and the last layer. A network with weights that
    /// are not finite is computed in f32, since bytes cannot represent its outputs.
    #[must_use]
    pub fn with_int8(network: &Network, ranges: &Ranges) -> Self {
        let steps = steps(network);
        let none = Ranges::new();
        let ranges = if steps.iter().all(Step::is_finite) { ranges } else { &none };
        let plan = int8::Plan::new(steps, ranges);
        Self::of(network, Vec::new(), Some(plan), Precision::F32)
    }

    /// Prepares the part of a network before its last convolution or dense layer, in f32: its output is that layer's
    /// input. `None` for a network without such a layer.
    #[must_use]
    pub fn features(network: &Network) -> Option<Self> {
        let mut steps = steps(network);
        let last = steps.iter().rposition(|step| matches!(step.operation(), Operation::Conv2d { .. }))?;
        let Operation::Conv2d { convolution, .. } = steps[last].operation() else { return None };
        let output_shape = convolution.window.input;
        steps.truncate(last);
        prepare(&mut steps, Precision::F32, [true, true]);
        Some(Self { output_shape, ..Self::of(network, steps, None, Precision::F32) })
    }

    fn of(network: &Network, steps: Vec<Step>, int8: Option<int8::Plan>, precision: Precision) -> Self {
        Self {
            input: network.input_shape(),
            output_shape: network.output_shape(),
            steps,
            int8,
            precision,
            workspace: Workspace::default(),
            profiler: Profiler::default(),
            output: Tensor::default(),
        }
    }

    /// The same network for images of another height and width. It shares the weights.
    ///
    /// # Errors
    /// When a layer cannot be computed on maps of another size, as a dense layer on a flattened map,
    /// or the sizes of branches no longer match, and for a network with 8-bit integers.
    pub fn resized(&self, input: Shape) -> Result<Self, BuildError> {
        if input.channels != self.input.channels || input.is_empty() || self.int8.is_some() {
            return Err(BuildError::FixedShape { input, wanted: self.input });
        }
        let (steps, output_shape) = resized(&self.steps, input)?;
        Ok(Self {
            input,
            output_shape,
            steps,
            int8: None,
            precision: self.precision,
            workspace: Workspace::default(),
            profiler: Profiler::default(),
            output: Tensor::default(),
        })
    }

    /// Shape of one image.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.input
    }

    /// The precision of the floating-point arithmetic.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether most layers compute with 8-bit integers.
    #[must_use]
    pub fn is_int8(&self) -> bool {
        self.int8.is_some()
    }

    /// Frees the memory that the network itself keeps for further passes.
    pub fn release_memory(&self) {
        self.int8.iter().for_each(int8::Plan::release_memory);
    }

    /// Starts to measure the time of each step.
    pub fn start_profile(&mut self) {
        self.profiler.start();
    }

    /// Stops measuring and returns the times since [`Self::start_profile`], as forward passes of
    /// the layers that the steps come from.
    pub fn take_profile(&mut self) -> Profile {
        self.profiler.take()
    }

    /// Runs a batch `[N, H, W, C]` and returns its outputs `[N, 1, 1, classes]`.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    pub fn run(&mut self, x: &Tensor) -> &Tensor {
        let mut workspace = std::mem::take(&mut self.workspace);
        let mut profiler = std::mem::take(&mut self.profiler);
        let Outputs { last: y, named } = self.run_with(x, &mut workspace, &mut profiler);
        named.into_iter().for_each(|(_, output)| workspace.give(output));
        workspace.give(std::mem::replace(&mut self.output, y));
        self.workspace = workspace;
        self.profiler = profiler;
        &self.output
    }

    /// Runs a batch in the caller's workspace, so that several threads can share a network. The
    /// result may be given back to the workspace.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    pub fn run_in(&self, x: &Tensor, workspace: &mut Workspace) -> Tensor {
        let Outputs { last, named } = self.run_outputs(x, workspace);
        named.into_iter().for_each(|(_, output)| workspace.give(output));
        last
    }

    /// Runs a batch as [`Self::run_in`] and returns the named outputs too.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    pub fn run_outputs(&self, x: &Tensor, workspace: &mut Workspace) -> Outputs {
        self.run_with(x, workspace, &mut Profiler::default())
    }

    fn run_with(&self, x: &Tensor, workspace: &mut Workspace, profiler: &mut Profiler) -> Outputs {
        assert_eq!(x.shape(), self.input, "images of another shape than the network's");
        if let Some(int8) = &self.int8 {
            return int8.run(x, workspace, profiler);
        }
        let at_once = IMAGES_AT_ONCE * rayon::current_num_threads();
        if self.precision == Precision::F32 || x.batch() <= at_once {
            return self.run_at_once(x, workspace, profiler);
        }
        let mut all: Option<Outputs> = None;
        let mut part = workspace.take(at_once, self.input);
        for first in (0..x.batch()).step_by(at_once) {
            let count = at_once.min(x.batch() - first);
            part.reset(count, self.input);
            part.data_mut().copy_from_slice(&x.data()[first * self.input.len()..][..count * self.input.len()]);
            let Outputs { last, named } = self.run_at_once(&part, workspace, profiler);
            let all = all.get_or_insert_with(|| {
                let mut whole = |part: &Tensor| workspace.take(x.batch(), part.shape());
                let last = whole(&last);
                Outputs { last, named: named.iter().map(|(name, part)| (name.clone(), whole(part))).collect() }
            });
            let outputs = std::iter::once(&mut all.last).chain(all.named.iter_mut().map(|(_, output)| output));
            let parts = std::iter::once(last).chain(named.into_iter().map(|(_, part)| part));
            for (output, part) in outputs.zip(parts) {
                let len = part.shape().len();
                output.data_mut()[first * len..][..count * len].copy_from_slice(part.data());
                workspace.give(part);
            }
        }
        workspace.give(part);
        all.unwrap_or_default()
    }

    fn run_at_once(&self, x: &Tensor, workspace: &mut Workspace, profiler: &mut Profiler) -> Outputs {
        let mut named = Vec::new();
        let mut pass = Pass { workspace, profiler, outputs: &mut named, observer: None };
        let last = in_pool(|| run(&self.steps, Map::Lent(x), &mut pass));
        debug_assert_eq!(last.shape(), self.output_shape);
        let last = workspace.convert(last, Precision::F32);
        let named = named.into_iter().map(|(name, output)| (name, workspace.convert(output, Precision::F32)));
        Outputs { last, named: named.collect() }
    }
}
