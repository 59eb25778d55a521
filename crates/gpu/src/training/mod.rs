//! Training on a GPU: forward and backward pass, loss and optimizer, without a transfer to the host between the steps.
//!
//! `tape` and `backward` convert a network to launches, `parameters` places its weights; here are the memory, the steps,
//! and what is copied from and to the network on the host.

mod backward;
mod gradients;
mod memory;
mod parameters;
mod tape;

use crate::device::Device;
use crate::error::Error;
use crate::kernel::{self, AFFINE, CORRECT, INVOCATIONS, Kernel, LOSS, NORMS, Params, Update};
use crate::network::MACS_AT_ONCE;
use crate::packed::Packed;
use crate::slots::Slot;
pub use gradients::{Gradients, gradients};
use memory::{Memory, Run, of_batch};
use moue_engine::random::key;
use moue_engine::{Layer, Network, Optimizer, OptimizerKind, Shape, Tensor};
use parameters::Layout;
use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use tape::{Launch, Map, Place, Tape, over};

/// Submissions of steps that are not waited for, so that the next batch is prepared and copied in the meantime.
const STEPS_AHEAD: usize = 2;

/// The batch of a step.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// `[N, H, W, C]`.
    pub images: &'a Tensor,
    /// A random key for each image, for dropout.
    pub keys: &'a [u64],
    /// The index of each image's class, which is only compared with the prediction.
    pub labels: &'a [u32],
    /// A probability for each class, `[N, classes]`, each row summing to 1.
    pub targets: &'a [f32],
    /// A factor for the loss of each image.
    pub weights: &'a [f32],
}

/// Sums over the images since the last call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Sum of the images' losses.
    pub loss: f64,
    /// Number of images whose largest logit is that of their label.
    pub correct: usize,
}

/// A training of a network on a GPU, in f32.
///
/// The network on the host keeps its weights until [`Self::read`] replaces them.
pub struct GpuTraining {
    device: Arc<Device>,
    input: Shape,
    classes: usize,
    batch_size: usize,
    layout: Layout,
    launches: Vec<Launch>,
    /// Pipeline and buffers of each launch, followed by those of the optimizer.
    runs: Vec<Run>,
    inputs: Inputs,
    memory: Memory,
    salts: Vec<u64>,
    optimizer: OptimizerKind,
    weight_decay: f32,
    update: Update,
    steps: u64,
    submitted: VecDeque<wgpu::SubmissionIndex>,
}

/// The slots of what a batch consists of, and of its metrics.
struct Inputs {
    images: Slot,
    keys: Slot,
    targets: Slot,
    /// Weight and label of each image.
    cases: Slot,
    /// Loss and hits of each place in a batch.
    metrics: Slot,
}

impl GpuTraining {
    /// Prepares the training of a network from its current weights, with an optimizer in its current state, in batches of
    /// at most `batch_size` images. `average` is the moving average of all parameters, in the order of
    /// [`Network::visit`], or empty. `offsets` are added to the logits in the loss, one for each class, or none.
    ///
    /// # Errors
    /// When the device cannot compile a kernel or has not enough memory for a batch.
    ///
    /// # Panics
    /// When two parameters of the network have the same name.
    pub fn new(
        device: Arc<Device>,
        network: &Network,
        optimizer: &Optimizer,
        average: &[Vec<f32>],
        offsets: Option<&[f32]>,
        batch_size: usize,
    ) -> Result<Self, Error> {
        let limits = device.limits();
        let layout = Layout::new(network, &limits);
        let (input, classes) = (network.input_shape(), network.output_shape().len());

        let mut tape = Tape::new(&layout, &limits, dropouts(network.layers()));
        let images = tape.map(input);
        let [targets, cases, metrics] = [classes, 2, 2].map(|values| tape.map(Shape::flat(values)));
        let node = tape.forward(network.layers(), images, true);
        let adjustment = offsets.map(|_| tape.fixed(2 * classes));
        let gradient = loss(&mut tape, node.y, [targets, cases, metrics], adjustment);
        tape.backward(node, gradient, false);
        let norm = tape.fixed(1);
        let Tape { launches, slots, mut fixed, keys, salts, .. } = tape;
        fixed[0] = fixed[0].max(NORMS as usize);

        let inputs =
            Inputs { images: images.slot, keys, targets: targets.slot, cases: cases.slot, metrics: metrics.slot };
        let sections = 3 + usize::from(!average.is_empty());
        let memory = Memory::new(&device, &slots.sizes, &fixed, &layout, sections, (batch_size, launches.len() + 3))?;
        if let (Some(index), Some(offsets)) = (adjustment, offsets) {
            let factors = [vec![1.0; classes], offsets.to_vec()].concat();
            device.write(&memory.fixed[index], bytemuck::cast_slice(&factors));
        }
        device.write(&memory.options, bytemuck::cast_slice(&layout.options));
        let runs = memory.runs(&device, memory.bindings(&launches).chain(memory.optimizer(norm)))?;
        let (kind, [beta_1, beta_2, epsilon]) = match optimizer.kind() {
            OptimizerKind::Sgd { momentum: 0.0, .. } => (0, [0.0; 3]),
            OptimizerKind::Sgd { momentum, nesterov } => (1 + u32::from(nesterov), [momentum, 0.0, 0.0]),
            OptimizerKind::Adam { beta_1, beta_2, epsilon } => (3, [beta_1, beta_2, epsilon]),
        };
        let update = Update {
            count: layout.len as u32,
            section: layout.len as u32,
            kind,
            average: if average.is_empty() { 0 } else { 3 },
            beta_1,
            beta_2,
            epsilon,
            clip: optimizer.clip_norm().unwrap_or_default(),
            ..Update::default()
        };
        let training = Self {
            device,
            input,
            classes,
            batch_size,
            layout,
            launches,
            runs,
            inputs,
            memory,
            salts,
            optimizer: optimizer.kind(),
            weight_decay: optimizer.weight_decay(),
            update,
            steps: optimizer.steps(),
            submitted: VecDeque::new(),
        };
        training.write(network, optimizer, average);
        Ok(training)
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Number of steps of the optimizer so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Trains on a batch. It returns when the batch is on its way: errors of its computation are returned by later calls.
    /// `share` is that of the new weights in the average.
    ///
    /// # Errors
    /// When the device fails or does not finish in time.
    ///
    /// # Panics
    /// When the images have another shape than the network's input, there are more of them than `batch_size`, or their
    /// keys, labels, targets or weights are not as many as they.
    pub fn step(&mut self, batch: &Batch<'_>, learning_rate: f32, share: f32) -> Result<(), Error> {
        let images = batch.images.batch();
        assert_eq!(batch.images.shape(), self.input, "images of another shape than the network's");
        assert!(images <= self.batch_size, "more images than the batch size");
        let lengths = [batch.keys.len(), batch.labels.len(), batch.weights.len(), batch.targets.len() / self.classes];
        assert_eq!(lengths, [images; 4], "keys, labels, weights or targets of other images");
        if self.submitted.len() >= STEPS_AHEAD
            && let Some(index) = self.submitted.pop_front()
        {
            self.device.wait(index)?;
        }
        self.steps += 1;
        self.upload(batch);
        let workgroups = self.prepare(images, learning_rate, share);
        let mut launches = self.runs.iter().zip(workgroups).map(|((pipeline, group), size)| (pipeline, group, size));
        // The optimizer's launches belong to the last submission.
        let parts = parts(self.launches.iter().map(|launch| launch.macs * images as u64), MACS_AT_ONCE);
        let mut index = None;
        for (i, &part) in parts.iter().enumerate() {
            let own = if i + 1 == parts.len() { usize::MAX } else { part };
            index = Some(self.device.submit(launches.by_ref().take(own))?);
        }
        self.submitted.extend(index);
        Ok(())
    }

    /// Waits for all steps and returns the sums of their metrics since the last call.
    ///
    /// # Errors
    /// When the device fails or does not finish in time.
    pub fn metrics(&mut self) -> Result<Metrics, Error> {
        self.finish()?;
        let buffer = &self.memory.slots[self.inputs.metrics];
        let values = Memory::read(&self.device, buffer, 2 * self.batch_size)?;
        self.device.write(buffer, bytemuck::cast_slice(&vec![0.0f32; values.len()]));
        let images = values.chunks_exact(2);
        let sums = images.map(|image| Metrics { loss: f64::from(image[0]), correct: image[1] as usize });
        Ok(sums.fold(Metrics::default(), |sum, image| Metrics {
            loss: sum.loss + image.loss,
            correct: sum.correct + image.correct,
        }))
    }

    /// Waits for all steps and copies the weights, the state of the optimizer and the average from the device.
    ///
    /// # Errors
    /// When the device fails, does not finish in time, or has not enough memory for the copy.
    ///
    /// # Panics
    /// When they are not those of a network and an optimizer of the same kind.
    pub fn read(
        &mut self,
        network: &mut Network,
        optimizer: &mut Optimizer,
        average: &mut [Vec<f32>],
    ) -> Result<(), Error> {
        self.finish()?;
        let values = self.memory.state.size() as usize / size_of::<f32>();
        let state = Memory::read(&self.device, &self.memory.state, values)?;
        let sections: Vec<&[f32]> = state.chunks_exact(self.layout.len.max(1)).collect();
        let mut values = self.layout.gather(sections.first().copied().unwrap_or_default());
        network.visit_mut(|parameter| {
            if let Some(value) = values.next() {
                parameter.value.copy_from_slice(value);
            }
        });
        let kept = self.moments();
        let mut moments = Vec::new();
        let mut arrays: Vec<_> =
            sections.iter().skip(1).take(kept).map(|section| self.layout.gather(section)).collect();
        network.visit(|parameter| {
            let arrays: Vec<&[f32]> = arrays.iter_mut().filter_map(Iterator::next).collect();
            if parameter.is_trained() {
                moments.push(arrays.concat());
            }
        });
        assert!(optimizer.restore(self.steps, moments), "an optimizer of another kind");
        if let Some(section) = sections.get(3) {
            average.iter_mut().zip(self.layout.gather(section)).for_each(|(own, new)| own.copy_from_slice(new));
        }
        Ok(())
    }

    /// Copies the weights, the state of the optimizer and the average to the device.
    fn write(&self, network: &Network, optimizer: &Optimizer, average: &[Vec<f32>]) {
        let len = self.layout.len;
        let mut state = vec![0.0; self.memory.state.size() as usize / size_of::<f32>()];
        let mut moments = optimizer.moments().iter();
        let mut of_parameter = Vec::new();
        network.visit(|parameter| {
            let empty = vec![0.0; 2 * parameter.value.len()];
            let mut own = if parameter.is_trained() { moments.next().cloned().unwrap_or_default() } else { Vec::new() };
            own.extend_from_slice(&empty[own.len().min(empty.len())..]);
            of_parameter.push(own);
        });
        self.layout.scatter_weights(network, &mut state[..len]);
        for (section, second) in [(1, false), (2, true)] {
            let halves = of_parameter.iter().map(|moments| {
                let (first, rest) = moments.split_at(moments.len() / 2);
                if second { rest } else { first }
            });
            self.layout.scatter(halves, &mut state[section * len..][..len]);
        }
        if !average.is_empty() {
            self.layout.scatter(average.iter().map(|array| &array[..]), &mut state[3 * len..][..len]);
        }
        self.device.write(&self.memory.state, bytemuck::cast_slice(&state));
    }

    /// Moments for each parameter.
    fn moments(&self) -> usize {
        match self.update.kind {
            0 => 0,
            3 => 2,
            _ => 1,
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        while let Some(index) = self.submitted.pop_front() {
            self.device.wait(index)?;
        }
        Ok(())
    }

    fn upload(&self, batch: &Batch<'_>) {
        let Self { device, memory, inputs, .. } = self;
        let write = |slot: Slot, values: &[f32]| device.write(&memory.slots[slot], bytemuck::cast_slice(values));
        write(inputs.images, batch.images.data());
        write(inputs.targets, batch.targets);
        let cases = batch.weights.iter().zip(batch.labels);
        write(inputs.cases, &cases.flat_map(|(&weight, &label)| [weight, label as f32]).collect::<Vec<_>>());
        write(inputs.keys, &streams(batch.keys, &self.salts));
    }

    /// Writes the parameters of all launches, and returns their workgroups.
    fn prepare(&self, images: usize, learning_rate: f32, share: f32) -> Vec<[u32; 3]> {
        let limits = self.device.limits();
        let mut packed = Packed::new(&limits);
        self.launches.iter().for_each(|launch| packed.push(launch.kernel, &of_batch(launch, images)));
        let update = self.updated(learning_rate, share);
        let fold = Params { rows: NORMS, chunk: 1, row_length: 1, ..Params::default() };
        let limited = update.clip > 0.0;
        packed.push_as(bytemuck::bytes_of(&update), if limited { [NORMS, 1, 1] } else { [0; 3] });
        packed.push_as(bytemuck::bytes_of(&fold), if limited { [1, 1, 1] } else { [0; 3] });
        let most = limits.max_compute_workgroups_per_dimension;
        packed.push_as(bytemuck::bytes_of(&update), [update.count.div_ceil(INVOCATIONS).min(most), 1, 1]);
        self.device.write(&self.memory.params, &packed.bytes);
        packed.workgroups
    }

    /// The parameters of this step of the optimizer.
    fn updated(&self, learning_rate: f32, share: f32) -> Update {
        let steps = self.steps as f64;
        let unbiased = |beta: f32| 1.0 / (1.0 - f64::from(beta).powf(steps));
        let (rate, correction) = match self.optimizer {
            OptimizerKind::Sgd { .. } => (learning_rate, 1.0),
            OptimizerKind::Adam { beta_1, beta_2, .. } => {
                ((f64::from(learning_rate) * unbiased(beta_1)) as f32, unbiased(beta_2) as f32)
            }
        };
        Update { rate, decay: learning_rate * self.weight_decay, correction, share, ..self.update }
    }
}

/// Records the loss, its metrics, and its gradient by the logits.
fn loss(tape: &mut Tape<'_>, logits: Map, [targets, cases, metrics]: [Map; 3], adjustment: Option<usize>) -> Map {
    let [targets, cases, metrics] = [targets, cases, metrics].map(Map::place);
    let shape = logits.shape;
    let params = |flags: u32| Params { flags, ..over(Params::default(), shape) };
    let adjusted = match adjustment {
        Some(index) => {
            let reads = [logits.place(), Place::Fixed(index), logits.place()];
            tape.each(Kernel::Elementwise, params(AFFINE), reads, shape)
        }
        None => logits.borrowed(),
    };
    // A prediction has no adjustment.
    let flags = if adjustment.is_none() { LOSS | CORRECT } else { LOSS };
    tape.launch(Kernel::CrossEntropy, params(flags), [adjusted.place(), targets, cases], metrics);
    if adjustment.is_some() {
        tape.launch(Kernel::CrossEntropy, params(CORRECT), [logits.place(), targets, cases], metrics);
    }
    let gradient = tape.map(shape);
    tape.launch(Kernel::CrossEntropy, params(kernel::MEAN), [adjusted.place(), targets, cases], gradient.place());
    tape.give(adjusted);
    gradient
}

/// How many launches in a row belong to each submission: their work is at most `most`, or they are one launch.
fn parts(work: impl Iterator<Item = u64>, most: u64) -> Vec<usize> {
    let (mut parts, mut sum) = (vec![0], 0);
    for work in work {
        if sum + work > most && parts.last() != Some(&0) {
            parts.push(0);
            sum = 0;
        }
        sum += work;
        if let Some(last) = parts.last_mut() {
            *last += 1;
        }
    }
    parts
}

/// The states of the images' streams in the dropout layers, in numbers of 16 bits, which are exact in f32.
fn streams(keys: &[u64], salts: &[u64]) -> Vec<f32> {
    let states = keys.iter().flat_map(|&image| salts.iter().map(move |&salt| key(&[image, salt])));
    states.flat_map(|state| [0, 16, 32, 48].map(|shift| f32::from((state >> shift) as u16))).collect()
}

/// Number of dropout layers.
fn dropouts(layer: &dyn Layer) -> usize {
    let own = usize::from(matches!(layer.describe(), moue_engine::layers::Description::Dropout { .. }));
    own + layer.children().into_iter().map(dropouts).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_have_limited_work() {
        assert_eq!(parts([3, 3, 3, 9, 1].into_iter(), 6), [2, 1, 1, 1]);
        assert_eq!(parts([9].into_iter(), 6), [1]);
        assert_eq!(parts([].into_iter(), 6), [0]);
    }
}
