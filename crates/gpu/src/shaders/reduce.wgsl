// Sums over the rows of chunks, by channel. A workgroup sums 32 channels of a chunk with 8 invocations each, whose sums
// are then added in their order. With MOMENTS and NORMALIZED there are two sums for each channel, one after the other.
// `fold` adds up the chunks.

const CHANNELS = 32u;
const LANES = 8u;

var<workgroup> lanes: array<vec2<f32>, CHANNELS * LANES>;

fn terms(row: u32, channel: u32) -> vec2<f32> {
    let at = row * p.channels + channel;
    let value = x[at];
    if has(MOMENTS) {
        // From a value of the map, so that the variance is no difference of large numbers.
        let distance = value - x[channel];
        return vec2<f32>(distance, distance * distance);
    }
    if has(NORMALIZED) {
        // The gradient of the output, and its product with the distance from the mean.
        let gradient = other[at];
        return vec2<f32>(gradient, gradient * (value - weights[2u * p.channels + channel]));
    }
    if has(PRODUCT) {
        return vec2<f32>(value * other[at], 0.0);
    }
    return vec2<f32>(value, 0.0);
}

@compute @workgroup_size(CHANNELS * LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let channel = group.x * CHANNELS + local % CHANNELS;
    let begin = group.y * p.chunk;
    let end = min(begin + p.chunk, p.rows);
    var sum = vec2<f32>();
    if channel < p.channels {
        for (var row = begin + local / CHANNELS; row < end; row += LANES) {
            sum += terms(row, channel);
        }
    }
    lanes[local] = sum;
    workgroupBarrier();
    if local < CHANNELS && channel < p.channels {
        var total = vec2<f32>();
        for (var lane = 0u; lane < LANES; lane++) {
            total += lanes[lane * CHANNELS + local];
        }
        let two = has(MOMENTS) || has(NORMALIZED);
        let at = group.y * select(1u, 2u, two) * p.channels + channel;
        y[at] = total.x;
        if two {
            y[at + p.channels] = total.y;
        }
    }
}
