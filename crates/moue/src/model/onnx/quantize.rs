//! Quantized weights and activations in an ONNX graph: pairs of `QuantizeLinear` and `DequantizeLinear` (QDQ), which a
//! runtime replaces by products of integers.
//!
//! Maps are quantized where [`moue_engine::InferenceNetwork::with_int8`] does it: at the input of each layer that
//! computes with 8-bit integers.

use super::proto::{FLOAT, INT8, INT32, TensorProto, UINT8};
use super::write::{Map, Writer, int};
use moue_engine::inference::{Filters, Operation, Step, int8_range};

/// Suffixes of the arrays that quantize another array or map.
pub const SCALE: &str = ".scale";
pub const ZERO: &str = ".zero_point";

/// Suffix of a dequantized array or map.
const VALUES: &str = ".values";

/// The largest bias in units of its scale, far below that of 32 bits.
const LARGEST_BIAS: f32 = (1 << 30) as f32;

/// The largest weight.
const MOST: f32 = 127.0;

impl Writer {
    /// The range of a layer's input, where the layer is quantized.
    pub fn range(&self, step: &Step) -> Option<[f32; 2]> {
        let is_convolution = matches!(step.operation(), Operation::Conv2d { .. });
        self.ranges.get(step.layer()).copied().filter(|_| is_convolution)
    }

    /// The map after quantization to bytes and back, which several layers may read, and its scale.
    pub fn quantized(&mut self, x: Map, range: [f32; 2]) -> (Map, f32) {
        if let Some(scale) = x.name.strip_suffix(VALUES).and_then(|name| self.scale_of(name)) {
            return (x, scale);
        }
        let bytes = format!("{}.bytes", x.name);
        let values = format!("{}{VALUES}", x.name);
        if !self.nodes.iter().any(|node| node.name == values) {
            let (scale, zero) = int8_range(range);
            let [scale_name, zero_name] = [SCALE, ZERO].map(|suffix| format!("{}{suffix}", x.name));
            self.array(&scale_name, &[], FLOAT, scale.to_le_bytes().to_vec());
            self.array(&zero_name, &[], UINT8, vec![zero]);
            self.node("QuantizeLinear", &bytes, &[&x.name, &scale_name, &zero_name], vec![]);
            self.node("DequantizeLinear", &values, &[&bytes, &scale_name, &zero_name], vec![]);
        }
        let scale = self.scale_of(&x.name).unwrap_or(1.0);
        (x.renamed(values), scale)
    }

    /// The scale of a map that is quantized.
    fn scale_of(&self, map: &str) -> Option<f32> {
        let name = format!("{map}{SCALE}");
        let scale = self.initializers.iter().find(|tensor| tensor.name == name && tensor.dims.is_empty())?;
        scale.raw_data.first_chunk().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// A kernel as signed bytes with one scale for each filter, along `axis` of its dimensions. `values` are in ONNX's
    /// order, `scales` those of the filters. Returns the name of the dequantized kernel.
    pub fn quantized_kernel(
        &mut self,
        name: &str,
        dims: &[usize],
        values: &[f32],
        axis: usize,
        scales: &[f32],
    ) -> String {
        let inner: usize = dims[axis + 1..].iter().product();
        let filters = dims[axis];
        let bytes = values.iter().enumerate().map(|(i, weight)| {
            let rounded = (weight / scales[i / inner % filters]).round_ties_even();
            rounded.clamp(-MOST, MOST) as i8 as u8
        });
        self.array(name, dims, INT8, bytes.collect());
        self.dequantized(name, scales, INT8, axis)
    }

    /// A bias in units of the sums of products: 32-bit integers.
    pub fn quantized_bias(&mut self, name: &str, bias: &[f32], input: f32, scales: &[f32]) -> String {
        let scales: Vec<f32> = scales.iter().map(|scale| scale * input).collect();
        let whole = bias.iter().zip(&scales).map(|(bias, scale)| (f64::from(*bias) / f64::from(*scale)).round() as i32);
        self.array(name, &[bias.len()], INT32, whole.flat_map(i32::to_le_bytes).collect());
        self.dequantized(name, &scales, INT32, 0)
    }

    /// For each filter, the scale with which its largest weight is 127, or a larger one with which its bias has 32 bits;
    /// `input` is the scale of the input.
    pub fn scales(filters: &Filters<'_>, count: usize, input: f32) -> Vec<f32> {
        let mut most = vec![0.0f32; count];
        for row in filters.kernel.chunks_exact(count) {
            most.iter_mut().zip(row).for_each(|(most, weight)| *most = most.max(weight.abs()));
        }
        let bias = |filter: usize| filters.bias.map_or(0.0, |bias| bias[filter].abs());
        let scale = |(filter, most): (usize, f32)| {
            let least = (bias(filter) / LARGEST_BIAS / input).max(f32::MIN_POSITIVE);
            if most > 0.0 { (most / MOST).max(least) } else { least }
        };
        most.into_iter().enumerate().map(scale).collect()
    }

    fn dequantized(&mut self, name: &str, scales: &[f32], kind: i32, axis: usize) -> String {
        let [scale, zero] = [SCALE, ZERO].map(|suffix| format!("{name}{suffix}"));
        self.array(&scale, &[scales.len()], FLOAT, scales.iter().flat_map(|scale| scale.to_le_bytes()).collect());
        let zeros = vec![0; scales.len() * if kind == INT32 { 4 } else { 1 }];
        self.array(&zero, &[scales.len()], kind, zeros);
        self.node("DequantizeLinear", &format!("{name}{VALUES}"), &[name, &scale, &zero], vec![int("axis", axis)])
    }

    fn array(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) {
        let dims = dims.iter().map(|&extent| extent as i64).collect();
        self.initializers.push(TensorProto {
            dims,
            data_type,
            name: name.to_owned(),
            raw_data,
            ..TensorProto::default()
        });
    }
}

/// The values of an array of integers, whose scales are along its first axis, or its second for a dense kernel.
pub fn values(tensor: &TensorProto, scales: &[f32]) -> Option<Vec<f32>> {
    let whole: Vec<i32> = match tensor.data_type {
        INT8 => tensor.raw_data.iter().map(|&byte| i32::from(byte as i8)).collect(),
        INT32 => tensor.raw_data.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        _ => return None,
    };
    if scales.is_empty() || !whole.len().is_multiple_of(scales.len()) {
        return None;
    }
    let inner = if tensor.dims.len() == 2 { 1 } else { whole.len() / scales.len() };
    Some(whole.iter().enumerate().map(|(i, &value)| value as f32 * scales[i / inner % scales.len()]).collect())
}
