//! The network for inference.
//!
//! It owns the prepared steps and their workspace. The steps are defined in `plan`; `execute` runs
//! them.

use super::execute::{Map, Pass, converted, run};
use super::plan::Step;
use super::resize::resized;
use crate::error::BuildError;
use crate::layers::layer::lower;
use crate::network::{Network, in_pool};
use crate::precision::Precision;
use crate::profile::{Profile, Profiler};
use crate::tensor::{Shape, Tensor};
use crate::workspace::Workspace;

/// The steps for a network's current weights: batch normalization is folded into the preceding
/// convolution, dropout is removed.
#[must_use]
pub fn steps(network: &Network) -> Vec<Step> {
    lower(network.layers())
}

/// The outputs of a network. Their memory may be given back to the workspace.
pub struct Outputs {
    /// The last layer's output.
    pub last: Tensor,
    /// The named outputs, in the order of their layers.
    pub named: Vec<(String, Tensor)>,
}

/// A network for inference.
pub struct InferenceNetwork {
    input: Shape,
    output_shape: Shape,
    steps: Vec<Step>,
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
        // As in training, the layers whose input or output is that of the network compute in f32.
        let last = steps.len().saturating_sub(1);
        for (i, step) in steps.iter_mut().enumerate() {
            step.prepare(if i == 0 || i == last { Precision::F32 } else { precision });
        }
        Self {
            input: network.input_shape(),
            output_shape: network.output_shape(),
            steps,
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
    /// or the sizes of branches no longer match.
    pub fn resized(&self, input: Shape) -> Result<Self, BuildError> {
        if input.channels != self.input.channels || input.is_empty() {
            return Err(BuildError::FixedShape { input, wanted: self.input });
        }
        let (steps, output_shape) = resized(&self.steps, input)?;
        Ok(Self {
            input,
            output_shape,
            steps,
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

    /// The precision of the arithmetic.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
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
        let mut named = Vec::new();
        let mut pass = Pass { workspace, profiler, outputs: &mut named };
        let last = in_pool(|| run(&self.steps, Map::Lent(x), &mut pass));
        debug_assert_eq!(last.shape(), self.output_shape);
        let last = converted(last, Precision::F32, workspace);
        let named = named.into_iter().map(|(name, output)| (name, converted(output, Precision::F32, workspace)));
        Outputs { last, named: named.collect() }
    }
}
