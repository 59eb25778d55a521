//! The steps of a network for inputs of another height and width.
//!
//! Weights do not depend on the extents of a map, so a plan for other extents shares them; only
//! geometry is computed again.

use super::plan::{Operation, Step};
use crate::error::BuildError;
use crate::tensor::Shape;
use std::sync::Arc;

/// The steps for maps of shape `input`, and the shape of their output.
///
/// # Errors
/// When a layer cannot be computed on maps of another size, as a dense layer on a flattened map.
pub(super) fn resized(steps: &[Step], input: Shape) -> Result<(Vec<Step>, Shape), BuildError> {
    let mut shape = input;
    let mut others = Vec::with_capacity(steps.len());
    for step in steps {
        let (operation, output) = operation(step.operation(), shape)?;
        others.push(Step::new(step.layer(), operation));
        shape = output;
    }
    Ok((others, shape))
}

fn operation(operation: &Operation, input: Shape) -> Result<(Operation, Shape), BuildError> {
    Ok(match operation {
        Operation::Conv2d { convolution, convolved } => {
            let convolution = convolution.resized(input)?;
            let output = convolution.window.output_shape(convolution.filters);
            (Operation::Conv2d { convolution, convolved: Arc::clone(convolved) }, output)
        }
        Operation::DepthwiseConv2d { window, convolved } => {
            let window = window.resized(input)?;
            let output = window.output_shape(input.channels);
            (Operation::DepthwiseConv2d { window, convolved: Arc::clone(convolved) }, output)
        }
        Operation::Affine { scale, shift, activation } => {
            (Operation::Affine { scale: scale.clone(), shift: shift.clone(), activation: *activation }, input)
        }
        Operation::Activation { activation } => (Operation::Activation { activation: *activation }, input),
        Operation::Pooling { kind, window } => {
            let window = window.resized(input)?;
            (Operation::Pooling { kind: *kind, window }, window.output_shape(input.channels))
        }
        Operation::UpSampling { size } => {
            let output = Shape::new(input.height * size[0], input.width * size[1], input.channels);
            (Operation::UpSampling { size: *size }, output)
        }
        // A flat vector has a fixed length, for the layers that read it.
        Operation::Reshape { shape } if shape.len() == input.len() => (Operation::Reshape { shape: *shape }, *shape),
        Operation::Reshape { shape } => return Err(BuildError::FixedShape { input, wanted: *shape }),
        Operation::Residual { branch, shortcut, activation } => {
            let (branch, output) = resized(branch, input)?;
            let (shortcut, other) = resized(shortcut, input)?;
            if output != other {
                return Err(BuildError::BranchMismatch { branch: output, shortcut: other });
            }
            (Operation::Residual { branch, shortcut, activation: *activation }, output)
        }
        Operation::Concatenate { branches, .. } => {
            let mut others = Vec::with_capacity(branches.len());
            let mut output: Option<Shape> = None;
            for branch in branches {
                let (branch, other) = resized(branch, input)?;
                others.push(branch);
                output = Some(match output {
                    Some(first) if [first.height, first.width] != [other.height, other.width] => {
                        return Err(BuildError::ConcatenateMismatch { first, other });
                    }
                    Some(first) => Shape { channels: first.channels + other.channels, ..first },
                    None => other,
                });
            }
            let output = output.unwrap_or(input);
            (Operation::Concatenate { branches: others, output }, output)
        }
        Operation::Gate { gate } => (Operation::Gate { gate: resized(gate, input)?.0 }, input),
        Operation::Output { output, layers } => {
            (Operation::Output { output: output.clone(), layers: resized(layers, input)?.0 }, input)
        }
    })
}
