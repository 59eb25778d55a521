// Maximum or average over windows; padding is not counted. One invocation for each value of the output.

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.rows * p.channels; i += groups.x * INVOCATIONS) {
        let channel = i % p.channels;
        let row = i / p.channels;
        let place = place_of(row);
        var sum = 0.0;
        var count = 0.0;
        var largest = 0.0;
        for (var line = max(place.top, 0); line < min(place.top + i32(p.kernel_height), i32(p.height)); line++) {
            for (var column = max(place.left, 0); column < min(place.left + i32(p.kernel_width), i32(p.width)); column++) {
                let value = x[(place.image + u32(line * i32(p.width) + column)) * p.channels + channel];
                // Not `max`, which may drop a NaN.
                largest = select(largest, value, count == 0.0 || !(value <= largest));
                sum += value;
                count += 1.0;
            }
        }
        store(row, channel, select(largest, sum / count, has(AVERAGE)), 0u);
    }
}
