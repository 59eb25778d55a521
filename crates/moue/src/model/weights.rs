//! The weights of a network as plain arrays: copied, restored, and transferred to another network.

use moue_engine::Network;
use std::collections::HashMap;

/// The values of all parameters, one array for each, in the network's order.
#[must_use]
pub fn snapshot(network: &Network) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    network.visit(|parameter| values.push(parameter.value.to_vec()));
    values
}

/// Sets all parameters; `weights` must come from a network with the same architecture.
pub fn set_weights(network: &mut Network, weights: &[Vec<f32>]) {
    let mut weights = weights.iter();
    network.visit_mut(|parameter| {
        if let Some(values) = weights.next() {
            parameter.value.copy_from_slice(values);
        }
    });
}

/// Copies the values of parameters that have the same name and shape, and returns the names of
/// those in `to` that `from` does not have.
pub fn transfer(from: &Network, to: &mut Network) -> Vec<String> {
    let mut values = HashMap::new();
    from.visit(|parameter| {
        values.insert(parameter.name.clone(), (parameter.shape.clone(), parameter.value.to_vec()));
    });
    let mut fresh = Vec::new();
    to.visit_mut(|parameter| match values.get(&parameter.name) {
        Some((shape, value)) if *shape == parameter.shape => parameter.value.copy_from_slice(value),
        _ => fresh.push(parameter.name.clone()),
    });
    fresh
}
