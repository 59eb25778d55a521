// What all kernels share: their parameters, their buffers, and the activations.
//
// Maps are [N, H, W, C], as on the CPU. A row is one position of a map: all its channels.

struct Params {
    // Rows of the output, of all images.
    rows: u32,
    // Channels of the input.
    channels: u32,
    // Channels of the output.
    filters: u32,
    activation: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_y: u32,
    stride_x: u32,
    before_y: u32,
    before_x: u32,
    // The output is a part of each row of a map: so many values in a row, the first one of the part.
    row_length: u32,
    row_offset: u32,
    flags: u32,
    // Of the leaky ReLU, or another number that a kernel names.
    slope: f32,
    // Rows whose sum is one partial sum, or the length of an input row of which a part is read.
    chunk: u32,
    // Index of the first value that is read or written.
    first: u32,
}

const BIAS = 1u;
const ADD = 2u;
const AFFINE = 4u;
const GATE = 8u;
const AVERAGE = 16u;
const PART = 32u;
const COMBINE = 64u;
const MOMENTS = 128u;
const NORMALIZED = 256u;
const PRODUCT = 512u;
const STORED = 1024u;
const LOSS = 2048u;
const CORRECT = 4096u;
const WHOLE = 8192u;
const MEAN = 16384u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn has(flag: u32) -> bool {
    return (p.flags & flag) != 0u;
}

fn sigmoid(v: f32) -> f32 {
    let e = exp(-abs(v));
    return select(e, 1.0, v >= 0.0) / (1.0 + e);
}

// Drivers may compute the built-in function as a quotient of differences, which loses all digits near zero.
fn tangent(v: f32) -> f32 {
    let square = v * v;
    let series = v * (1.0 + square * (-1.0 / 3.0 + square * (2.0 / 15.0 - square * (17.0 / 315.0))));
    let e = exp(-2.0 * abs(v));
    return select(sign(v) * (1.0 - e) / (1.0 + e), series, abs(v) < 0.25);
}

fn activate(v: f32) -> f32 {
    switch p.activation {
        case 1u: { return select(v, 0.0, v < 0.0); }
        case 2u: { return select(p.slope * v, v, v > 0.0); }
        case 3u: { return v * sigmoid(v); }
        case 4u: { return sigmoid(v); }
        case 5u: { return tangent(v); }
        default: { return v; }
    }
}

// The window of an output position: its image's first position in the input, and its top and left, which are negative
// in the padding.
struct Place {
    image: u32,
    top: i32,
    left: i32,
}

fn place_of(row: u32) -> Place {
    let positions = p.out_height * p.out_width;
    let position = row % positions;
    return Place(
        (row / positions) * p.height * p.width,
        i32(position / p.out_width * p.stride_y) - i32(p.before_y),
        i32(position % p.out_width * p.stride_x) - i32(p.before_x),
    );
}

// A number divided by a stride, or -1 where it is negative or there is a remainder.
fn quotient(number: i32, stride: i32) -> i32 {
    return select(-1, number / stride, number >= 0 && number % stride == 0);
}

// Stores the value of a sum, after bias, the addition of another map, and activation. The bias follows a kernel of
// `kernel_len` values.
fn store(row: u32, filter_: u32, sum: f32, kernel_len: u32) {
    var v = sum;
    if has(BIAS) {
        v += weights[kernel_len + filter_];
    }
    if has(ADD) {
        v += other[row * p.filters + filter_];
    }
    y[row * p.row_length + p.row_offset + filter_] = activate(v);
}
