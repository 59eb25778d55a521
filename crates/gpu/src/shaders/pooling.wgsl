// Maximum or average over windows; padding is not counted. One invocation for each value of the output.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let positions = p.out_height * p.out_width;
    for (var i = id.x; i < p.rows * p.channels; i += groups.x * INVOCATIONS) {
        let channel = i % p.channels;
        let row = i / p.channels;
        let image = (row / positions) * p.height * p.width;
        let top = i32((row % positions) / p.out_width * p.stride_y) - i32(p.before_y);
        let left = i32((row % positions) % p.out_width * p.stride_x) - i32(p.before_x);
        var sum = 0.0;
        var count = 0.0;
        var largest = 0.0;
        for (var line = max(top, 0); line < min(top + i32(p.kernel_height), i32(p.height)); line++) {
            for (var column = max(left, 0); column < min(left + i32(p.kernel_width), i32(p.width)); column++) {
                let value = x[(image + u32(line * i32(p.width) + column)) * p.channels + channel];
                // Not `max`, which may drop a NaN.
                largest = select(largest, value, count == 0.0 || !(value <= largest));
                sum += value;
                count += 1.0;
            }
        }
        store(row, channel, select(largest, sum / count, has(AVERAGE)), 0u);
    }
}
