//! Reads a model from an ONNX graph.
//!
//! The metadata describes the network, the initializers hold its weights. A graph is accepted only
//! if writing the model again gives the same graph. No operation of the file is ignored.

use super::proto::{FLOAT, GraphProto, INT8, INT32, ModelProto, NodeProto, TensorProto};
use super::quantize;
use super::write::graph;
use super::{BIAS, MEAN, OPSET, PRIOR, SCALE, STD, TEMPERATURE, channels_first};
use crate::model::build::build_stored;
use crate::model::model::Document;
use crate::model::{Model, ModelFileError, Normalization, fold};
use moue_engine::Role;
use prost::Message;
use std::collections::HashMap;
use std::path::Path;

/// The operators that [`super::to_onnx`] writes.
const OPERATORS: [&str; 23] = [
    "Add",
    "AveragePool",
    "Concat",
    "Conv",
    "DequantizeLinear",
    "Div",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "LeakyRelu",
    "MaxPool",
    "Mul",
    "QuantizeLinear",
    "ReduceMean",
    "Relu",
    "Resize",
    "Sigmoid",
    "Softmax",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// Arrays of the graph by name, and where they are used.
type Arrays = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// Reads a model from the bytes of an ONNX file; `path` is for messages.
///
/// When the bytes are not an ONNX file, or the graph contains an operator or array that
/// [`super::to_onnx`] does not write; the error names it.
pub fn from_onnx(bytes: &[u8], path: impl AsRef<Path>) -> Result<Model, ModelFileError> {
    let path = path.as_ref();
    let not_a_model = |reason| ModelFileError::NotAModel { path: path.to_owned(), reason };
    let proto = ModelProto::decode(bytes)
        .map_err(|error| not_a_model(format!("it is damaged or not an ONNX file: {error}")))?;
    let found = proto.graph.as_ref().filter(|graph| !graph.node.is_empty());
    let found = found.ok_or_else(|| not_a_model("it is not an ONNX file, or has no graph".into()))?;
    operators(found).map_err(not_a_model)?;
    let document = document(&proto).map_err(not_a_model)?;
    let arrays = arrays(found).map_err(not_a_model)?;
    let values = arrays.values().map(|(_, values)| values.len()).sum();
    let network = build_stored(&document.architecture, document.classes.len(), values)
        .map_err(|source| ModelFileError::Architecture { path: path.to_owned(), source })?;
    let mut model = document.into_model(network).map_err(|error| not_a_model(error.to_string()))?;
    fill(&mut model, &arrays).map_err(not_a_model)?;
    model.calibration.check(model.classes.len()).map_err(|error| not_a_model(error.to_string()))?;
    let int8 = found.initializer.iter().any(|tensor| tensor.data_type == INT8);
    same(&graph(&model, int8), found).map_err(not_a_model)?;
    Ok(model)
}

/// Returns an error for the first unsupported operator.
fn operators(graph: &GraphProto) -> Result<(), String> {
    let foreign = |node: &&NodeProto| !(node.domain.is_empty() && OPERATORS.contains(&node.op_type.as_str()));
    match graph.node.iter().find(foreign) {
        Some(node) => Err(format!(
            "its node `{}` is the operator {}, which moue does not read; it reads the ONNX files that `moue export` writes",
            node.name, node.op_type
        )),
        None => Ok(()),
    }
}

fn document(proto: &ModelProto) -> Result<Document, String> {
    let opset = proto.opset_import.iter().find(|set| set.domain.is_empty()).map_or(0, |set| set.version);
    if opset != OPSET {
        return Err(format!("it uses ONNX operator set {opset}, but moue reads operator set {OPSET}"));
    }
    let mut fields = serde_json::Map::new();
    for entry in &proto.metadata_props {
        // Other programs may have added their own entries.
        if let Ok(value) = serde_json::from_str(&entry.value) {
            fields.insert(entry.key.clone(), value);
        }
    }
    Document::from_fields(fields).map_err(|reason| {
        format!(
            "its metadata does not describe a model ({reason}); moue reads the ONNX files that `moue export` writes"
        )
    })
}

fn arrays(graph: &GraphProto) -> Result<Arrays, String> {
    let mut arrays = Arrays::new();
    let scales: HashMap<&str, Vec<f32>> = graph
        .initializer
        .iter()
        .filter_map(|tensor| Some((tensor.name.strip_suffix(quantize::SCALE)?, floats(tensor))))
        .collect();
    for tensor in &graph.initializer {
        let dims: Vec<usize> = tensor.dims.iter().map(|&extent| usize::try_from(extent).unwrap_or(0)).collect();
        let quantized = || quantize::values(tensor, scales.get(tensor.name.as_str())?);
        let Some(values) = (if tensor.data_type == FLOAT { Some(floats(tensor)) } else { quantized() }) else {
            continue;
        };
        if dims.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent)) != Some(values.len()) {
            return Err(format!("its array {} has {} values, but its shape is {dims:?}", tensor.name, values.len()));
        }
        arrays.insert(tensor.name.clone(), (dims, values));
    }
    Ok(arrays)
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    if tensor.raw_data.is_empty() {
        return tensor.float_data.clone();
    }
    tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Sets the model's weights from the arrays.
fn fill(model: &mut Model, arrays: &Arrays) -> Result<(), String> {
    let get = |name: &str, len: usize| match arrays.get(name) {
        Some((_, values)) if values.len() == len => Ok(values),
        Some((dims, _)) => Err(format!("its array {name} has shape {dims:?}, but {len} values are needed")),
        None => Err(format!("its array {name} is missing")),
    };
    let mean = get(MEAN, model.normalization.mean().len())?.clone();
    let std = get(STD, model.normalization.std().len())?.clone();
    model.normalization = Normalization::new(mean, std).ok_or(Normalization::UNUSABLE)?;
    let calibration = &mut model.calibration;
    calibration.temperature = get(TEMPERATURE, 1)?[0];
    let of_classes =
        [(PRIOR, &mut calibration.prior_adjustment), (SCALE, &mut calibration.scale), (BIAS, &mut calibration.bias)];
    for (name, values) in of_classes {
        if let Some(values) = values {
            values.clone_from(get(name, values.len())?);
        }
    }
    let mut problem = None;
    model.network.visit_mut(|parameter| {
        if parameter.role == Role::RunningStat {
            fold::fill_statistic(parameter);
            return;
        }
        match get(&parameter.name, parameter.value.len()) {
            Ok(values) => {
                let (_, place) = channels_first(&parameter.shape);
                parameter.value.iter_mut().enumerate().for_each(|(i, weight)| *weight = values[place(i)]);
            }
            Err(reason) => problem = problem.take().or(Some(reason)),
        }
    });
    problem.map_or(Ok(()), Err)
}

/// Returns an error for a graph that differs from the model's graph.
fn same(wanted: &GraphProto, found: &GraphProto) -> Result<(), String> {
    for (wanted, found) in wanted.node.iter().zip(&found.node) {
        if wanted.op_type != found.op_type {
            return Err(format!(
                "its node `{}` is the operator {}, where its metadata describes {}",
                found.name, found.op_type, wanted.op_type
            ));
        }
        if wanted != found {
            return Err(format!(
                "its node `{}` ({}) does not have the name, inputs, outputs or attributes that its metadata describes",
                found.name, found.op_type
            ));
        }
    }
    if wanted.node.len() != found.node.len() {
        return Err(format!("it has {} nodes, its metadata describes {}", found.node.len(), wanted.node.len()));
    }
    if (&wanted.input, &wanted.output) != (&found.input, &found.output) {
        return Err("its inputs and outputs are not those that its metadata describes".into());
    }
    let by_name: HashMap<&str, &TensorProto> = found.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    for wanted in &wanted.initializer {
        let bits = |tensor: &TensorProto| floats(tensor).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let is_equal = |found: &TensorProto| {
            let weights = wanted.name.strip_suffix(quantize::SCALE).unwrap_or(&wanted.name);
            let is_zero =
                wanted.name.ends_with(quantize::ZERO) || !(weights.ends_with(".kernel") || weights.ends_with(".bias"));
            // The model was read from quantized weights and their scales, so that they need not be compared with it.
            (!is_zero && by_name.get(weights).is_some_and(|tensor| [INT8, INT32].contains(&tensor.data_type)))
                || if wanted.data_type == FLOAT {
                    bits(found) == bits(wanted)
                } else {
                    found.raw_data == wanted.raw_data
                }
        };
        match by_name.get(wanted.name.as_str()) {
            Some(found) if found.dims == wanted.dims && found.data_type == wanted.data_type && is_equal(found) => {}
            _ => return Err(format!("its array {} is not the one that its metadata describes", wanted.name)),
        }
    }
    Ok(())
}
