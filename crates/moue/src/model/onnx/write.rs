//! Writes a model as an ONNX graph.

use super::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, ATTRIBUTE_STRING, AttributeProto, DimensionProto, FLOAT,
    GraphProto, INT64, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use super::{BIAS, IR_VERSION, MEAN, OPSET, PRIOR, RANGE, SCALE, SPATIAL_AXES, STD, TEMPERATURE, channels_first};
use crate::model::model::Document;
use crate::model::{Model, ModelFileError};
use moue_engine::inference::{Filters, Operation, Ranges, Step, steps};
use moue_engine::layers::PoolingKind;
use moue_engine::{Activation, Shape, Window};
use prost::Message;

const DOC: &str = "Facial expressions of 48x48 faces and the like: what a face looks like, not what a person feels.";

/// The bytes of an ONNX file with this model. Equal models give equal bytes.
///
/// # Errors
/// When the model's network is larger than one that can be built.
pub fn to_onnx(model: &Model) -> Result<Vec<u8>, ModelFileError> {
    encode(model, false)
}

/// The bytes of an ONNX file with this model, whose weights and activations are quantized to 8 bits where the model has
/// ranges of activations ([`Model::int8`]).
///
/// # Errors
/// When the model's network is larger than one that can be built.
pub fn to_onnx_int8(model: &Model) -> Result<Vec<u8>, ModelFileError> {
    encode(model, true)
}

fn encode(model: &Model, int8: bool) -> Result<Vec<u8>, ModelFileError> {
    let model = model.folded().map_err(|error| ModelFileError::Encode(error.to_string()))?;
    if int8 && model.int8.is_none() {
        let reason = "the model has no ranges of activations for the layers of its ONNX graph";
        return Err(ModelFileError::Encode(reason.into()));
    }
    let fields = Document::of(&model).to_fields().map_err(ModelFileError::Encode)?;
    let entry = |(key, value): (String, serde_json::Value)| StringStringEntryProto { key, value: value.to_string() };
    let proto = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: "moue".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: DOC.into(),
        graph: Some(graph(&model, int8)),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: fields.into_iter().map(entry).collect(),
    };
    Ok(proto.encode_to_vec())
}

/// The graph of a model that is already folded.
pub fn graph(model: &Model, int8: bool) -> GraphProto {
    let ranges = model.int8.as_ref().filter(|_| int8).map(|int8| int8.ranges.clone()).unwrap_or_default();
    let mut writer = Writer { ranges, ..Writer::default() };
    let [height, width, channels] = model.architecture.input;
    let input = writer.normalized(model, Shape::new(height, width, channels));
    let last = writer.chain(&steps(&model.network), input);
    writer.calibrated(model, last);
    let pixels = [channels, height, width];
    GraphProto {
        name: model.architecture.name.clone(),
        node: writer.nodes,
        initializer: writer.initializers,
        input: vec![value("input", &pixels)],
        output: vec![value("probabilities", &[model.classes.len()])],
    }
}

/// The name and shape of a tensor in the graph.
#[derive(Clone)]
pub struct Map {
    pub name: String,
    shape: Shape,
    /// Whether the shape is `[N, C]` instead of `[N, C, H, W]`.
    flat: bool,
}

impl Map {
    /// A tensor of the same shape.
    pub fn renamed(self, name: String) -> Self {
        Self { name, ..self }
    }
}

#[derive(Default)]
pub struct Writer {
    pub nodes: Vec<NodeProto>,
    pub initializers: Vec<TensorProto>,
    /// The ranges of the inputs of layers that are quantized.
    pub ranges: Ranges,
}

impl Writer {
    pub fn node(&mut self, operator: &str, name: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute,
            domain: String::new(),
        });
        name.to_owned()
    }

    fn constant(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        self.initializers.push(TensorProto {
            dims: dims.iter().map(|&extent| extent as i64).collect(),
            data_type: FLOAT,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
    }

    fn normalized(&mut self, model: &Model, shape: Shape) -> Map {
        let (mean, std) = (model.normalization.mean(), model.normalization.std());
        self.constant(RANGE, &[], &[255.0]);
        self.constant(MEAN, &[1, mean.len(), 1, 1], mean);
        self.constant(STD, &[1, std.len(), 1, 1], std);
        let unit = self.node("Div", "normalisation.unit", &["input", RANGE], vec![]);
        let centred = self.node("Sub", "normalisation.centred", &[&unit, MEAN], vec![]);
        let name = self.node("Div", "normalisation", &[&centred, STD], vec![]);
        Map { name, shape, flat: false }
    }

    fn calibrated(&mut self, model: &Model, logits: Map) {
        let mut name = self.flat(logits).name;
        if let Some(adjustment) = &model.calibration.prior_adjustment {
            self.constant(PRIOR, &[adjustment.len()], adjustment);
            name = self.node("Add", "calibration.adjusted", &[&name, PRIOR], vec![]);
        }
        if model.calibration.scale.is_some() {
            let mean = self.node("ReduceMean", "calibration.mean", &[&name], vec![ints("axes", &[1])]);
            name = self.node("Sub", "calibration.centred", &[&name, &mean], vec![]);
        }
        self.constant(TEMPERATURE, &[], &[model.calibration.temperature]);
        name = self.node("Div", "calibration", &[&name, TEMPERATURE], vec![]);
        if let Some(scale) = &model.calibration.scale {
            self.constant(SCALE, &[scale.len()], scale);
            name = self.node("Mul", "calibration.scaled", &[&name, SCALE], vec![]);
        }
        if let Some(bias) = &model.calibration.bias {
            self.constant(BIAS, &[bias.len()], bias);
            name = self.node("Add", "calibration.biased", &[&name, BIAS], vec![]);
        }
        self.node("Softmax", "probabilities", &[&name], vec![int("axis", 1)]);
    }

    fn chain(&mut self, steps: &[Step], map: Map) -> Map {
        steps.iter().fold(map, |map, step| self.step(step, map))
    }

    fn step(&mut self, step: &Step, x: Map) -> Map {
        let (name, operation) = (step.layer(), step.operation());
        if let Some(filters) = operation.filters() {
            let (x, input) = match self.range(step) {
                Some(range) => {
                    let (x, scale) = self.quantized(x, range);
                    (x, Some(scale))
                }
                None => (x, None),
            };
            let y = match operation {
                Operation::Conv2d { .. } if filters.is_dense() => self.dense(name, &filters, input, x),
                _ => self.convolution(name, &filters, input, matches!(operation, Operation::Conv2d { .. }), x),
            };
            return self.activation(&format!("{name}.activation"), filters.activation, y);
        }
        match operation {
            Operation::Affine { scale, shift, activation } => {
                let y = self.affine(name, scale, shift, &x);
                self.activation(&format!("{name}.activation"), *activation, y)
            }
            Operation::Activation { activation } => self.activation(name, *activation, x),
            Operation::Pooling { kind, window } => self.pooling(name, *kind, window, x),
            Operation::UpSampling { size } => self.up_sampling(name, *size, x),
            // A further output has no effect on predictions.
            Operation::Output { .. } => x,
            Operation::Reshape { .. } => self.flat(x),
            Operation::Residual { branch, shortcut, activation } => {
                // The shortcut is the quantized map, too.
                let range = branch.first().and_then(|step| self.range(step));
                let x = range.map_or_else(|| x.clone(), |range| self.quantized(x.clone(), range).0);
                let parts = [branch, shortcut].map(|steps| self.chain(steps, x.clone()));
                let parts = self.alike(parts.to_vec());
                let sum = self.node("Add", name, &[&parts[0].name, &parts[1].name], vec![]);
                let sum = Map { name: sum, ..parts[0].clone() };
                self.activation(&format!("{name}.activation"), *activation, sum)
            }
            Operation::Concatenate { branches, output } => {
                let parts = branches.iter().map(|steps| self.chain(steps, x.clone())).collect();
                let parts = self.alike(parts);
                let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
                let name = self.node("Concat", name, &names, vec![int("axis", 1)]);
                Map { name, shape: *output, flat: parts.first().is_some_and(|part| part.flat) }
            }
            Operation::Gate { gate } => {
                let weights = self.chain(gate, x.clone());
                let weights = if x.flat { self.flat(weights) } else { self.spatial(weights) };
                Map { name: self.node("Mul", name, &[&x.name, &weights.name], vec![]), ..x }
            }
            Operation::Conv2d { .. } | Operation::DepthwiseConv2d { .. } => unreachable!("these have filters"),
        }
    }

    fn dense(&mut self, name: &str, filters: &Filters<'_>, input: Option<f32>, x: Map) -> Map {
        let (inputs, outputs) = (filters.window.input.channels, filters.kernel.len() / filters.window.input.channels);
        let x = self.flat(x);
        let (kernel, bias) = self.weights(name, filters, input, (&[inputs, outputs], filters.kernel, 1));
        let operands: Vec<&str> = [x.name.as_str(), &kernel].into_iter().chain(bias.as_deref()).collect();
        let name = self.node("Gemm", name, &operands, vec![]);
        Map { name, shape: Shape::flat(outputs), flat: true }
    }

    fn convolution(&mut self, name: &str, filters: &Filters<'_>, input: Option<f32>, across: bool, x: Map) -> Map {
        let Filters { window, kernel, .. } = filters;
        let x = self.spatial(x);
        let [height, width] = window.size;
        let channels = window.input.channels;
        let outputs = if across { kernel.len() / window.patch_len() } else { channels };
        let own = [height, width, channels, outputs];
        let (dims, place) = channels_first(if across { &own } else { &own[..3] });
        let mut values = vec![0.0; kernel.len()];
        kernel.iter().enumerate().for_each(|(i, &weight)| values[place(i)] = weight);
        let (weights, bias) = self.weights(name, filters, input, (&dims, &values, 0));
        let operands: Vec<&str> = [x.name.as_str(), &weights].into_iter().chain(bias.as_deref()).collect();
        let mut attributes = geometry(window);
        attributes.push(int("group", if across { 1 } else { channels }));
        let name = self.node("Conv", name, &operands, attributes);
        Map { name, shape: window.output_shape(outputs), flat: false }
    }

    /// The names of a kernel, with dimensions and values in ONNX's order and the axis of its filters, and of a bias.
    /// `input` is the scale of a quantized input.
    fn weights(
        &mut self,
        name: &str,
        filters: &Filters<'_>,
        input: Option<f32>,
        (dims, values, axis): (&[usize], &[f32], usize),
    ) -> (String, Option<String>) {
        let [kernel, bias] = ["kernel", "bias"].map(|part| format!("{name}.{part}"));
        if let Some(input) = input {
            let scales = Self::scales(filters, dims[axis], input);
            let kernel = self.quantized_kernel(&kernel, dims, values, axis, &scales);
            return (kernel, filters.bias.map(|values| self.quantized_bias(&bias, values, input, &scales)));
        }
        self.constant(&kernel, dims, values);
        let bias = filters.bias.map(|values| {
            self.constant(&bias, &[values.len()], values);
            bias
        });
        (kernel, bias)
    }

    fn affine(&mut self, name: &str, scale: &[f32], shift: &[f32], x: &Map) -> Map {
        let (gamma, beta) = (format!("{name}.gamma"), format!("{name}.beta"));
        let dims = [scale.len(), 1, 1];
        let dims = if x.flat { &dims[..1] } else { &dims[..] };
        self.constant(&gamma, dims, scale);
        self.constant(&beta, dims, shift);
        let scaled = self.node("Mul", &format!("{name}.scaled"), &[&x.name, &gamma], vec![]);
        Map { name: self.node("Add", name, &[&scaled, &beta], vec![]), ..x.clone() }
    }

    fn pooling(&mut self, name: &str, kind: PoolingKind, window: &Window, x: Map) -> Map {
        let x = self.spatial(x);
        let shape = window.output_shape(window.input.channels);
        let (operator, whole) = match kind {
            PoolingKind::Average => ("AveragePool", "GlobalAveragePool"),
            PoolingKind::Max => ("MaxPool", "GlobalMaxPool"),
        };
        let name = if window.is_whole() {
            self.node(whole, name, &[&x.name], vec![])
        } else {
            // Padding is not counted in an average: ONNX's default, as in Keras.
            self.node(operator, name, &[&x.name], geometry(window))
        };
        Map { name, shape, flat: false }
    }

    fn up_sampling(&mut self, name: &str, [down, across]: [usize; 2], x: Map) -> Map {
        let x = self.spatial(x);
        let Shape { height, width, channels } = x.shape;
        let scales = format!("{name}.scales");
        self.constant(&scales, &[4], &[1.0, 1.0, down as f32, across as f32]);
        let modes = vec![
            string("mode", "nearest"),
            string("coordinate_transformation_mode", "asymmetric"),
            string("nearest_mode", "floor"),
        ];
        let name = self.node("Resize", name, &[&x.name, "", &scales], modes);
        Map { name, shape: Shape::new(height * down, width * across, channels), flat: false }
    }

    fn activation(&mut self, name: &str, activation: Activation, x: Map) -> Map {
        let operator = match activation {
            Activation::Linear => return x,
            Activation::Relu => "Relu",
            Activation::LeakyRelu { .. } => "LeakyRelu",
            Activation::Sigmoid => "Sigmoid",
            Activation::Tanh => "Tanh",
            Activation::Softmax => "Softmax",
            Activation::Silu => {
                let gate = self.node("Sigmoid", &format!("{name}.gate"), &[&x.name], vec![]);
                return Map { name: self.node("Mul", name, &[&x.name, &gate], vec![]), ..x };
            }
        };
        let attributes = match activation {
            Activation::LeakyRelu { slope } => vec![float("alpha", slope)],
            Activation::Softmax => vec![int("axis", 1)],
            _ => vec![],
        };
        Map { name: self.node(operator, name, &[&x.name], attributes), ..x }
    }

    /// The tensor as `[N, values]`, in moue's order: rows, columns, channels.
    fn flat(&mut self, map: Map) -> Map {
        if map.flat {
            return map;
        }
        let flat = format!("{}.flat", map.name);
        // Two layers may use the same flattened tensor.
        if !self.nodes.iter().any(|node| node.name == flat) {
            let mut name = map.name.clone();
            if map.shape.positions() > 1 {
                let order = ints("perm", &[0, 2, 3, 1]);
                name = self.node("Transpose", &format!("{}.channels_last", map.name), &[&name], vec![order]);
            }
            self.node("Flatten", &flat, &[&name], vec![int("axis", 1)]);
        }
        Map { name: flat, shape: Shape::flat(map.shape.len()), flat: true }
    }

    /// The tensor as `[N, C, H, W]`.
    fn spatial(&mut self, map: Map) -> Map {
        if !map.flat {
            return map;
        }
        if !self.initializers.iter().any(|constant| constant.name == SPATIAL_AXES) {
            let raw_data = [2i64, 3].iter().flat_map(|axis| axis.to_le_bytes()).collect();
            let (dims, name) = (vec![2], SPATIAL_AXES.to_owned());
            self.initializers.push(TensorProto { dims, data_type: INT64, name, raw_data, ..TensorProto::default() });
        }
        let name = format!("{}.map", map.name);
        if !self.nodes.iter().any(|node| node.name == name) {
            self.node("Unsqueeze", &name, &[&map.name, SPATIAL_AXES], vec![]);
        }
        Map { name, flat: false, ..map }
    }

    /// Tensors of the same rank: flattened where one of them is flat.
    fn alike(&mut self, maps: Vec<Map>) -> Vec<Map> {
        if maps.iter().any(|map| map.flat) {
            return maps.into_iter().map(|map| self.flat(map)).collect();
        }
        maps
    }
}

fn geometry(window: &Window) -> Vec<AttributeProto> {
    let (before, after) = (window.before, window.after());
    vec![
        ints("kernel_shape", &window.size),
        ints("strides", &window.strides),
        ints("pads", &[before[0], before[1], after[0], after[1]]),
    ]
}

pub fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto { i: Some(value as i64), ..attribute(name, ATTRIBUTE_INT) }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, ATTRIBUTE_FLOAT) }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { ints, ..attribute(name, ATTRIBUTE_INTS) }
}

fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.as_bytes().to_vec(), ..attribute(name, ATTRIBUTE_STRING) }
}

fn attribute(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type, ..AttributeProto::default() }
}

/// A value of the graph of shape `[N, …]`.
fn value(name: &str, extents: &[usize]) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some("N".into()) };
    let fixed = extents.iter().map(|&extent| DimensionProto { dim_value: Some(extent as i64), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(fixed).collect() };
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
