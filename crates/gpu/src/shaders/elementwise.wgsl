// Values of the same position: `activation(scale · x + shift)` by channel, a map multiplied by one factor for each image
// and channel, the sum of two maps with or without factors, or a copy from or into a part of each row.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let positions = p.out_height * p.out_width;
    for (var i = id.x; i < p.rows * p.channels; i += groups.x * INVOCATIONS) {
        let channel = i % p.channels;
        let row = i / p.channels;
        var value = x[select(i, row * p.chunk + p.first + channel, has(PART))];
        if has(AFFINE) {
            value = value * weights[channel] + weights[p.channels + channel];
        }
        if has(COMBINE) {
            value = value * weights[channel] + other[i] * weights[p.channels + channel] + weights[2u * p.channels + channel];
        }
        if has(GATE) {
            value *= other[row / positions * p.channels + channel];
        }
        store(row, channel, value, 0u);
    }
}
