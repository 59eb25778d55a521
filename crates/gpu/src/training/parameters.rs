//! Where the parameters of a network are in a buffer.
//!
//! The parameters of a layer follow each other, and a layer starts where a binding may start. The gradients, the moments
//! of the optimizer and the average have the same places in sections of their own.

use moue_engine::{Network, Parameter, Role};
use std::collections::HashMap;
use std::mem::size_of;

/// The places of the parameters.
pub struct Layout {
    /// Offset and length of each parameter, in the order of [`Network::visit`].
    places: Vec<(usize, usize)>,
    by_name: HashMap<String, usize>,
    /// Length of a section.
    pub len: usize,
    /// For each place the factor of the weight decay, negative where nothing is trained, and that of the L2 penalty.
    pub options: Vec<[f32; 2]>,
}

impl Layout {
    /// The places of a network's parameters, with layers where a binding may start.
    ///
    /// # Panics
    /// When two parameters have the same name.
    pub fn new(network: &Network, limits: &wgpu::Limits) -> Self {
        let alignment = (limits.min_storage_buffer_offset_alignment as usize / size_of::<f32>()).max(1);
        let mut layout = Self { places: Vec::new(), by_name: HashMap::new(), len: 0, options: Vec::new() };
        let mut layer = String::new();
        network.visit(|parameter| {
            let own = parameter.name.rsplit_once('.').map_or("", |(layer, _)| layer);
            if layer != own {
                own.clone_into(&mut layer);
                layout.len = layout.len.next_multiple_of(alignment);
            }
            let before = layout.by_name.insert(parameter.name.clone(), layout.len);
            assert!(before.is_none(), "two parameters are called {}", parameter.name);
            layout.places.push((layout.len, parameter.value.len()));
            layout.options.resize(layout.len, [-1.0, 0.0]);
            layout.len += parameter.value.len();
            let decay = match parameter.role {
                _ if !parameter.is_trained() => -1.0,
                Role::Weight => 1.0,
                _ => 0.0,
            };
            layout.options.resize(layout.len, [decay, parameter.l2]);
        });
        layout.len = layout.len.next_multiple_of(alignment);
        layout.options.resize(layout.len, [-1.0, 0.0]);
        layout
    }

    /// The offset of a parameter of the network.
    pub fn offset(&self, parameter: &Parameter) -> usize {
        self.by_name[&parameter.name]
    }

    /// Writes the weights of the network to a section.
    pub fn scatter_weights(&self, network: &Network, section: &mut [f32]) {
        let mut places = self.places.iter();
        network.visit(|parameter| {
            if let Some(&(offset, len)) = places.next() {
                section[offset..offset + len].copy_from_slice(&parameter.value);
            }
        });
    }

    /// Writes arrays in the order of [`Network::visit`] to a section.
    pub fn scatter<'a>(&self, arrays: impl Iterator<Item = &'a [f32]>, section: &mut [f32]) {
        for (&(offset, len), array) in self.places.iter().zip(arrays) {
            section[offset..offset + len].copy_from_slice(array);
        }
    }

    /// The arrays of a section in the order of [`Network::visit`].
    pub fn gather<'a>(&'a self, section: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        self.places.iter().map(move |&(offset, len)| &section[offset..offset + len])
    }
}
