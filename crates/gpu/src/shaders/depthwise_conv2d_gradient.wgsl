// The gradient of a depthwise kernel, summed over chunks of rows: one invocation for each chunk and weight. `other` is the
// gradient of the output. `fold` adds up the chunks.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let kernel_len = p.kernel_height * p.kernel_width * p.channels;
    let chunks = (p.rows + p.chunk - 1u) / p.chunk;
    for (var i = id.x; i < chunks * kernel_len; i += groups.x * INVOCATIONS) {
        let begin = i / kernel_len * p.chunk;
        let end = min(begin + p.chunk, p.rows);
        let channel = i % p.channels;
        let tap = i % kernel_len / p.channels;
        let down = i32(tap / p.kernel_width);
        let across = i32(tap % p.kernel_width);
        var sum = 0.0;
        for (var row = begin; row < end; row++) {
            let place = place_of(row);
            let line = place.top + down;
            let column = place.left + across;
            if line >= 0 && line < i32(p.height) && column >= 0 && column < i32(p.width) {
                let at = (place.image + u32(line * i32(p.width) + column)) * p.channels + channel;
                sum += x[at] * other[row * p.channels + channel];
            }
        }
        y[i] = sum;
    }
}
