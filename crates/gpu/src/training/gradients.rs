//! The gradients of a network, without a training.

use super::memory::{Memory, of_batch};
use super::parameters::Layout;
use super::tape::Tape;
use super::{dropouts, streams};
use crate::device::Device;
use crate::error::Error;
use crate::kernel::{Kernel, Params};
use crate::packed::Packed;
use moue_engine::{Mode, Network, Tensor};

/// The output of a network, and the derivatives of `Σ dy · output`.
pub struct Gradients {
    /// The output, `[N, 1, 1, classes]`.
    pub output: Tensor,
    /// By the input, `[N, H, W, C]`.
    pub input: Tensor,
    /// By each parameter, in the order of [`Network::visit`]; zeros for statistics.
    pub parameters: Vec<Vec<f32>>,
}

/// Computes the output of a network for `x` `[N, H, W, C]`, and the derivatives of `Σ dy · output`. The network keeps its
/// statistics.
///
/// # Errors
/// When the device fails, or has not enough memory for the batch.
///
/// # Panics
/// When `x` or `dy` has another shape than the network's input or output, or another number of images than the other, or
/// when two parameters of the network have the same name.
pub fn gradients(
    device: &Device,
    network: &Network,
    x: &Tensor,
    mode: Mode<'_>,
    dy: &Tensor,
) -> Result<Gradients, Error> {
    assert_eq!([x.shape(), dy.shape()], [network.input_shape(), network.output_shape()], "maps of another network");
    assert_eq!(x.batch(), dy.batch(), "gradients of another number of images");
    let (images, limits) = (x.batch(), device.limits());
    let layout = Layout::new(network, &limits);
    let mut tape = Tape::new(&layout, &limits, dropouts(network.layers()));
    let [input, gradient] = [x, dy].map(|map| tape.map(map.shape()));
    let node = tape.forward(network.layers(), input, matches!(mode, Mode::Train { .. }));
    let output = tape.each(Kernel::Elementwise, Params::default(), [node.y.place(); 3], dy.shape());
    let dx = tape.backward(node, gradient, true);
    let Tape { launches, slots, fixed, keys, salts, .. } = tape;

    let memory = Memory::new(device, &slots.sizes, &fixed, &layout, 1, (images, launches.len()))?;
    let mut values = vec![0.0; layout.len];
    layout.scatter_weights(network, &mut values);
    let write = |buffer: &wgpu::Buffer, values: &[f32]| device.write(buffer, bytemuck::cast_slice(values));
    write(&memory.state, &values);
    write(&memory.slots[input.slot], x.data());
    write(&memory.slots[gradient.slot], dy.data());
    if let Mode::Train { keys: own } = mode {
        write(&memory.slots[keys], &streams(own, &salts));
    }

    let mut packed = Packed::new(&limits);
    launches.iter().for_each(|launch| packed.push(launch.kernel, &of_batch(launch, images)));
    device.write(&memory.params, &packed.bytes);
    let runs = memory.runs(device, memory.bindings(&launches))?;
    let runs = runs.iter().zip(packed.workgroups).map(|((pipeline, group), size)| (pipeline, group, size));
    let index = device.submit(runs)?;
    device.wait(index)?;

    let read = |slot: usize, map: &Tensor| -> Result<Tensor, Error> {
        let values = Memory::read(device, &memory.slots[slot], map.data().len())?;
        Ok(Tensor::from_slice(images, map.shape(), &values))
    };
    let by_parameter = Memory::read(device, &memory.gradients, layout.len)?;
    Ok(Gradients {
        output: read(output.slot, dy)?,
        input: read(dx.unwrap_or(gradient).slot, x)?,
        parameters: layout.gather(&by_parameter).map(<[f32]>::to_vec).collect(),
    })
}
