//! A network over bytes, and how a batch is divided among threads.

use super::build;
use super::execute::{self, Map, Pass};
use super::ranges::Ranges;
use super::step::Int8Step;
use crate::inference::execute::Outputs;
use crate::inference::plan::Step;
use crate::network::in_pool;
use crate::profile::Profiler;
use crate::tensor::{Shape, Tensor};
use crate::workspace::{Workspace, WorkspacePool};
use rayon::prelude::*;

/// Images that a thread passes through all layers together, so that the maps between layers stay in its cache.
const IMAGES: usize = 4;

/// Parts of a layer for each thread, where one image has all threads.
const PARTS: usize = 2;

/// The steps of a network and the workspaces of its threads.
pub struct Plan {
    steps: Vec<Int8Step>,
    workspaces: WorkspacePool,
}

impl Plan {
    /// Quantizes steps that are not prepared yet. A layer without a range is computed in f32.
    pub fn new(steps: Vec<Step>, ranges: &Ranges) -> Self {
        Self { steps: build::network(steps, ranges), workspaces: WorkspacePool::default() }
    }

    /// Frees the memory that is kept for further passes.
    pub fn release_memory(&self) {
        self.workspaces.clear();
    }

    /// Runs a batch.
    pub fn run(&self, x: &Tensor, workspace: &mut Workspace, profiler: &mut Profiler) -> Outputs {
        let threads = in_pool(rayon::current_num_threads);
        let images = x.batch().div_ceil(threads).clamp(1, IMAGES);
        if x.batch() <= images {
            return in_pool(|| self.run_group(x, workspace, profiler, PARTS * threads));
        }
        let starts: Vec<usize> = (0..x.batch()).step_by(images).collect();
        let group = |first: usize, profiler: &mut Profiler| {
            self.workspaces.with(|own| {
                let count = images.min(x.batch() - first);
                let mut part = own.take(count, x.shape());
                part.data_mut().copy_from_slice(&x.data()[first * x.shape().len()..][..count * x.shape().len()]);
                let outputs = self.run_group(&part, own, profiler, 1);
                own.give(part);
                outputs
            })
        };
        let parts: Vec<Outputs> = if profiler.clock().is_some() {
            starts.iter().map(|&first| group(first, profiler)).collect()
        } else {
            in_pool(|| starts.par_iter().map(|&first| group(first, &mut Profiler::default())).collect())
        };
        let mut join = |of: &dyn Fn(&Outputs) -> &Tensor| {
            let shape = parts.first().map_or(Shape::flat(0), |part| of(part).shape());
            let mut all = workspace.take(x.batch(), shape);
            let mut rest = all.data_mut();
            for part in &parts {
                let (to, after) = rest.split_at_mut(of(part).data().len());
                to.copy_from_slice(of(part).data());
                rest = after;
            }
            all
        };
        let last = join(&|part| &part.last);
        let names = parts.first().map(|part| part.named.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        let named = names.unwrap_or_default().into_iter().enumerate();
        let named = named.map(|(i, name)| (name, join(&|part| &part.named[i].1))).collect();
        Outputs { last, named }
    }

    fn run_group(&self, x: &Tensor, workspace: &mut Workspace, profiler: &mut Profiler, tasks: usize) -> Outputs {
        let mut named = Vec::new();
        let mut pass = Pass { workspace, profiler, outputs: &mut named, tasks };
        let map = execute::run(&self.steps, Map::Lent(x), None, &mut pass);
        let last = map.into_float(pass.workspace);
        Outputs { last, named }
    }
}
