//! The network that only predicts.
//!
//! It owns the prepared steps and the memory that they run in. What the steps are is defined
//! in `plan`; running them is left to `execute`.

use super::execute::{Map, run};
use super::plan::Step;
use crate::layers::layer::lower;
use crate::network::{Network, in_pool};
use crate::profile::{Profile, Profiler};
use crate::tensor::{Shape, Tensor};
use crate::workspace::Workspace;

/// The steps that a network's present weights come to: batch normalization is
/// multiplied into the convolution before it, dropout is gone.
#[must_use]
pub fn steps(network: &Network) -> Vec<Step> {
    lower(network.layers())
}

/// A network that only predicts.
pub struct InferenceNetwork {
    input: Shape,
    output_shape: Shape,
    steps: Vec<Step>,
    workspace: Workspace,
    profiler: Profiler,
    output: Tensor,
}

impl InferenceNetwork {
    /// Makes a network's present weights ready. Changes to the network
    /// afterwards do not show.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let mut steps = steps(network);
        steps.iter_mut().for_each(Step::prepare);
        Self {
            input: network.input_shape(),
            output_shape: network.output_shape(),
            steps,
            workspace: Workspace::default(),
            profiler: Profiler::default(),
            output: Tensor::default(),
        }
    }

    /// Shape of one image.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.input
    }

    /// Starts to measure the time of each step, from zero.
    pub fn start_profile(&mut self) {
        self.profiler.start();
    }

    /// The times since [`Self::start_profile`], as forward passes of the layers
    /// that the steps come from, and the end of measuring.
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
        let y = self.run_with(x, &mut workspace, &mut profiler);
        workspace.give(std::mem::replace(&mut self.output, y));
        self.workspace = workspace;
        self.profiler = profiler;
        &self.output
    }

    /// The same in memory of the caller's, so that several threads can share a
    /// network. The result may be given back to the workspace.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    pub fn run_in(&self, x: &Tensor, workspace: &mut Workspace) -> Tensor {
        self.run_with(x, workspace, &mut Profiler::default())
    }

    fn run_with(&self, x: &Tensor, workspace: &mut Workspace, profiler: &mut Profiler) -> Tensor {
        assert_eq!(x.shape(), self.input, "images of another shape than the network's");
        let y = in_pool(|| run(&self.steps, Map::Lent(x), workspace, profiler));
        debug_assert_eq!(y.shape(), self.output_shape);
        y
    }
}
