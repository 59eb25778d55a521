//! From a network to the steps of its inference.

use super::plan::Step;
use crate::layers::layer::lower;
use crate::network::Network;

/// The steps for a network's current weights: batch normalization is folded into the preceding
/// convolution, dropout is removed.
#[must_use]
pub fn steps(network: &Network) -> Vec<Step> {
    lower(network.layers())
}
